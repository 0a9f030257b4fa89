"""The call against an HTTP/2 server that does what the test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, PingReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes

from meshproxy.errors import UpstreamError
from meshproxy.rpc.call import GrpcCall, dial, unary
from meshproxy.rpc.message import prefixed

HEAD = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]


class Peer(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, settings: dict[int, int]) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.settings = settings
        self.events: list[Event] = []
        self.changed = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's TLS transports are none by class
        self.h2.initiate_connection()
        if self.settings:
            self.h2.update_settings(self.settings)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.events += self.h2.receive_data(data)
        self.flush()
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self.changed.set()

    def flush(self) -> None:
        assert self.transport is not None
        self.transport.write(self.h2.data_to_send())

    async def until(self, kind: type[Event]) -> Event:
        async with asyncio.timeout(30):
            while not (found := [event for event in self.events if isinstance(event, kind)]):
                self.changed.clear()
                await self.changed.wait()
        return found[0]

    def body(self) -> bytes:
        return b"".join(event.data for event in self.events if isinstance(event, DataReceived))

    def respond(self, *messages: bytes, trailers: list[tuple[str, str]] | None = None) -> None:
        self.h2.send_headers(1, HEAD)
        for message in messages:
            self.h2.send_data(1, prefixed(message))
        if trailers is not None:
            self.h2.send_headers(1, trailers, end_stream=True)
        self.flush()


class Answering(Peer):
    """Answers when the question has ended; without `trailers`, never."""

    def __init__(self, messages: list[bytes], trailers: list[tuple[str, str]] | None) -> None:
        super().__init__({})
        self.messages = messages
        self.trailers = trailers

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if any(isinstance(event, StreamEnded) for event in self.events) and self.trailers is not None:
            self.respond(*self.messages, trailers=self.trailers)


@asynccontextmanager
async def connected(settings: dict[int, int] | None = None) -> AsyncIterator[tuple[GrpcCall, Peer]]:
    """A started call and its peer."""
    peers: list[Peer] = []
    accepted = asyncio.Event()

    def accept() -> Peer:
        peers.append(Peer(settings or {}))
        accepted.set()
        return peers[0]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    call = await dial(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
    try:
        call.start("/a.B/C", [("authorization", "Bearer t")])
        async with asyncio.timeout(30):
            await accepted.wait()
        await peers[0].until(RequestReceived)
        yield call, peers[0]
    finally:
        await call.close()
        async with asyncio.timeout(30):
            await peers[0].lost.wait()
        server.close()
        await server.wait_closed()


async def test_the_head_says_what_grpc_wants() -> None:
    async with connected() as (_, peer):
        request = await peer.until(RequestReceived)
        assert isinstance(request, RequestReceived)
        head = {str(name): str(value) for name, value in request.headers}
        assert head[":path"] == "/a.B/C"
        assert (head["te"], head["content-type"]) == ("trailers", "application/grpc")
        assert head["authorization"] == "Bearer t"


async def test_messages_go_both_ways_and_the_end_is_seen() -> None:
    async with connected() as (call, peer):
        await call.send(b"question")
        await peer.until(DataReceived)
        peer.respond(b"one", b"two", trailers=OK)
        assert [await call.receive(), await call.receive(), await call.receive()] == [b"one", b"two", None]
        assert peer.body() == prefixed(b"question")
        with pytest.raises(UpstreamError, match="ended the call"):
            await call.send(b"more")


async def test_a_big_message_waits_for_the_peers_window() -> None:
    async with connected({SettingCodes.INITIAL_WINDOW_SIZE: 1000}) as (call, peer):
        message = bytes(range(256)) * 20
        sending = asyncio.ensure_future(call.send(message, is_last=True))
        while len(peer.body()) < len(prefixed(message)):
            await peer.until(DataReceived)
            received = len(peer.body())
            peer.h2.acknowledge_received_data(min(1000, received), 1)
            peer.flush()
            async with asyncio.timeout(30):
                while len(peer.body()) == received < len(prefixed(message)):
                    peer.changed.clear()
                    await peer.changed.wait()
        await sending
        await peer.until(StreamEnded)
        assert peer.body() == prefixed(message)


async def test_what_nobody_takes_closes_the_window_and_taking_opens_it() -> None:
    async with connected() as (call, peer):
        peer.respond()
        sent = 0
        while peer.h2.local_flow_control_window(1) >= 16_384:
            peer.h2.send_data(1, prefixed(bytes(16_384 - 5)))
            sent += 1
        peer.flush()
        assert await call.receive()
        await asyncio.sleep(0)
        assert peer.h2.local_flow_control_window(1) < 16_384
        for _ in range(sent - 1):
            assert await call.receive()
        async with asyncio.timeout(30):
            while peer.h2.local_flow_control_window(1) < 16_384:
                peer.changed.clear()
                await peer.changed.wait()


@pytest.mark.parametrize(
    ("trailers", "complaint"),
    [
        ([("grpc-status", "3"), ("grpc-message", "no%3A this")], "INVALID_ARGUMENT: no: this"),
        ([("other", "1")], "UNKNOWN: the call ended with grpc-status ''"),
    ],
)
async def test_a_refusal_comes_after_the_messages_before_it(
    trailers: list[tuple[str, str]], complaint: str
) -> None:
    async with connected() as (call, peer):
        peer.respond(b"one", trailers=trailers)
        assert await call.receive() == b"one"
        for _ in range(2):
            with pytest.raises(UpstreamError, match=complaint):
                await call.receive()
        with pytest.raises(UpstreamError, match=complaint):
            await call.send(b"more")


async def test_trailers_alone_are_a_whole_response() -> None:
    async with connected() as (call, peer):
        peer.h2.send_headers(1, [*HEAD, ("grpc-status", "12"), ("grpc-message", "no")], end_stream=True)
        peer.flush()
        with pytest.raises(UpstreamError, match="UNIMPLEMENTED: no"):
            await call.receive()


async def test_a_message_that_is_cut_is_no_end() -> None:
    async with connected() as (call, peer):
        peer.h2.send_headers(1, HEAD)
        peer.h2.send_data(1, prefixed(b"whole")[:-1])
        peer.h2.send_headers(1, OK, end_stream=True)
        peer.flush()
        with pytest.raises(UpstreamError, match="INTERNAL: the call ended inside a message"):
            await call.receive()


async def test_an_end_without_trailers_is_none() -> None:
    async with connected() as (call, peer):
        peer.h2.send_headers(1, HEAD)
        peer.h2.send_data(1, prefixed(b"one"), end_stream=True)
        peer.flush()
        assert await call.receive() == b"one"
        with pytest.raises(UpstreamError, match="UNKNOWN: the call ended without a status"):
            await call.receive()


@pytest.mark.parametrize("kind", ["reset", "goaway", "proxy", "rubbish", "compressed", "lost"])
async def test_every_other_end_has_its_reason(kind: str) -> None:
    async with connected() as (call, peer):
        assert peer.transport is not None
        if kind == "reset":
            peer.h2.reset_stream(1, 7)
        elif kind == "goaway":
            peer.h2.close_connection()
        elif kind == "proxy":
            peer.h2.send_headers(1, [(":status", "503")])
        elif kind == "rubbish":
            peer.transport.write(b"\x00\x00\x01\x00\x00\x00\x00\x00\x03x")  # DATA of a stream that is not
        elif kind == "compressed":
            peer.h2.send_headers(1, HEAD)
            peer.h2.send_data(1, b"\x01\x00\x00\x00\x01x")
        else:
            peer.transport.close()
        if kind not in {"rubbish", "lost"}:
            peer.flush()
        reason = {
            "reset": "UNAVAILABLE: the stream was reset",
            "goaway": "UNAVAILABLE: .* is going away",
            "proxy": "UNAVAILABLE: HTTP status 503",
            "rubbish": "INTERNAL: .* broke the protocol",
            "compressed": "INTERNAL: .* compressed",
            "lost": "UNAVAILABLE: .* ended the connection",
        }[kind]
        with pytest.raises(UpstreamError, match=reason):
            async with asyncio.timeout(30):
                await call.receive()


async def test_closing_tells_the_peer_and_wakes_who_waits() -> None:
    async with connected() as (call, peer):
        waiting = asyncio.ensure_future(call.receive())
        await asyncio.sleep(0)
        await call.close()
        await call.close()
        with pytest.raises(UpstreamError, match="closed here"):
            await waiting
        await peer.until(StreamReset)


async def test_a_peer_that_answers_pings_is_kept_and_a_silent_one_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meshproxy.rpc.call.PING_INTERVAL", 0.002)
    monkeypatch.setattr("meshproxy.rpc.call.PING_TIMEOUT", 30.0)
    async with connected() as (call, peer):
        await peer.until(PingReceived)
        peer.events.clear()
        await peer.until(PingReceived)  # it comes again only once the one before was answered
        assert peer.transport is not None
        peer.transport.pause_reading()
        monkeypatch.setattr("meshproxy.rpc.call.PING_TIMEOUT", 0.001)
        call._ping()
        with pytest.raises(UpstreamError, match="has not answered a ping"):
            async with asyncio.timeout(30):
                await call.receive()
        peer.transport.resume_reading()


async def test_a_port_where_nobody_listens_is_named() -> None:
    async with connected() as (_, peer):
        assert peer.transport is not None
        port = peer.transport.get_extra_info("sockname")[1]
    with pytest.raises(UpstreamError, match=f"UNAVAILABLE: 127.0.0.1:{port}: "):
        await dial(f"127.0.0.1:{port}", None)


@pytest.mark.parametrize(
    ("messages", "trailers", "result"),
    [
        ([b"answer"], OK, b"answer"),
        ([b"answer"], [("grpc-status", "13")], UpstreamError("INTERNAL")),
        ([], OK, UpstreamError("without a response")),
        ([], None, UpstreamError("DEADLINE_EXCEEDED: no answer within 0.01 s")),
    ],
)
async def test_a_response_counts_only_with_its_status(
    messages: list[bytes], trailers: list[tuple[str, str]] | None, result: bytes | UpstreamError
) -> None:
    peers: list[Peer] = []

    def accept() -> Peer:
        peers.append(Answering(messages, trailers))
        return peers[0]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    call = await dial(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
    while not peers:  # noqa: ASYNC110 — nothing tells of it
        await asyncio.sleep(0)
    try:
        if isinstance(result, bytes):
            assert await unary(call, "/a.B/C", b"question", (), 5.0) == result
        else:
            with pytest.raises(UpstreamError, match=str(result)):
                await unary(call, "/a.B/C", b"question", (), 0.01 if trailers is None else 5.0)
    finally:
        async with asyncio.timeout(30):
            await peers[0].lost.wait()
        server.close()
        await server.wait_closed()
