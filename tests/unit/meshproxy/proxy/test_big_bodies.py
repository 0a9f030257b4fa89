"""Bodies far larger than what may be held: memory stays bounded when either end reads slowly."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from tests.unit.meshproxy.proxy.harness import read_head
from tests.unit.meshproxy.proxy.test_http_failure import serving
from tests.unit.meshproxy.proxy.test_two_sidecars import authority, sidecars

__all__ = ["authority"]

MIB = 1 << 20
SIZE = 256 * MIB
PIECE = b"x" * (256 * 1024)
GROWTH = 20 * MIB


def resident() -> int:
    """Bytes of this process in memory: both sidecars, the client and the app."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Watch:
    """The largest growth since it was made."""

    def __init__(self) -> None:
        self._before = resident()
        self.growth = 0

    def look(self) -> None:
        self.growth = max(self.growth, resident() - self._before)


async def send(writer: asyncio.StreamWriter, size: int) -> None:
    for _ in range(size // len(PIECE)):
        writer.write(PIECE)
        await writer.drain()


async def read_slowly(reader: asyncio.StreamReader, size: int, look: Callable[[], None]) -> None:
    """Rests a while, again and again, while the sender has more than all buffers together take."""
    received = rests = 0
    while received < size:
        if received >= rests * (size // 8):
            rests += 1
            await asyncio.sleep(0.1)
            look()
        received += len(await reader.readexactly(min(256 * 1024, size - received)))


def app(look: Callable[[], None]) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Takes a body slowly, then answers with one as long."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await read_slowly(reader, size, look)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            await send(writer, size)

    return serve


async def transfer(port: int, size: int, look: Callable[[], None]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=256 * 1024)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: %d\r\n\r\n" % size)
    await send(writer, size)
    assert (await read_head(reader)).startswith(b"HTTP/1.1 200")
    await read_slowly(reader, size, look)
    writer.close()


async def test_memory_stays_bounded_while_both_ends_read_slowly(authority):
    watches = [Watch()]

    def look() -> None:
        watches[-1].look()

    async with serving(app(look)) as upstream, sidecars(authority, upstream, timeout=0) as pair:
        await transfer(pair.web.port, 16 * MIB, look)  # what the first transfer allocates once for all
        watches.append(Watch())
        await asyncio.wait_for(transfer(pair.web.port, SIZE, look), 120)
    assert watches[-1].growth < GROWTH
