"""Clients and servers of HTTP/2 that do not keep to it, by frames written by hand, at the whole proxy."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from meshproxy.config.health_check import GrpcCheck, HealthCheck
from meshproxy.config.model import Endpoint
from meshproxy.config.resilience import HealthCheckSettings
from meshproxy.config.route import WeightedCluster
from meshproxy.http.h2 import frame as frames
from meshproxy.http.h2.frame import END_HEADERS, END_STREAM, frame
from meshproxy.http.h2.hpack import ID_PREFIX, Fields, block_bytes
from meshproxy.http.h2.message import messages_of
from meshproxy.http.h2.settings import H2Limits
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from meshproxy.upstream.h2_connection import H2UpstreamConnection
from tests.unit.meshproxy.proxy.h2_peer import H2Upstream, Message, Peer, connect
from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    Upstream,
    answering,
    http_listener,
    ok,
    read_head,
    running,
    snapshot,
    static_cluster,
)

ONE = WeightedCluster("a", 1)
GET: Fields = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"web"))
POST: Fields = ((b":method", b"POST"), *GET[1:])
WAIT = 30.0


def head(stream_id: int, fields: Fields, flags: int = 0) -> bytes:
    return frame(frames.HEADERS, END_HEADERS | flags, stream_id, block_bytes(fields))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110 — what is waited for tells nobody
            await asyncio.sleep(0.001)


def nothing_is_held(mesh: Mesh) -> bool:
    """Every counter of what is under way is back at zero."""
    return not any(
        cluster.active_requests
        or cluster.pending_requests
        or cluster.active_retries
        or any(one.active_requests or one.waiters for one in cluster.endpoints)
        or any(
            m.streams or m._unread or m._withheld or m._waiting
            for e in cluster.endpoints
            for m in e.multiplexed
        )
        for cluster in mesh.live.clusters.values()
    )


def connections(mesh: Mesh) -> int:
    return sum(len(manager.connections) for _, manager in mesh.worker._managers.values())


class Raw:
    """A client that writes frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, mesh: Mesh, settings: dict[int, int] | None = None) -> Raw:
        raw = cls(*await mesh.connect())
        raw.writer.write(frames.PREFACE + frames.settings(settings or {}))
        return raw

    async def next(self, *kinds: int) -> tuple[int, int, bytes]:
        """(type, stream, payload) of the next frame of one of these types."""
        async with asyncio.timeout(WAIT):
            while True:
                start = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(start[:3], "big"))
                if start[3] in kinds:
                    return start[3], frames.word(start, 5), payload


@asynccontextmanager
async def h1_mesh(handler: Callable[..., object], **listener: object) -> AsyncIterator[Mesh]:
    upstream = await Upstream(handler).start()  # type: ignore[arg-type]
    config = snapshot(http_listener(ONE, **listener), static_cluster("a", upstream.endpoint))  # type: ignore[arg-type]
    async with running(config) as mesh:
        yield mesh
    await upstream.stop()


# --- hostile clients ---


async def test_what_follows_a_body_of_no_bytes_is_no_second_request() -> None:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            seen.append(data)
            writer.write(ok())

    smuggled = b"GET /admin HTTP/1.1\r\nhost: a\r\n\r\n"
    async with h1_mesh(handle) as mesh:
        for at_once in (True, False):
            client = await Raw.open(mesh)
            client.writer.write(head(1, (*POST, (b"content-length", b"0"))))
            if not at_once:
                await client.next(frames.HEADERS)
            client.writer.write(frame(frames.DATA, END_STREAM, 1, smuggled))
            if at_once:
                assert await client.next(frames.RST_STREAM) == (frames.RST_STREAM, 1, b"\0\0\0\x01")
            client.writer.write(head(3, GET, END_STREAM))
            await client.next(frames.DATA)
            client.writer.close()
        await until(lambda: nothing_is_held(mesh))
        assert b"/admin" not in b"".join(seen)


async def test_an_id_is_not_the_end_of_a_head() -> None:
    seen: list[bytes] = []
    async with h1_mesh(answering(ok(), seen)) as mesh:
        client = await Raw.open(mesh)
        identity = b"a\r\n\r\nGET /admin HTTP/1.1\r\nhost:b\r\n\r\n"[:36]
        for stream_id in (1, 3):
            block = block_bytes(GET) + ID_PREFIX + identity.ljust(36)
            client.writer.write(frame(frames.HEADERS, END_HEADERS | END_STREAM, stream_id, block))
            assert (await client.next(frames.RST_STREAM))[1:] == (stream_id, b"\0\0\0\x01")
        assert seen == []
        client.writer.close()


async def test_an_answer_that_is_not_taken_is_given_up_in_time() -> None:
    """A stream whose exchange is over, and whose client opens no window."""
    async with h1_mesh(answering(ok(bytes(10_000))), stream_idle_timeout=60.0) as mesh:
        for flags in (END_STREAM, 0):
            client = await Raw.open(mesh, {4: 0})
            client.writer.write(head(1, POST, flags))
            await client.next(frames.HEADERS)
            await until(lambda: nothing_is_held(mesh))
            (connection,) = [
                one for _, manager in mesh.worker._managers.values() for one in manager.connections
            ]
            now = mesh.services.clock.monotonic()
            connection.check_idle(now)
            connection.check_idle(now + 59.0)
            assert connection.is_busy
            connection.check_idle(now + 61.0)
            assert not connection.is_busy
            assert (await client.next(frames.RST_STREAM))[:2] == (frames.RST_STREAM, 1)
            client.writer.close()
            await until(lambda: not connections(mesh))


async def test_a_request_whose_answer_had_to_wait_is_not_read_on() -> None:
    async with h1_mesh(answering(ok(bytes(100)))) as mesh:
        client = await Raw.open(mesh, {4: 0})
        client.writer.write(head(1, POST))
        await client.next(frames.HEADERS)
        await until(lambda: nothing_is_held(mesh))
        client.writer.write(frames.window_update(1, 100))
        assert await client.next(frames.RST_STREAM) == (frames.RST_STREAM, 1, bytes(4))
        client.writer.close()


async def test_a_fault_of_the_connection_ends_its_exchanges_at_once() -> None:
    """Though the client reads nothing, so that the connection itself takes its time to end."""

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with h1_mesh(never) as mesh:
        client = await Raw.open(mesh)
        client.writer.write(b"".join(head(2 * n + 1, GET, END_STREAM) for n in range(10)))
        await until(lambda: mesh.live.clusters["a"].active_requests == 10)
        client.writer.write(head(21, GET, END_STREAM) + frame(frames.PING, 0, 5, bytes(8)))
        await until(lambda: nothing_is_held(mesh))
        assert frames.word((await client.next(frames.GOAWAY))[2], 4) == 1
        assert mesh.metric("meshproxy_connections_refused_total", reason="h2_protocol_error") == 1
        client.writer.close()


async def test_connect_is_not_allowed() -> None:
    async with h1_mesh(answering(ok())) as mesh:
        client = await connect(mesh.port)
        client.h2.send_headers(1, [(b":method", b"CONNECT"), (b":authority", b"a:80")])
        client.flush()
        answer = await client.messages.setdefault(1, Message(1)).until(lambda one: bool(one.fields))
        assert answer.status == 405
        client.close()


# --- hostile servers ---


class RawServer:
    """A server that answers each request with frames it was given."""

    def __init__(self, answers: list[bytes], settings: dict[int, int] | None = None) -> None:
        self._answers = answers
        self._settings = settings or {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> RawServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await reader.readexactly(len(frames.PREFACE))
            writer.write(frames.settings(self._settings))
            while True:
                start = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(start[:3], "big"))
                if start[3] == frames.HEADERS:
                    number = frames.word(start, 5).to_bytes(4, "big")
                    writer.write(self._answers.pop(0).replace(b"\xff\xff\xff\xff", number))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    @property
    def open(self) -> int:
        """Connections."""
        return len(self._tasks)

    @property
    def unanswered(self) -> int:
        return len(self._answers)

    @property
    def endpoint(self) -> Endpoint:
        assert self._server is not None
        return Endpoint("127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


THEIRS = 0xFFFFFFFF
"""Stands for the stream of the request."""


def answer(*more: tuple[bytes, bytes], status: bytes = b"200", end: bool = False) -> bytes:
    return head(THEIRS, ((b":status", status), *more), END_STREAM if end else 0)


def data(text: bytes, *, end: bool = True) -> bytes:
    return frame(frames.DATA, END_STREAM if end else 0, THEIRS, text)


@asynccontextmanager
async def raw_mesh(*answers: bytes) -> AsyncIterator[Mesh]:
    server = await RawServer(list(answers)).start()
    try:
        config = snapshot(http_listener(ONE), static_cluster("a", server.endpoint, http2=True))
        async with running(config) as mesh:
            yield mesh
    finally:
        await server.stop()


SECOND = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong"
LENGTH_5 = (b"content-length", b"5")
LIES = [
    (b"HEAD", answer(LENGTH_5) + data(SECOND)),
    (b"HEAD", answer(LENGTH_5) + data(SECOND, end=False) + data(b"")),
    (b"GET", answer(status=b"204") + data(SECOND)),
    (b"GET", answer(LENGTH_5, status=b"304") + data(SECOND)),
    (b"GET", answer(LENGTH_5, status=b"304") + data(SECOND[:5])),
    (b"GET", answer(LENGTH_5, end=True)),
    (b"GET", answer(LENGTH_5) + data(b"four")),
    (b"GET", answer(LENGTH_5) + data(b"five5" + SECOND)),
    (b"GET", answer((b"content-length", b"0")) + data(SECOND)),
    (b"GET", answer((b"a:b\r\n\r\n", b"1"), end=True)),
    (b"GET", answer(status=b"101")),
    (b"GET", answer(status=b"100", end=True)),
    (b"GET", data(SECOND)),
]


@pytest.mark.parametrize(("method", "lie"), LIES)
async def test_an_answer_that_lies_about_its_body_becomes_no_second_answer(method: bytes, lie: bytes) -> None:
    async with raw_mesh(lie, answer(end=True)) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"%b / HTTP/1.1\r\nhost: web\r\n\r\n" % method)
        try:
            async with asyncio.timeout(WAIT):
                first = await read_head(reader)
                length = int(first.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                if method != b"HEAD" and not first.startswith((b"HTTP/1.1 304", b"HTTP/1.1 204")):
                    await reader.readexactly(length)
                writer.write(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n")
                assert b"wrong" not in first + await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # cut: the client sees that something is missing
        writer.close()
        await until(lambda: nothing_is_held(mesh))


async def test_trailers_behind_a_body_of_no_bytes() -> None:
    trailers = head(THEIRS, ((b"x-t", b"1"),), END_STREAM)
    async with raw_mesh(answer((b"content-length", b"0")) + trailers) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await until(lambda: nothing_is_held(mesh))


async def test_an_answers_request_id_arrives() -> None:
    """As the last field, in the form in which requests have it apart."""
    identity = b"0123456789abcdef0123456789abcdef0123"
    async with raw_mesh(*[answer((b"x-request-id", identity), end=True)] * 2) as mesh:
        client = await connect(mesh.port)
        for _ in range(2):
            message = await client.request().end()
            assert message.fields[b"x-request-id"] == identity
        client.close()


@pytest.mark.parametrize("count", [1000, 1001])
async def test_interim_answers_have_an_end(count: int) -> None:
    async with raw_mesh(answer(status=b"102") * count + answer(end=True)) as mesh:
        client = await connect(mesh.port)
        message = await client.request().end()
        assert message.status == (200 if count == 1000 else 503)
        client.close()


async def test_new_exchanges_do_not_queue_behind_slow_readers() -> None:
    """What paused streams hold withholds the credit of the whole connection: others take another one."""
    rooms: list[H2UpstreamConnection] = []
    limits = H2Limits(max_unread=65_536)
    connection = H2UpstreamConnection(
        messages_of(HeadMemory(), HeadLimits()), limits, rooms.append, rooms.append
    )
    connection.start()
    connection.receive(frames.settings({}))
    assert connection.has_room
    stream = connection.open()
    stream.owner = connection.lane()
    connection.receive(head(1, ((b":status", b"200"),)))
    connection.pause(stream)
    connection.receive(frame(frames.DATA, 0, 1, bytes(16_384)) * 3)
    assert not connection.has_room
    connection.resume(stream)
    assert connection.has_room


async def test_checks_leave_no_connections_at_a_server_that_allows_no_streams() -> None:
    well = answer((b"content-type", b"application/grpc")) + data(b"\0\0\0\0\x02\x08\x01", end=False)
    well += head(THEIRS, ((b"grpc-status", b"0"),), END_STREAM)
    server = await RawServer([well] * 100, {3: 0}).start()
    settings = HealthCheckSettings(timeout=30.0, interval=0.01, unhealthy_threshold=1, healthy_threshold=1)
    check = HealthCheck(GrpcCheck("web", ""), settings)
    cluster = static_cluster("a", server.endpoint, http2=True, health_check=check)
    async with running(snapshot(http_listener(ONE), cluster)) as mesh:
        mesh.live.clusters["a"].exchanges += 1  # so that checks are made at their interval
        await until(lambda: server.unanswered <= 92)
        assert server.open <= 3
    await server.stop()


# --- anything ---


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("is_h2_upstream", [True, False])
async def test_nothing_is_left_of_exchanges_however_they_end(seed: int, is_h2_upstream: bool) -> None:
    """Clients that upload, stop reading, reset and leave; servers that answer early, cut or refuse."""
    rng = random.Random(seed)

    async def over_h2(peer: Peer, message: Message) -> None:
        for _ in range(rng.randrange(3)):
            await asyncio.sleep(0)
        what = rng.randrange(6)
        if what == 0:
            peer.give_up(message.stream, rng.choice((1, 7, 8)))
            return
        if what == 1:
            peer.h2.close_connection(last_stream_id=message.stream)
            peer.flush()
        peer.respond(message.stream, (b":status", b"200"), end=what == 2)
        if what == 3:
            peer.give_up(message.stream, 2)
        elif what != 2:
            await peer.send(message.stream, bytes(rng.randrange(200_000)))

    async def over_h1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            what = rng.randrange(4)
            if what == 0:
                return
            writer.write(ok(bytes(rng.randrange(200_000)))[: None if what != 1 else 40])
            if what < 3:
                return

    upstream = await (H2Upstream(over_h2) if is_h2_upstream else Upstream(over_h1)).start()
    config = snapshot(http_listener(ONE), static_cluster("a", upstream.endpoint, http2=is_h2_upstream))
    async with running(config) as mesh:
        for _ in range(6):
            client = await Raw.open(mesh, {4: rng.choice((0, 1000, 65_535))})
            for number in range(1, 60, 2):
                flags = rng.choice((0, END_STREAM))
                client.writer.write(head(number, rng.choice((GET, POST)), flags))
                if not flags:
                    size, is_last = rng.randrange(0, 16_384), rng.random() < 0.5
                    client.writer.write(frame(frames.DATA, END_STREAM if is_last else 0, number, bytes(size)))
                if rng.random() < 0.3:
                    await asyncio.sleep(0)
                if rng.random() < 0.4:
                    client.writer.write(frames.rst_stream(rng.randrange(1, number + 1, 2), 8))
                if rng.random() < 0.3:
                    client.writer.write(frames.window_update(0, 1000))
            if rng.random() < 0.3:
                client.writer.write(frame(frames.PING, 0, 1, bytes(8)))
            await asyncio.sleep(rng.choice((0, 0.001, 0.01)))
            client.writer.transport.abort()
        await until(lambda: not connections(mesh) and nothing_is_held(mesh))
    await upstream.stop()
