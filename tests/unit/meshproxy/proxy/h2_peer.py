"""Peers that speak HTTP/2 by python-hyper's `h2`: a client, and a server whose answers a handler writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)

from meshproxy.config.model import Endpoint

Pairs = list[tuple[bytes, bytes]]


@dataclass
class Message:
    """One message as far as it has come."""

    stream: int
    fields: dict[bytes, bytes] = field(default_factory=dict)
    pairs: Pairs = field(default_factory=list)
    """The same as they came, and as often."""
    interim: list[dict[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    reset: int | None = None
    is_whole: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> int:
        return int(self.fields[b":status"])

    async def until(self, condition: Callable[[Message], bool]) -> Message:
        async with asyncio.timeout(30):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()
        return self

    async def end(self) -> Message:
        return await self.until(lambda one: one.is_whole or one.reset is not None)


class Peer(asyncio.Protocol):
    """One connection, either side of it."""

    def __init__(self, *, is_client: bool, on_request: Callable[[Peer, Message], None] | None = None) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=is_client, header_encoding=None))
        self.messages: dict[int, Message] = {}
        self.terminated: ConnectionTerminated | None = None
        self.lost = asyncio.Event()
        self.reads = True
        """Give credit for data that comes."""
        self._on_request = on_request
        self._window = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        if self._transport is not None and (data := self.h2.data_to_send()):
            self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        for message in self.messages.values():
            message.reset = -1 if message.reset is None and not message.is_whole else message.reset
            message.changed.set()

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            self._on_event(event)
        self.flush()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.terminated = event
            return
        if isinstance(event, WindowUpdated):
            self._window.set()
            return
        number = getattr(event, "stream_id", None)
        if not number:
            return
        message = self.messages.setdefault(number, Message(number))
        if isinstance(event, RequestReceived):
            message.pairs = cast("Pairs", event.headers or [])
            message.fields = dict(message.pairs)
            if self._on_request is not None:
                self._on_request(self, message)
        elif isinstance(event, ResponseReceived):
            message.pairs = cast("Pairs", event.headers or [])
            message.fields = dict(message.pairs)
        elif isinstance(event, InformationalResponseReceived):
            message.interim.append(dict(event.headers or ()))
        elif isinstance(event, TrailersReceived):
            message.trailers = dict(event.headers or ())
        elif isinstance(event, DataReceived):
            message.body += event.data or b""
            if self.reads:
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
        elif isinstance(event, StreamEnded):
            message.is_whole = True
        elif isinstance(event, StreamReset):
            message.reset = int(event.error_code or 0)
        message.changed.set()

    # --- sending ---

    def request(
        self, method: bytes = b"GET", path: bytes = b"/", *more: tuple[bytes, bytes], end: bool = True
    ) -> Message:
        number = self.h2.get_next_available_stream_id()
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":authority", b"web"), (b":path", path)]
        self.h2.send_headers(number, [*pseudo, *more], end_stream=end)
        self.flush()
        return self.messages.setdefault(number, Message(number))

    async def send(self, number: int, data: bytes, *, end: bool = True) -> None:
        """As fast as the windows let it."""
        async with asyncio.timeout(30):
            while data:
                size = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
                if size <= 0:
                    self._window.clear()
                    await self._window.wait()
                    continue
                part, data = data[:size], data[size:]
                self.h2.send_data(number, part)
                self.flush()
        if end:
            self.h2.end_stream(number)
            self.flush()

    def respond(self, number: int, *fields: tuple[bytes, bytes], end: bool = False) -> None:
        self.h2.send_headers(number, list(fields), end_stream=end)
        self.flush()

    def trailers(self, number: int, *fields: tuple[bytes, bytes]) -> None:
        self.h2.send_headers(number, list(fields), end_stream=True)
        self.flush()

    def give_up(self, number: int, code: int = 8) -> None:
        self.h2.reset_stream(number, code)
        self.flush()

    def say_goodbye(self) -> None:
        self.h2.close_connection()
        self.flush()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def connect(port: int) -> Peer:
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(lambda: Peer(is_client=True), "127.0.0.1", port)
    return peer


Handler = Callable[["Peer", Message], Awaitable[None]]


class H2Upstream:
    """An upstream of HTTP/2 by prior knowledge."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.connections: list[Peer] = []
        self.requests: list[Message] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> H2Upstream:
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)
        return self

    def _accept(self) -> Peer:
        peer = Peer(is_client=False, on_request=self._on_request)
        self.connections.append(peer)
        return peer

    def _on_request(self, peer: Peer, message: Message) -> None:
        self.requests.append(message)
        task = asyncio.ensure_future(self._handle(peer, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, peer: Peer, message: Message) -> None:
        await self._handler(peer, message)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.connections:
            peer.close()
        await asyncio.gather(*(peer.lost.wait() for peer in self.connections))
        assert self._server is not None
        self._server.close()

    @property
    def endpoint(self) -> Endpoint:
        assert self._server is not None
        return Endpoint("127.0.0.1", self._server.sockets[0].getsockname()[1])


async def echo(peer: Peer, message: Message) -> None:
    """200 with the request's body, and a trailer."""
    await message.end()
    peer.respond(message.stream, (b":status", b"200"), (b"x-path", message.fields[b":path"]))
    await peer.send(message.stream, message.body, end=False)
    peer.trailers(message.stream, (b"x-size", b"%d" % len(message.body)))
