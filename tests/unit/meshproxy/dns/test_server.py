"""The resolver on real sockets, before a server of the test's own that counts what it is asked."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import pytest
from dnslib import CNAME, QTYPE, RR, SOA, A, DNSRecord

from meshproxy.clock import SystemClock
from meshproxy.config.name_table import NameAddresses, NameTable
from meshproxy.dns import message as dns
from meshproxy.dns.exchange import ask, random_case
from meshproxy.dns.message import Answer, Question, Record
from meshproxy.dns.name import wire_of
from meshproxy.dns.resolver import Resolver
from meshproxy.dns.server import DnsServer
from meshproxy.dns.start import PodDns
from meshproxy.dns.upstream import MAX_UNDER_WAY, PATIENCE, Upstream
from meshproxy.errors import UpstreamError
from meshproxy.telemetry.metrics import MeshMetrics

CATALOG = "catalog.shop.svc.cluster.local"
TABLE = NameTable.of({CATALOG: NameAddresses((ip_address("10.96.0.20").packed,))}, "cluster.local")
SEARCH = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")


def zone(request: DNSRecord) -> DNSRecord:
    """A world in which `*.example.com` exists, and `big.example.com` does not fit a datagram."""
    reply = request.reply()
    name = str(request.q.qname)
    if not name.lower().endswith("example.com."):
        reply.header.rcode = 3
        reply.add_auth(RR(".", QTYPE.SOA, ttl=60, rdata=SOA("ns", "admin", (1, 2, 3, 4, 60))))
    elif request.q.qtype == QTYPE.A:
        count = 200 if name.lower().startswith("big") else 1
        for number in range(count):
            reply.add_answer(RR(name, QTYPE.A, ttl=60, rdata=A(f"192.0.2.{number % 250}")))
    else:
        reply.add_auth(RR("example.com", QTYPE.SOA, ttl=60, rdata=SOA("ns", "admin", (1, 2, 3, 4, 60))))
    return reply


@dataclass
class World(asyncio.DatagramProtocol):
    """A DNS server; `mangle` makes of its reply the datagrams that are sent."""

    mangle: Callable[[bytes], list[bytes]] = lambda data: [data]
    asked: list[tuple[str, str]] = field(default_factory=list)
    ports: set[int] = field(default_factory=set)
    over_tcp: int = 0
    server: tuple[str, int] = ("", 0)
    _transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = DNSRecord.parse(data)
        self.asked.append((str(request.q.qname).lower().removesuffix("."), QTYPE[request.q.qtype]))
        self.ports.add(addr[1])
        packed = bytes(zone(request).pack())
        if len(packed) > 1232:
            cut = request.reply()
            cut.header.tc = 1
            packed = bytes(cut.pack())
        assert self._transport is not None
        for datagram in self.mangle(packed):
            self._transport.sendto(datagram, addr)

    async def on_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        packed = bytes(zone(DNSRecord.parse(await reader.readexactly(size))).pack())
        self.over_tcp += 1
        framed = len(packed).to_bytes(2, "big") + packed
        for part in (framed[:1], framed[1:]):
            writer.write(part)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    listener = await asyncio.start_server(world.on_stream, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: world, ("127.0.0.1", port))
    world.server = ("127.0.0.1", port)
    try:
        yield world
    finally:
        transport.close()
        listener.close()


@dataclass
class Bench:
    resolver: Resolver
    port: int
    world: World
    metrics: MeshMetrics
    server: DnsServer
    is_current: bool = True

    async def udp(self, name: str, kind: str = "A") -> DNSRecord:
        return DNSRecord.parse(await self.send(bytes(DNSRecord.question(name, kind).pack())))

    async def send(self, packet: bytes, host: str = "127.0.0.1") -> bytes:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect((host, self.port))
            await loop.sock_sendall(client, packet)
            async with asyncio.timeout(30):
                return await loop.sock_recv(client, 4096)

    def counted(self) -> dict[tuple[str, ...], int]:
        return {
            values: counter.value
            for name, values, counter in self.metrics.all_counters()
            if name == "meshproxy_dns_requests_total"
        }


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with running(World()) as world:
        metrics = MeshMetrics()
        upstream = Upstream([world.server], clock=SystemClock())
        found: list[Bench] = []
        resolver = Resolver(upstream, metrics, is_current=lambda: found[0].is_current, clock=SystemClock())
        resolver.table = TABLE
        server = DnsServer(resolver)
        found.append(Bench(resolver, await server.start(0), world, metrics, server))
        try:
            yield found[0]
        finally:
            await server.close()
            await upstream.close()


def addresses(reply: DNSRecord) -> list[str]:
    return [str(record.rdata) for record in reply.rr if record.rtype == QTYPE.A]


async def test_the_four_names_of_ndots_5_are_one_query_upstream(bench: Bench) -> None:
    """What glibc does for `api.example.com`: each search domain, then the name itself."""
    codes = []
    for name in (*(f"api.example.com.{domain}" for domain in SEARCH), "api.example.com"):
        reply = await bench.udp(name)
        codes.append(reply.header.rcode)
    assert codes == [3, 3, 3, 0]
    assert addresses(reply) == ["192.0.2.0"]
    assert bench.world.asked == [("api.example.com", "A")]
    assert addresses(await bench.udp("api.example.com")) == ["192.0.2.0"]
    assert len(bench.world.asked) == 1
    assert bench.counted() == {("mesh", "NXDOMAIN"): 3, ("upstream", "NOERROR"): 1, ("cache", "NOERROR"): 1}


async def test_names_of_the_mesh_need_nobody(bench: Bench) -> None:
    assert addresses(await bench.udp(CATALOG)) == ["10.96.0.20"]
    assert bench.world.asked == []


async def test_without_a_control_plane_unknown_names_of_the_cluster_are_asked_for(bench: Bench) -> None:
    bench.is_current = False
    assert (await bench.udp("new.shop.svc.cluster.local")).header.rcode == 3
    assert addresses(await bench.udp(CATALOG)) == ["10.96.0.20"]
    assert bench.world.asked == [("new.shop.svc.cluster.local", "A")]


async def test_an_absent_name_is_remembered_too(bench: Bench) -> None:
    for _ in range(3):
        assert (await bench.udp("nowhere.example.net")).header.rcode == 3
        assert (await bench.udp("api.example.com", "AAAA")).header.rcode == 0
    assert len(bench.world.asked) == 2


async def test_many_who_ask_at_once_cause_one_query(bench: Bench) -> None:
    replies = await asyncio.gather(*(bench.udp("same.example.com") for _ in range(20)))
    assert {tuple(addresses(reply)) for reply in replies} == {("192.0.2.0",)}
    assert len(bench.world.asked) == 1


async def test_each_query_has_a_port_of_its_own(bench: Bench) -> None:
    await asyncio.gather(*(bench.udp(f"{number}.example.com") for number in range(10)))
    assert len(bench.world.ports) > 5


async def test_what_does_not_fit_is_asked_over_tcp_and_answered_over_tcp(bench: Bench) -> None:
    cut = await bench.udp("big.example.com")
    assert (cut.header.tc, len(cut.rr), bench.world.over_tcp) == (1, 0, 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    packet = bytes(DNSRecord.question("big.example.com").pack())
    framed = len(packet).to_bytes(2, "big") + packet
    writer.write(framed[:5])
    await writer.drain()
    writer.write(framed[5:] + framed)
    for _ in range(2):
        size = int.from_bytes(await reader.readexactly(2), "big")
        assert len(DNSRecord.parse(await reader.readexactly(size)).rr) == 200
    writer.close()
    await writer.wait_closed()


async def test_a_client_over_tcp_that_talks_nonsense_is_dropped(bench: Bench) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    writer.write(b"\x00\x02hi")
    assert await reader.read() == b""
    writer.close()


async def test_bad_queries_get_a_code_or_nothing(bench: Bench) -> None:
    assert DNSRecord.parse(await bench.send(b"\x12\x34" + bytes(10))).header.rcode == 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await bench.send(b"short")


async def test_ipv6_is_served_where_it_exists(bench: Bench) -> None:
    reply = DNSRecord.parse(await bench.send(bytes(DNSRecord.question(CATALOG).pack()), "::1"))
    assert addresses(reply) == ["10.96.0.20"]


async def test_a_forgers_datagrams_are_ignored(bench: Bench) -> None:
    def forged(data: bytes) -> list[bytes]:
        other = DNSRecord.parse(data)
        other.header.id ^= 1
        foreign = DNSRecord.question("other.example.com").reply()
        return [b"", b"junk", bytes(other.pack()), bytes(foreign.pack()), data]

    bench.world.mangle = forged
    assert addresses(await bench.udp("true.example.com")) == ["192.0.2.0"]


async def test_a_guesser_is_given_up() -> None:
    async with running(World(mangle=lambda data: [b"\0\0" + data[2:]] * 20 + [data])) as world:
        with pytest.raises(UpstreamError, match="do not fit"):
            # The true id is 0 once in 65,536 runs.
            await ask(world.server, Question(wire_of("a.example.com"), dns.A), 5.0)


async def test_a_server_that_forgets_letter_case_is_asked_over_tcp() -> None:
    async with running(World(mangle=lambda data: [data[:12] + data[12:].lower()])) as world:
        name = wire_of("a-name-long-enough-for-some-large-letters.example.com")
        found = await ask(world.server, Question(name, dns.A), 5.0)
        assert (len(found.records), world.over_tcp) == (1, 1)


async def test_silence_a_closed_port_and_failure_are_no_answers() -> None:
    async with running(World(mangle=lambda data: [])) as world:
        with pytest.raises(UpstreamError, match=r"did not answer within 0\.05 s"):
            await ask(world.server, Question(wire_of("a.example.com"), dns.A), 0.05)
        world.mangle = lambda data: [data[:3] + b"\x82" + data[4:]]
        with pytest.raises(UpstreamError, match="could not answer"):
            await ask(world.server, Question(wire_of("a.example.com"), dns.A), 5.0)
    with pytest.raises(UpstreamError):
        await ask(world.server, Question(wire_of("a.example.com"), dns.A), 5.0)


def test_letter_case_is_random_and_nothing_else_is_changed() -> None:
    name = wire_of("a-long-name-with-1-digit.example.com")
    found = {random_case(name) for _ in range(20)}
    assert len(found) > 10
    assert {one.lower() for one in found} == {name}


class Servers:
    """Played servers: who answers, and who was asked in which order."""

    def __init__(self, *dead: str) -> None:
        self.dead = set(dead)
        self.asked: list[str] = []
        self.patience: list[float] = []
        self.gate: asyncio.Event | None = None

    async def __call__(self, server: tuple[str, int], question: Question, patience: float) -> Answer:
        self.asked.append(server[0])
        self.patience.append(patience)
        if self.gate is not None:
            await self.gate.wait()
        if server[0] in self.dead:
            raise UpstreamError(f"{server[0]} is dead")
        return Answer(0, (Record(question.name, dns.A, 60, bytes(4)),))


class PlayedClock(SystemClock):
    def __init__(self) -> None:
        self.now = 1000.0
        self.monotonic = lambda: self.now  # type: ignore[method-assign]


def asked(name: str) -> Question:
    return Question(wire_of(name), dns.A)


async def test_a_dead_server_costs_its_time_once() -> None:
    clock, servers = PlayedClock(), Servers("a")
    upstream = Upstream([("a", 53), ("b", 53)], clock=clock, ask_server=servers)
    await upstream.answer(asked("one.example"))
    await upstream.answer(asked("two.example"))
    assert servers.asked == ["a", "b", "b"]
    clock.now += 31
    await upstream.answer(asked("three.example"))
    assert servers.asked[3:] == ["a", "b"]
    assert (upstream.queries, upstream.failures) == (5, 2)
    await upstream.close()


@pytest.mark.parametrize(("count", "tries"), [(1, 3), (2, 4), (3, 6)])
async def test_all_dead_is_known_before_the_app_asks_again(count: int, tries: int) -> None:
    names = [str(number) for number in range(count)]
    servers = Servers(*names)
    upstream = Upstream([(name, 53) for name in names], clock=PlayedClock(), ask_server=servers)
    with pytest.raises(UpstreamError, match="is dead"):
        await upstream.answer(asked("one.example"))
    assert len(servers.asked) == tries
    assert sum(servers.patience) == pytest.approx(PATIENCE)
    await upstream.close()


async def test_a_server_that_says_it_cannot_is_not_asked_twice() -> None:
    async with running(World(mangle=lambda data: [data[:3] + b"\x85" + data[4:]])) as world:
        upstream = Upstream([world.server], clock=SystemClock())
        with pytest.raises(UpstreamError, match="could not answer"):
            await upstream.answer(asked("one.example.com"))
        assert len(world.asked) == 1
        await upstream.close()


async def test_what_nobody_could_answer_is_not_asked_again_at_once() -> None:
    clock, servers = PlayedClock(), Servers("a")
    upstream = Upstream([("a", 53)], clock=clock, ask_server=servers)
    for _ in range(2):
        with pytest.raises(UpstreamError):
            await upstream.answer(asked("one.example"))
    assert len(servers.asked) == 3
    servers.dead.clear()
    clock.now += 1
    await upstream.answer(asked("one.example"))
    assert len(servers.asked) == 4
    await upstream.close()


async def test_failures_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshproxy.dns.upstream.MAX_UNDER_WAY", 2)
    servers = Servers("a")
    upstream = Upstream([("a", 53)], clock=PlayedClock(), ask_server=servers)
    for name in ("one", "two", "three", "one"):
        with pytest.raises(UpstreamError):
            await upstream.answer(asked(f"{name}.example"))
    assert len(servers.asked) == 12
    await upstream.close()


async def test_no_server_and_too_many_questions_are_said_at_once() -> None:
    with pytest.raises(UpstreamError, match="names no DNS server"):
        await Upstream([], clock=PlayedClock()).answer(asked("one.example"))
    servers = Servers()
    servers.gate = asyncio.Event()
    upstream = Upstream([("a", 53)], clock=PlayedClock(), ask_server=servers)
    async with asyncio.TaskGroup() as tasks:
        for number in range(MAX_UNDER_WAY):
            tasks.create_task(upstream.answer(asked(f"{number}.example")))
        await asyncio.sleep(0)
        with pytest.raises(UpstreamError, match="are under way"):
            await upstream.answer(asked("one.more.example"))
        servers.gate.set()
    await upstream.close()


async def test_with_every_server_dead_the_table_has_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("search cluster.local\n")
    for path in (file, tmp_path / "missing"):
        metrics = MeshMetrics()
        pod = PodDns(path, metrics, is_current=lambda: False, clock=SystemClock())
        pod.use_names(TABLE)
        bench = Bench(pod._resolver, await pod.start(0), World(), metrics, pod._server)
        assert (await bench.udp("no.shop.svc.cluster.local")).header.rcode == dns.NXDOMAIN
        assert (await bench.udp("www.example.com")).header.rcode == dns.SERVFAIL
        assert addresses(await bench.udp(CATALOG)) == ["10.96.0.20"]
        assert bench.counted()["upstream", "SERVFAIL"] == 1
        await pod.close()


async def test_a_port_that_is_taken_is_an_error(bench: Bench) -> None:
    with pytest.raises(OSError, match="in use"):
        await DnsServer(bench.resolver).start(bench.port)


async def test_an_alias_is_passed_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def aliased(request: DNSRecord) -> DNSRecord:
        reply = request.reply()
        reply.add_answer(RR(request.q.qname, QTYPE.CNAME, ttl=9, rdata=CNAME("real.example.com")))
        reply.add_answer(RR("real.example.com", QTYPE.A, ttl=9, rdata=A("192.0.2.9")))
        return reply

    monkeypatch.setattr("tests.unit.meshproxy.dns.test_server.zone", aliased)
    reply = await bench.udp("www.example.com")
    assert [QTYPE[one.rtype] for one in reply.rr] == ["CNAME", "A"]


def test_who_captures_no_dns_loads_none_of_this() -> None:
    code = (
        "import sys, meshproxy.main; print([one for one in sys.modules if one.startswith('meshproxy.dns')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
