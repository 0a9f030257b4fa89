"""Names outside: asked of the server that the lab is told, and of nobody else."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from ipaddress import IPv4Address, IPv6Address
from typing import cast

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from lab import dns_forward
from lab.dns import DnsServer, DnsTable
from lab.dns_forward import DnsForwarder, parse_upstream

LOOPBACK = IPv4Address("127.0.0.1")
TABLE = DnsTable.of({("shop", "catalog"): [IPv4Address("10.96.0.20")]})


class Outside(asyncio.DatagramProtocol):
    """A DNS server with one address for every name; `replies` makes datagrams of its answer."""

    def __init__(self, replies: Callable[[bytes], list[bytes]]) -> None:
        self.replies = replies
        self.asked: list[str] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def answer(self, data: bytes) -> bytes:
        reply = DNSRecord.parse(data).reply()
        self.asked.append(str(reply.q.qname))
        reply.add_answer(RR(reply.q.qname, QTYPE.A, ttl=60, rdata=A("192.0.2.7")))
        return bytes(reply.pack())

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        for datagram in self.replies(self.answer(data)):
            self._transport.sendto(datagram, addr)

    async def on_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        for reply in self.replies(self.answer(await reader.readexactly(size)))[:1]:
            writer.write(len(reply).to_bytes(2, "big") + reply)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def outside(
    replies: Callable[[bytes], list[bytes]] = lambda data: [data],
) -> AsyncIterator[tuple[Outside, int]]:
    server = Outside(replies)
    listener = await asyncio.start_server(server.on_stream, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, ("127.0.0.1", port))
    try:
        yield server, port
    finally:
        transport.close()
        listener.close()


@asynccontextmanager
async def cluster(port: int) -> AsyncIterator[int]:
    """The lab's DNS in front of a server outside."""
    stream = socket.create_server(("127.0.0.1", 0))
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram.bind(stream.getsockname())
    server = DnsServer(TABLE, DnsForwarder(LOOPBACK, port))
    await server.start(datagram, stream)
    try:
        yield stream.getsockname()[1]
    finally:
        server.close()


async def ask(port: int, name: str) -> DNSRecord:
    loop = asyncio.get_running_loop()
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.setblocking(False)
        client.connect(("127.0.0.1", port))
        await loop.sock_sendall(client, DNSRecord.question(name).pack())
        async with asyncio.timeout(30):
            return DNSRecord.parse(await loop.sock_recv(client, 4096))


async def test_names_of_the_cluster_stay_inside_and_others_are_asked_for() -> None:
    async with outside() as (server, above), cluster(above) as port:
        assert str((await ask(port, "catalog.shop.svc.cluster.local")).rr[0].rdata) == "10.96.0.20"
        assert (await ask(port, "no.shop.svc.cluster.local")).header.rcode == RCODE.NXDOMAIN
        assert server.asked == []
        assert str((await ask(port, "www.example.com")).rr[0].rdata) == "192.0.2.7"
        assert server.asked == ["www.example.com."]


async def test_over_tcp_as_well() -> None:
    async with outside() as (_, above), cluster(above) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        query = bytes(DNSRecord.question("www.example.com").pack())
        writer.write(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(await reader.readexactly(2), "big")
        reply = DNSRecord.parse(await reader.readexactly(size))
        assert (str(reply.rr[0].rdata), reply.header.id) == ("192.0.2.7", int.from_bytes(query[:2], "big"))
        writer.close()
        await writer.wait_closed()


async def test_replies_to_something_else_are_ignored() -> None:
    def confused(data: bytes) -> list[bytes]:
        other = bytes(DNSRecord.question("other.example").reply().pack())
        return [b"", b"\xff\xff" + data[2:], data[:2] + other[2:], data]

    async with outside(confused) as (_, above), cluster(above) as port:
        assert str((await ask(port, "www.example.com")).rr[0].rdata) == "192.0.2.7"
    async with outside(lambda data: [b"\xff\xff" + data[2:]]) as (_, above):
        query = bytes(DNSRecord.question("www.example.com").pack())
        assert await DnsForwarder(LOOPBACK, above).answer(query, over_udp=False) is None


async def test_silence_and_a_closed_port_are_servfail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_forward, "_PATIENCE", 0.02)
    async with outside(lambda data: []) as (server, above), cluster(above) as port:
        assert (await ask(port, "www.example.com")).header.rcode == RCODE.SERVFAIL
        assert len(server.asked) == 2
    async with cluster(above) as port:
        assert (await ask(port, "www.example.com")).header.rcode == RCODE.SERVFAIL


async def test_more_questions_than_the_bound_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_forward, "MAX_UNDER_WAY", 0)
    async with outside() as (server, above), cluster(above) as port:
        assert (await ask(port, "www.example.com")).header.rcode == RCODE.SERVFAIL
        assert server.asked == []


def test_an_upstream_is_an_address_or_none() -> None:
    assert parse_upstream("") is None
    assert parse_upstream("192.0.2.53") == IPv4Address("192.0.2.53")
    assert parse_upstream("2001:db8::53") == IPv6Address("2001:db8::53")
    with pytest.raises(ValueError, match=r"'dns\.example': give the IP address"):
        parse_upstream("dns.example")
