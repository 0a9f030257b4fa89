"""Every order in which records, pauses and ends may meet a TLS connection: nothing is lost, nothing waits for
bytes that are here already, and what is paused gets no more than the read under way.

Both ends live in memory. The raw transports are queues: a "read" of any size hands over what the peer wrote,
unless the protocol above has paused reading.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproxy.transport.tls import TlsConnection, TlsFailure, TlsTruncated
from tests.unit.meshproxy.transport.test_tls import _write_pair, client_context, server_context

RECORD = 16384

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
"""Of server and client."""


class Wire(asyncio.Transport):
    """The raw transport of one end. What is written waits for the other end to read it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.has_ended = False
        """FIN is behind what was sent."""
        self.is_paused = False
        self.is_gone = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.has_ended, "write after FIN"
        self.sent += data

    def write_eof(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        self.has_ended = self.is_gone = True

    def abort(self) -> None:
        self.is_gone = True

    def is_closing(self) -> bool:
        return self.is_gone

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Bounded reads: the queue's reads have any size."""

    def get_protocol(self) -> asyncio.BaseProtocol:
        return asyncio.Protocol()


class Above(asyncio.Protocol):
    """The protocol above: keeps what it hears, and pauses reading in every `pause_after`th call."""

    def __init__(self, pause_after: int = 0, *, pauses_at_once: bool = False) -> None:
        self.received = bytearray()
        self.events: list[str] = []
        self._calls = 0
        self._pause_after = pause_after
        self._pauses_at_once = pauses_at_once
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsConnection)
        self.transport = transport
        if self._pauses_at_once:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._calls += 1
        if self._pause_after and self._calls % self._pause_after == 0:
            assert self.transport is not None
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.events.append("eof")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(type(exc).__name__ if exc is not None else "lost")


class End:
    """One TLS connection on its wire."""

    def __init__(self, context: ssl.SSLContext, above: Above, *, server_side: bool) -> None:
        self.wire = Wire()
        self.above = above
        self.connection = TlsConnection(
            context,
            server_side=server_side,
            server_name=None if server_side else "catalog",
            on_established=self._on_established,
            on_failed=self._on_failed,
        )
        self.is_established = False
        self.attaches_late = False

    def _on_established(self, connection: TlsConnection) -> None:
        self.is_established = True
        if not self.attaches_late:
            connection.attach(self.above)

    def _on_failed(self, error: Exception) -> None:
        raise AssertionError(f"handshake failed: {error}")

    def read(self, peer: Wire, size: int) -> bool:
        """The event loop's part: one read, if there is something and reading is not paused."""
        if self.wire.is_paused or self.wire.is_gone:
            return False
        if peer.sent:
            data = bytes(peer.sent[:size])
            del peer.sent[:size]
            self.connection.data_received(data)
            return True
        return False


class Pair:
    """A client that sends and a server that receives, established."""

    def __init__(self, contexts: Contexts, above: Above, *, late: bool = False) -> None:
        self.client = End(contexts[1], Above(), server_side=False)
        self.server = End(contexts[0], above, server_side=True)
        self.server.attaches_late = late
        self.server.connection.connection_made(self.server.wire)
        self.client.connection.connection_made(self.client.wire)
        while not (self.server.is_established and self.client.is_established):
            self.server.read(self.client.wire, 1 << 20)
            self.client.read(self.server.wire, 1 << 20)
        self.client.read(self.server.wire, 1 << 20)  # tickets

    def finish(self, sizes: Iterator[int]) -> None:
        """Read on, resuming whatever paused, until nothing is left."""
        server, wire = self.server, self.client.wire
        while wire.sent and not server.wire.is_gone:
            if server.wire.is_paused:
                server.connection.resume_reading()
            assert server.read(wire, next(sizes)), "stalled with bytes to read"


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    pair = _write_pair(tmp_path_factory.mktemp("orderings"), "peer")
    return server_context(pair), client_context(pair, pair[0])


def cycle(sizes: list[int]) -> Iterator[int]:
    while True:
        yield from sizes


SIZES = st.sampled_from([1, 4, 5, 6, 21, 22, 1000, 16405, 16406, 16407, 32812, 65536, 65537, 262144])
WRITES = st.lists(
    st.sampled_from([1, 100, 4000, RECORD - 1, RECORD, RECORD + 1, 40_000, 65536, 200_000]),
    min_size=1,
    max_size=6,
)


def body(size: int, at: int) -> bytes:
    """Bytes that tell their position."""
    return bytes((at + index) * 7 % 251 for index in range(size))


BODY = body(1_300_000, 0)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    writes=WRITES,
    reads=st.lists(SIZES, min_size=1, max_size=5).filter(lambda sizes: max(sizes) > 500),
    pause_after=st.integers(0, 3),
    end=st.sampled_from(["none", "close_notify", "fin"]),
)
def test_all_that_was_sent_is_heard_in_order_whatever_pauses(
    contexts: Contexts, writes: list[int], reads: list[int], pause_after: int, end: str
) -> None:
    above = Above(pause_after)
    pair = Pair(contexts, above)
    sent = 0
    for size in writes:
        pair.client.connection.write(BODY[sent : sent + size])
        sent += size
    if end == "close_notify":
        pair.client.connection.write_eof()
    pair.finish(cycle(reads))
    assert bytes(above.received) == BODY[:sent]
    if end == "fin":
        pair.server.connection.eof_received()
    expected = {"none": [], "close_notify": ["eof"], "fin": [TlsTruncated.__name__]}
    assert above.events == expected[end]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(writes=WRITES, reads=st.lists(SIZES, min_size=1, max_size=5).filter(lambda sizes: max(sizes) > 500))
def test_each_read_delivers_every_record_that_is_whole(
    contexts: Contexts, writes: list[int], reads: list[int]
) -> None:
    """No record waits for a later read: after each, what was heard is what the bytes so far decrypt to."""
    above = Above()
    pair = Pair(contexts, above)
    whole: list[tuple[int, int]] = []  # after so many bytes on the wire, so many of plaintext
    wire = plain = 0
    for size in writes:
        for start in range(0, size, RECORD):
            before = len(pair.client.wire.sent)
            part = min(RECORD, size - start)
            pair.client.connection.write(BODY[plain : plain + part])
            wire, plain = wire + len(pair.client.wire.sent) - before, plain + part
            whole.append((wire, plain))
    sizes, read = cycle(reads), 0
    while pair.client.wire.sent:
        left = len(pair.client.wire.sent)
        pair.server.read(pair.client.wire, next(sizes))
        read += left - len(pair.client.wire.sent)
        assert len(above.received) == max((heard for at, heard in whole if at <= read), default=0)


@pytest.mark.parametrize("pauses_at_once", [False, True])
@pytest.mark.parametrize("end", ["none", "close_notify", "fin"])
@pytest.mark.parametrize("size", [1, RECORD, 100_000])
def test_what_came_before_anybody_was_attached_is_delivered_then(
    contexts: Contexts, size: int, end: str, pauses_at_once: bool
) -> None:
    above = Above(pauses_at_once=pauses_at_once)
    pair = Pair(contexts, above, late=True)
    pair.client.connection.write(BODY[:size])
    if end == "close_notify":
        pair.client.connection.write_eof()
    pair.server.read(pair.client.wire, 70_000)
    assert pair.server.wire.is_paused  # the rest waits in the kernel
    pair.server.connection.attach(above)
    assert pair.server.wire.is_paused == pauses_at_once
    pair.finish(cycle([70_000]))
    assert bytes(above.received) == BODY[:size]
    if end == "fin":
        pair.server.connection.eof_received()
    assert above.events == {"none": [], "close_notify": ["eof"], "fin": [TlsTruncated.__name__]}[end]


def test_a_fin_before_anybody_was_attached_is_a_truncation_behind_the_data(
    contexts: Contexts,
) -> None:
    above = Above()
    pair = Pair(contexts, above, late=True)
    pair.client.connection.write(b"last words")
    pair.server.read(pair.client.wire, 1000)
    assert pair.server.connection.eof_received()
    pair.server.connection.attach(above)
    assert bytes(above.received) == b"last words"
    assert above.events == [TlsTruncated.__name__]


@pytest.mark.parametrize("how", ["close", "abort"])
def test_resuming_what_is_closing_does_nothing(contexts: Contexts, how: str) -> None:
    above = Above(pause_after=1)
    pair = Pair(contexts, above)
    pair.client.connection.write(BODY[:100])
    pair.server.read(pair.client.wire, 1000)
    assert pair.server.wire.is_paused
    getattr(pair.server.connection, how)()
    pair.server.connection.resume_reading()
    assert pair.server.wire.is_paused
    pair.server.connection.write(b"too late")
    assert pair.server.connection.is_closing()


@pytest.mark.parametrize("size", [10, 20_000, 70_000])
def test_broken_records_are_a_failure_behind_what_came_before_them(contexts: Contexts, size: int) -> None:
    above = Above()
    pair = Pair(contexts, above)
    pair.client.connection.write(BODY[:size])
    pair.client.wire.sent += b"\x17\x03\x03\x00\x20" + bytes(32)
    pair.finish(cycle([1 << 20]))
    assert bytes(above.received) == BODY[:size]
    assert above.events == [TlsFailure.__name__]


def test_a_record_head_that_cannot_be_is_a_failure_with_the_next_byte(
    contexts: Contexts,
) -> None:
    """A length no record has is not waited for."""
    above = Above()
    pair = Pair(contexts, above)
    pair.client.connection.write(b"first")
    pair.client.wire.sent += b"\x17\x03\x03\xff\xff"
    pair.finish(cycle([1 << 20]))
    assert bytes(above.received) == b"first"
    pair.client.wire.sent += b"x"
    pair.finish(cycle([1 << 20]))
    assert above.events == [TlsFailure.__name__]
