"""Connections that carry much read a bounded number of bytes at once; the protocol notices nothing else."""

import asyncio
import socket

import pytest

from meshproxy.transport.bounded_read import (
    FEW_STUCK,
    LARGE_READ,
    MAX_READ,
    STUCK,
    BoundedReads,
    bound_reads,
)

MUCH = bytes(range(256)) * 8192


class _Sink(asyncio.Protocol):
    """Bounds its reads at the first one."""

    def __init__(self, size: int) -> None:
        self.reads: list[bytes] = []
        self.events: list[str] = []
        self.is_whole = asyncio.Event()
        self.is_over = asyncio.Event()
        self._size = size
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "set_protocol")
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self.reads:
            assert self._transport is not None
            bound_reads(self._transport, self)
        self.reads.append(data)
        if sum(map(len, self.reads)) == self._size:
            self.is_whole.set()

    def eof_received(self) -> bool:
        self.events.append("eof")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.is_over.set()


@pytest.mark.parametrize(
    ("stuck", "bound"), [(0, LARGE_READ), (FEW_STUCK, LARGE_READ), (FEW_STUCK + 1, MAX_READ)]
)
async def test_reads_are_bounded_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, stuck: int, bound: int
) -> None:
    monkeypatch.setattr(STUCK, "count", stuck)
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        theirs.setblocking(False)
        sink = _Sink(len(MUCH))
        await loop.create_unix_connection(lambda: sink, sock=ours)
        sending = asyncio.create_task(loop.sock_sendall(theirs, MUCH))
        await asyncio.wait_for(sink.is_whole.wait(), 30)
        await sending
    await asyncio.wait_for(sink.is_over.wait(), 30)
    assert b"".join(sink.reads) == MUCH
    assert max(map(len, sink.reads[1:])) <= bound
    assert sink.events == ["eof", "lost"]


async def test_reads_are_bounded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        transport, sink = await asyncio.get_running_loop().create_unix_connection(lambda: _Sink(0), sock=ours)
        bound_reads(transport, sink)
        between = transport.get_protocol()
        bound_reads(transport, sink)
        assert transport.get_protocol() is between
        transport.abort()
        await asyncio.wait_for(sink.is_over.wait(), 30)


def test_what_concerns_writing_is_passed_on() -> None:
    heard: list[str] = []

    class _Writer(asyncio.Protocol):
        def pause_writing(self) -> None:
            heard.append("pause")

        def resume_writing(self) -> None:
            heard.append("resume")

    bounded = BoundedReads(_Writer())
    bounded.pause_writing()
    bounded.resume_writing()
    assert heard == ["pause", "resume"]


class _OwnTransport(asyncio.Transport):
    """One that reads nothing itself: TLS of ours."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        return "tls" if name == "ssl_object" else default


def test_a_transport_of_ours_is_left_alone() -> None:
    bound_reads(_OwnTransport(), asyncio.Protocol())  # any other method would raise NotImplementedError
