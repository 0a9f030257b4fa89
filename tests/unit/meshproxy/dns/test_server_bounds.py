"""What a client may not do to the resolver: flood it, idle, or leave its answers unread."""

import asyncio

import pytest
from dnslib import DNSRecord

from meshproxy.dns import server as module
from meshproxy.dns.server import DnsServer, _Connection, _Datagrams
from tests.unit.meshproxy.dns.test_server import Bench, bench

__all__ = ["bench"]  # the fixture

FOREIGN = bytes(DNSRecord.question("slow.example.com").pack())
KNOWN = bytes(DNSRecord.question("catalog.shop.svc.cluster.local").pack())


def framed(*packets: bytes) -> bytes:
    return b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)


class Transport(asyncio.Transport):
    """Records what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_reading_now = True
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_reading_now = False

    def resume_reading(self) -> None:
        self.is_reading_now = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


def connect(server: DnsServer) -> tuple[_Connection, Transport]:
    connection, transport = _Connection(server), Transport()
    connection.connection_made(transport)
    return connection, transport


def answers(transport: Transport) -> int:
    found, rest = 0, bytes(transport.written)
    while rest:
        rest = rest[2 + int.from_bytes(rest[:2], "big") :]
        found += 1
    return found


async def test_more_who_wait_than_the_bound_are_dropped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 0)
    assert not bench.server.on_query(FOREIGN, lambda _: None, over_udp=True)
    assert bench.server.on_query(KNOWN, lambda _: None, over_udp=True)


async def test_connections_have_a_bound(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CONNECTIONS", 1)
    (one, first), (_, second) = connect(bench.server), connect(bench.server)
    assert (first.is_aborted, second.is_aborted) == (False, True)
    one.connection_lost(None)
    assert not connect(bench.server)[1].is_aborted


async def test_an_idle_connection_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE_TIMEOUT", 0.0)
    _, transport = connect(bench.server)
    await asyncio.sleep(0.01)
    assert transport.is_aborted


async def test_a_client_with_many_questions_waits_for_answers_to_the_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_PIPELINED", 2)
    connection, transport = connect(bench.server)
    packets = [bytes(DNSRecord.question(f"{number}.example.com").pack()) for number in range(5)]
    connection.data_received(framed(*packets))
    assert not transport.is_reading_now
    async with asyncio.timeout(30):
        while answers(transport) < 5:  # noqa: ASYNC110  # what is awaited is another socket's
            await asyncio.sleep(0.001)
    assert transport.is_reading_now


async def test_a_client_that_reads_no_answers_is_asked_no_more(bench: Bench) -> None:
    connection, transport = connect(bench.server)
    connection.pause_writing()
    connection.data_received(framed(KNOWN, KNOWN))
    assert (answers(transport), transport.is_reading_now) == (0, False)
    connection.resume_writing()
    assert (answers(transport), transport.is_reading_now) == (2, True)


async def test_who_has_gone_gets_nothing(bench: Bench) -> None:
    connection, transport = connect(bench.server)
    connection.data_received(framed(FOREIGN))
    transport.abort()
    connection.data_received(framed(KNOWN))
    connection._respond(b"late")
    assert answers(transport) == 0


async def test_a_full_socket_loses_answers_and_not_memory(bench: Bench) -> None:
    sent: list[bytes] = []

    class Socket(asyncio.DatagramTransport):
        def sendto(self, data: object, addr: object = None) -> None:
            sent.append(bytes(data))  # type: ignore[call-overload]

        def is_closing(self) -> bool:
            return False

    datagrams = _Datagrams(bench.server)
    datagrams.connection_made(Socket())
    datagrams.pause_writing()
    datagrams.datagram_received(KNOWN, ("127.0.0.1", 9))
    assert sent == []
    datagrams.resume_writing()
    datagrams.datagram_received(KNOWN, ("127.0.0.1", 9))
    datagrams.error_received(OSError("gone"))
    assert len(sent) == 1


async def test_without_ipv6_one_address_is_enough(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADDRESSES", ("127.0.0.1", "2001:db8::1"))
    server = DnsServer(bench.resolver)
    assert await server.start(0) > 0
    await server.close()


async def test_closing_drops_what_is_connected(bench: Bench) -> None:
    _, transport = connect(bench.server)
    await bench.server.close()
    assert transport.is_aborted
