"""The end of a connection towards peers that read, that do not, and that go on sending."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from meshproxy.transport import linger

BODY = bytes(10_000_000)


class Ending(asyncio.Protocol):
    """Sends all of it at once, and ends."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.begun = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's do not subclass asyncio's
        self.transport.write(BODY)
        linger.close_when_received(self.transport)
        self.begun.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@asynccontextmanager
async def ending() -> AsyncIterator[tuple[Ending, asyncio.StreamReader, asyncio.StreamWriter]]:
    """One end, and the peer's side of it."""
    protocol = Ending()
    server = await asyncio.get_running_loop().create_server(lambda: protocol, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        await asyncio.wait_for(protocol.begun.wait(), 30)
        yield protocol, reader, writer
    finally:
        writer.transport.abort()
        server.close()


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "_LOOK_SECONDS", 0.01)


async def test_a_peer_that_goes_on_sending_reads_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "_MOST_LOOKS", 30_000)  # a look is soon here: as long as it takes
    async with ending() as (protocol, reader, writer):
        size = 0
        while data := await asyncio.wait_for(reader.read(65536), 30):
            size += len(data)
            writer.write(b"more, please")
        assert size == len(BODY)
        writer.close()
        await asyncio.wait_for(protocol.lost.wait(), 30)


async def test_it_is_over_when_the_peer_has_it_all_and_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "_QUIET_SECONDS", 0.05)
    async with ending() as (protocol, reader, _):
        assert len(await asyncio.wait_for(reader.read(), 30)) == len(BODY)
        await asyncio.wait_for(protocol.lost.wait(), 30)


async def test_it_is_over_when_the_peer_leaves() -> None:
    async with ending() as (protocol, _, writer):
        writer.transport.abort()
        await asyncio.wait_for(protocol.lost.wait(), 30)


async def test_a_peer_that_reads_nothing_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    def look(transport: asyncio.Transport, count: int) -> None:
        nonlocal looks
        looks = count
        real(transport, count)

    real = linger._look
    monkeypatch.setattr(linger, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(linger, "_MOST_LOOKS", 5)
    monkeypatch.setattr(linger, "_look", look)
    async with ending() as (protocol, _, _):
        assert protocol.transport is not None
        async with asyncio.timeout(30):
            while not protocol.transport.is_closing():  # noqa: ASYNC110 — nothing tells of it
                await asyncio.sleep(0.01)
        assert looks == 5
