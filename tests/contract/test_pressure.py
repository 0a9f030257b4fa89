"""Memory of two sidecars, each a process, under peers that read or write slowly: bounded, whatever flows.

`MESHPROXY_PRESSURE_MIB=1024` moves a whole GiB each way.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from tests.contract.sidecar_pair import MIB, SidecarPair, sidecar_processes
from tests.unit.meshproxy.proxy.harness import Upstream, ok, read_head

SIZE = int(os.environ.get("MESHPROXY_PRESSURE_MIB", "256")) * MIB
GROWTH = 20_000_000
"""Bytes that a sidecar may grow by."""
PEERS = 100
BIG = 64 * MIB
"""More than all socket buffers on the way hold."""
PIECE = bytes(256 * 1024)
TIMEOUT = 120.0
WARM_UP = 8 * MIB
LOOK = 0.02
"""Seconds between looks at whether something still moves."""


class App:
    """Answers `/N` with N bytes; takes request bodies, but of those for `/wait` nothing until `released`."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.reads_slowly = False
        self.sent = 0
        """Bytes of answers that sockets took."""
        self.begun = 0
        """Answers of which something was sent."""
        self.taken = 0
        """Bytes of requests that were read."""
        self.ended = 0
        """Connections that are over."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._answer(await read_head(reader), reader, writer)
        finally:
            self.ended += 1

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ", 2)[1]
        if b"content-length: " in head.lower():
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await self._take(reader, length, waits=path == b"/wait")
        if path == b"/wait":
            writer.write(ok())
        else:
            size = int(path[1:])
            self.begun += 1
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            for start in range(0, size, len(PIECE)):
                writer.write(PIECE[: size - start])
                await writer.drain()
                self.sent += len(PIECE)

    async def _take(self, reader: asyncio.StreamReader, length: int, *, waits: bool) -> None:
        if waits:
            await self.released.wait()
        left = length
        while left:
            left -= (got := len(await reader.read(min(left, len(PIECE)))))
            assert got, "the request was cut"
            self.taken += got


async def take(connection: socket.socket, size: int) -> None:
    """Read so many bytes of an answer."""
    loop = asyncio.get_running_loop()
    while size:
        got = await loop.sock_recv(connection, min(size, len(PIECE)))
        assert got, "the answer was cut"
        size -= len(got)


async def take_slowly(connection: socket.socket, size: int, rests: int, sent: Callable[[], int]) -> None:
    """The same, with so many rests until whoever sends is stuck."""
    for part in range(rests):
        await still(sent)
        await take(connection, size * (part + 1) // rests - size * part // rests)


async def still(moved: Callable[[], int]) -> None:
    """Until something has moved, and then nothing any more, twice in a row."""
    before, same = 0, 0
    async with asyncio.timeout(TIMEOUT):
        while same < 2:
            await asyncio.sleep(LOOK)
            now = moved()
            before, same = now, same + 1 if now and now == before else 0


@contextlib.asynccontextmanager
async def running(**manager: object) -> AsyncIterator[tuple[App, SidecarPair]]:
    app = App()
    upstream = await Upstream(app.serve).start()
    try:
        async with asyncio.timeout(TIMEOUT), sidecar_processes(upstream.endpoint, **manager) as pair:
            yield app, pair
    finally:
        await upstream.stop()


async def connect(pair: SidecarPair) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", pair.web.port))
    return connection


CLOSE = b"connection: close\r\n"


def get(size: int, more: bytes = b"") -> bytes:
    return b"GET /%d HTTP/1.1\r\nHost: a\r\n%b\r\n" % (size, more)


def post(path: bytes, size: int, more: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\ncontent-length: %d\r\n%b\r\n" % (path, size, more)


async def head_of(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        got = await asyncio.get_running_loop().sock_recv(connection, 1)
        assert got, f"the connection ended after {head!r}"
        head += got
    return head


async def fetch(connection: socket.socket, size: int) -> None:
    """A whole exchange."""
    await asyncio.get_running_loop().sock_sendall(connection, get(size))
    assert (await head_of(connection)).startswith(b"HTTP/1.1 200")
    await take(connection, size)


async def is_served(pair: SidecarPair) -> bool:
    """A small exchange ends in time."""
    with await connect(pair) as connection:
        await asyncio.get_running_loop().sock_sendall(connection, get(1000, CLOSE))
        return (await head_of(connection)).startswith(b"HTTP/1.1 200")


async def warm_up(pair: SidecarPair) -> None:
    """What a sidecar allocates once for all, and then the mark."""
    with await connect(pair) as connection:
        await asyncio.get_running_loop().sock_sendall(connection, post(b"/%d" % WARM_UP, WARM_UP))
        await asyncio.get_running_loop().sock_sendall(connection, bytes(WARM_UP))
        await head_of(connection)
        await take(connection, WARM_UP)
    pair.mark()


async def test_a_body_as_long_as_you_like_passes_both_ways_while_both_ends_read_slowly():
    async with running() as (app, pair):
        await warm_up(pair)
        connection = await connect(pair)
        loop, sent = asyncio.get_running_loop(), 0

        async def upload() -> None:
            nonlocal sent
            await loop.sock_sendall(connection, post(b"/wait", SIZE))
            for _ in range(SIZE // len(PIECE)):
                await loop.sock_sendall(connection, PIECE)
                sent += len(PIECE)

        uploading = asyncio.create_task(upload())
        await still(lambda: sent)
        assert 0 < sent < SIZE  # stuck
        app.released.set()
        assert (await head_of(connection)).startswith(b"HTTP/1.1 200")
        await take(connection, len(b"hello"))
        await uploading
        assert app.taken == WARM_UP + SIZE

        await loop.sock_sendall(connection, get(SIZE))
        assert (await head_of(connection)).startswith(b"HTTP/1.1 200")
        await take_slowly(connection, SIZE, 8, lambda: app.sent)
        connection.close()
        assert max(pair.growth) < GROWTH


async def test_a_hundred_that_do_not_read_harm_nobody():
    async with running() as (app, pair):
        await warm_up(pair)
        stuck = [await connect(pair) for _ in range(PEERS)]
        for connection in stuck:
            await asyncio.get_running_loop().sock_sendall(connection, get(BIG))
        await still(lambda: app.sent if app.begun >= PEERS else 0)
        assert app.sent < PEERS * BIG
        with await connect(pair) as other:
            for _ in range(20):
                await fetch(other, 1000)
        for connection in stuck[:2]:  # those that read on get all of it
            assert (await head_of(connection)).startswith(b"HTTP/1.1 200")
            await take(connection, BIG)
        for connection in stuck:
            connection.close()
        assert max(pair.growth) < GROWTH


@pytest.mark.parametrize("kind", ["download", "upload"])
async def test_the_idle_timeout_ends_a_hundred_that_are_stuck(kind):
    # Where app or handshakes are slower than the timeout, exchanges end with a whole 504 instead: then every
    # answer has to end its connection, and a connection that was dialled for nobody ends when it is idle.
    async with running(stream_idle_timeout=1.0, idle_timeout=1.0) as (_, pair):
        await warm_up(pair)
        stuck = [await connect(pair) for _ in range(PEERS)]
        for connection in stuck:
            request = get(BIG, CLOSE) if kind == "download" else post(b"/wait", BIG, CLOSE) + bytes(1000)
            await asyncio.get_running_loop().sock_sendall(connection, request)
        async with asyncio.timeout(TIMEOUT):
            while await pair.web.open_connections() or await pair.catalog.open_connections():  # noqa: ASYNC110
                await asyncio.sleep(LOOK)
            while not await is_served(pair):
                pass
        for connection in stuck:
            connection.close()
        assert max(pair.growth) < GROWTH
