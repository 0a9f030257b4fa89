"""The scripted upstreams' side of HTTP/2, by python-hyper's `h2`: streams are answered side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset, TrailersReceived

from tests.parity.h2_fields import Fields, by_name
from tests.parity.script import NAMED, PREFACE, Answer, Seen

_READ = 65_536
_RESETS = {"reset": ErrorCodes.INTERNAL_ERROR, "refuse": ErrorCodes.REFUSED_STREAM}

Arrived = Callable[[Seen], Awaitable[tuple[str, Answer, asyncio.Event] | None]]
"""Notes a request; the endpoint's name, what it answers, and when what it holds is let go."""


@dataclass
class _Incoming:
    fields: Fields
    body: bytes = b""
    trailers: Fields = ()


@dataclass
class H2Server:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    arrived: Arrived
    _requests: dict[int, _Incoming] = field(default_factory=dict)
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))

    async def serve(self) -> None:
        """Until the connection ends."""
        self._h2.initiate_connection()
        data = PREFACE
        try:
            while data:
                for event in self._h2.receive_data(data):
                    self._on_event(event)
                self._flush()
                data = await self.reader.read(_READ)
        finally:
            for task in self._tasks.values():
                task.cancel()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self.writer.write(data)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._requests[event.stream_id or 0] = _Incoming(tuple(event.headers or ()))  # type: ignore[arg-type]
        elif isinstance(event, DataReceived):
            self._requests[event.stream_id or 0].body += event.data or b""
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, TrailersReceived):
            self._requests[event.stream_id or 0].trailers = tuple(event.headers or ())  # type: ignore[arg-type]
        elif isinstance(event, StreamEnded):
            number = event.stream_id or 0
            self._tasks[number] = asyncio.create_task(self._answer(number, self._requests.pop(number)))
        elif isinstance(event, StreamReset) and (task := self._tasks.pop(event.stream_id or 0, None)):
            task.cancel()

    async def _answer(self, number: int, request: _Incoming) -> None:
        headers = by_name(request.fields)
        (method,), (target,) = headers[":method"], headers[":path"]
        host = headers.get(":authority")
        shown = {name: values for name, values in headers.items() if not name.startswith(":")}
        shown |= {"host": host} if host else {}
        seen = Seen("", method, target, shown, request.body, by_name(request.trailers), "2")
        noted = await self.arrived(seen)
        if noted is None or noted[1].after == "hang":
            return
        name, answer, released = noted
        if answer.after == "hold" and target.endswith("/hold"):
            await released.wait()
        if answer.after in _RESETS:
            self._h2.reset_stream(number, _RESETS[answer.after])
        else:
            self._respond(number, name, answer, is_head=method == "HEAD")
        self._tasks.pop(number, None)
        self._flush()

    def _respond(self, number: int, name: str, answer: Answer, *, is_head: bool) -> None:
        fields = [(":status", str(answer.status)), *answer.headers, (NAMED, name)]
        has_body = bool(answer.body) and not is_head
        is_cut = answer.after in ("trickle", "cut")
        self._h2.send_headers(number, fields, end_stream=not has_body and not answer.trailers and not is_cut)
        if has_body:
            self._h2.send_data(number, answer.body.encode(), end_stream=not answer.trailers and not is_cut)
        if answer.after == "cut":
            self._h2.reset_stream(number, ErrorCodes.INTERNAL_ERROR)
        elif answer.trailers and not is_cut:
            self._h2.send_headers(number, answer.trailers, end_stream=True)
