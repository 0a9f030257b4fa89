"""A client that speaks HTTP/2 by prior knowledge, told what to send as HTTP/1.1 is written."""

from __future__ import annotations

import asyncio

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from tests.parity.client import TIMEOUT, Connection, Reply
from tests.parity.h2_fields import Fields, by_name
from tests.parity.script import fields_of

_READ = 65_536


class H2Client(Connection):
    """One connection; requests follow each other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        self._h2.initiate_connection()
        self._forget()

    def _forget(self) -> None:
        self._fields: Fields = ()
        self._trailers: Fields = ()
        self._body = b""
        self._is_over = False
        self._is_reset = False

    async def exchange(self, request: bytes) -> Reply:
        """A stream that was reset is a reply of status 0 with the head that had come."""
        self._forget()
        self._send(request)
        try:
            async with asyncio.timeout(TIMEOUT):
                while not self._is_over:
                    self._writer.write(self._h2.data_to_send())
                    await self._receive()
        except ConnectionError:
            self._is_reset = True
        headers = by_name(one for one in self._fields if one[0] != ":status")
        status = 0 if self._is_reset else int(dict(self._fields)[":status"])
        return Reply(status, headers, self._body, by_name(self._trailers))

    def _send(self, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        start, fields = fields_of(head)
        method, path, _ = start.split(" ")
        host = next(value for name, value in fields if name.lower() == "host")
        pseudo = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)]
        plain = [(name.lower(), value) for name, value in fields if name.lower() not in _OF_HTTP_1]
        trailers: Fields = ()
        if any(name.lower() == "transfer-encoding" for name, _ in fields):
            body, trailers = _unchunked(body)
        number = self._h2.get_next_available_stream_id()
        self._h2.send_headers(number, [*pseudo, *plain], end_stream=not body and not trailers)
        if body:
            self._h2.send_data(number, body, end_stream=not trailers)
        if trailers:
            self._h2.send_headers(number, trailers, end_stream=True)

    async def _receive(self) -> None:
        data = await self.reader.read(_READ)
        if not data:
            self._is_over = self._is_reset = True
        for event in self._h2.receive_data(data):
            self._on_event(event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            self._fields = tuple(event.headers or ())  # type: ignore[arg-type]
        elif isinstance(event, DataReceived):
            self._body += event.data or b""
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, TrailersReceived):
            self._trailers = tuple(event.headers or ())  # type: ignore[arg-type]
        elif isinstance(event, StreamEnded):
            self._is_over = True
        elif isinstance(event, StreamReset):
            # After the whole answer it only says that the rest of the request is not wanted.
            self._is_reset = not self._is_over
            self._is_over = True
        elif isinstance(event, ConnectionTerminated) and event.error_code:
            self._is_over = self._is_reset = True


_OF_HTTP_1 = frozenset({"host", "transfer-encoding"})


def _unchunked(body: bytes) -> tuple[bytes, Fields]:
    """What `Request.encoded` writes: one chunk at most, and trailers."""
    size, _, rest = body.partition(b"\r\n")
    content = rest[: int(size, 16)]
    after = rest[len(content) + 2 :] if content else body
    _, fields = fields_of(after.removesuffix(b"\r\n\r\n"))
    return content, tuple(fields)
