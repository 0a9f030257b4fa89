"""The cluster's DNS: answers as pure data, then the server on real sockets."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv4Address
from typing import cast

import pytest
from dnslib import EDNS0, QTYPE, RCODE, RR, A, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from lab.dns import DnsServer, DnsTable, answer

TABLE = DnsTable.of(
    {
        ("shop", "catalog"): [IPv4Address("10.96.0.20")],
        ("shop", "headless"): [IPv4Address("10.244.0.3"), IPv4Address("10.244.0.4")],
        ("shop", "nobody"): [],
        ("shop", "crowd"): [IPv4Address("10.244.1.0") + number for number in range(1200)],
    }
)
TWO_QUESTIONS = b"\x00\x01\x01\x00\x00\x02" + b"\x00" * 6 + b"\x01a\x00\x00\x01\x00\x01" * 2


def query(name: str, kind: str = "A") -> DNSRecord:
    return DNSRecord.question(name, kind)


def ask(name: str, kind: str = "A", *, over_udp: bool = True) -> DNSRecord:
    return DNSRecord.parse(answer(query(name, kind).pack(), TABLE, over_udp=over_udp))


def addresses(reply: DNSRecord) -> list[str]:
    return [str(record.rdata) for record in reply.rr]


def test_a_service_is_its_cluster_ip_whatever_the_case_of_the_question() -> None:
    reply = ask("Catalog.SHOP.svc.cluster.local")
    assert (reply.header.rcode, reply.header.aa, addresses(reply)) == (RCODE.NOERROR, 1, ["10.96.0.20"])
    assert str(reply.q.qname) == "Catalog.SHOP.svc.cluster.local."


def test_a_headless_service_is_its_pods() -> None:
    assert addresses(ask("headless.shop.svc.cluster.local")) == ["10.244.0.3", "10.244.0.4"]


def test_the_answer_carries_the_id_of_the_question() -> None:
    request = query("catalog.shop.svc.cluster.local")
    assert DNSRecord.parse(answer(request.pack(), TABLE)).header.id == request.header.id


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("catalog.shop.svc.cluster.local", "AAAA"),
        ("nobody.shop.svc.cluster.local", "A"),
        ("shop.svc.cluster.local", "A"),
        ("svc.cluster.local", "A"),
        ("cluster.local", "A"),
    ],
)
def test_a_name_without_such_data_exists_but_is_empty(name: str, kind: str) -> None:
    reply = ask(name, kind)
    assert (reply.header.rcode, reply.rr) == (RCODE.NOERROR, [])
    assert reply.auth[0].rtype == QTYPE.SOA


@pytest.mark.parametrize(
    "name", ["no.shop.svc.cluster.local", "catalog.shop.cluster.local", "x.cluster.local"]
)
def test_an_unknown_name_of_the_cluster_does_not_exist(name: str) -> None:
    reply = ask(name)
    assert reply.header.rcode == RCODE.NXDOMAIN
    assert reply.auth[0].rtype == QTYPE.SOA


@pytest.mark.parametrize("name", ["example.com", "catalog", "notcluster.local", "."])
def test_names_of_others_are_refused(name: str) -> None:
    reply = ask(name)
    assert (reply.header.rcode, reply.header.aa, reply.rr) == (RCODE.REFUSED, 0, [])


def test_a_dot_inside_a_label_is_not_a_separator() -> None:
    request = query("placeholder")
    request.q.qname.label = (b"catalog.shop", b"svc", b"cluster", b"local")
    assert DNSRecord.parse(answer(request.pack(), TABLE)).header.rcode == RCODE.NXDOMAIN


def test_another_class_is_refused() -> None:
    request = DNSRecord(q=DNSQuestion("catalog.shop.svc.cluster.local", QTYPE.A, 3))
    assert DNSRecord.parse(answer(request.pack(), TABLE)).header.rcode == RCODE.REFUSED


def test_another_operation_is_not_implemented() -> None:
    request = DNSRecord(DNSHeader(opcode=5), q=DNSQuestion("cluster.local"))
    assert DNSRecord.parse(answer(request.pack(), TABLE)).header.rcode == RCODE.NOTIMP


@pytest.mark.parametrize(
    "body", [b"", b"\x00\x01\x01\x00\x00\x02" + b"\x00" * 6 + b"\x01a\x00\x00\x01\x00\x01" * 2]
)
def test_other_than_one_question_is_a_format_error(body: bytes) -> None:
    request = body or DNSRecord().pack()
    assert DNSRecord.parse(answer(request, TABLE)).header.rcode == RCODE.FORMERR


@pytest.mark.parametrize(("section", "records"), [("ar", 9), ("rr", 1), ("auth", 1)])
def test_a_query_that_brings_records_is_a_format_error(section: str, records: int) -> None:
    """Reading thousands of them, names by pointers, would keep the kubelet for seconds."""
    asked = query("catalog.shop.svc.cluster.local")
    getattr(asked, section).extend([RR("a", rdata=A("10.0.0.1"))] * records)
    assert DNSRecord.parse(answer(asked.pack(), TABLE)).header.rcode == RCODE.FORMERR


def test_a_cut_off_question_is_a_format_error_with_its_id() -> None:
    reply = DNSRecord.parse(answer(query("catalog.shop.svc.cluster.local").pack()[:20], TABLE))
    assert reply.header.rcode == RCODE.FORMERR


def test_responses_and_fragments_get_no_answer() -> None:
    assert answer(ask("cluster.local").pack(), TABLE) == b""
    assert answer(b"\x00" * 11, TABLE) == b""


def test_an_answer_too_large_for_udp_is_truncated_and_whole_over_tcp() -> None:
    truncated = ask("crowd.shop.svc.cluster.local")
    assert (truncated.header.tc, truncated.rr) == (1, [])
    whole = answer(query("crowd.shop.svc.cluster.local").pack(), TABLE, over_udp=False)
    assert len(DNSRecord.parse(whole).rr) == 1000
    assert len(whole) < 65_535


def test_a_client_with_edns_gets_more_over_udp_and_an_option_back() -> None:
    table = DnsTable.of({("shop", "many"): [IPv4Address("10.244.0.0") + number for number in range(40)]})
    request = query("many.shop.svc.cluster.local")
    assert DNSRecord.parse(answer(request.pack(), table)).header.tc == 1
    request.add_ar(EDNS0(udp_len=4096))
    reply = DNSRecord.parse(answer(request.pack(), table))
    assert (reply.header.tc, len(reply.rr), reply.ar[0].rtype) == (0, 40, QTYPE.OPT)


@given(st.binary(max_size=80))
def test_arbitrary_bytes_raise_nothing(data: bytes) -> None:
    answer(data, TABLE)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_behind_a_question_raise_nothing(data: bytes) -> None:
    header = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
    assert answer(header + b"\x01a\x00\x00\x01\x00\x01" + data, TABLE)


@pytest.fixture
def datagram() -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    return bound


@pytest.fixture
def udp_address(datagram: socket.socket) -> tuple[str, int]:
    return cast("tuple[str, int]", datagram.getsockname())


@pytest.fixture
async def server(
    udp_address: tuple[str, int], datagram: socket.socket
) -> AsyncIterator[tuple[DnsServer, int]]:
    stream = socket.create_server(("127.0.0.1", 0))
    port = stream.getsockname()[1]
    dns = DnsServer(TABLE)
    await dns.start(datagram, stream)
    yield dns, port
    dns.close()
    await asyncio.sleep(0)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def exchange(streams: Streams, *names: str) -> list[DNSRecord]:
    reader, writer = streams
    for name in names:
        packed = query(name).pack()
        writer.write(len(packed).to_bytes(2, "big") + packed)
    replies = []
    for _ in names:
        size = int.from_bytes(await reader.readexactly(2), "big")
        replies.append(DNSRecord.parse(await reader.readexactly(size)))
    return replies


async def ask_over_tcp(port: int, *names: str) -> list[DNSRecord]:
    async with connected(port) as streams:
        return await exchange(streams, *names)


async def test_the_server_answers_pipelined_queries_over_tcp(server: tuple[DnsServer, int]) -> None:
    names = ("catalog.shop.svc.cluster.local", "headless.shop.svc.cluster.local")
    assert [len(reply.rr) for reply in await ask_over_tcp(server[1], *names)] == [1, 2]


async def test_the_server_answers_from_the_newest_table(server: tuple[DnsServer, int]) -> None:
    dns, port = server
    dns.table = DnsTable.of({("shop", "new"): [IPv4Address("10.96.0.99")]})
    (reply,) = await ask_over_tcp(port, "new.shop.svc.cluster.local")
    assert addresses(reply) == ["10.96.0.99"]


async def is_dropped(streams: Streams) -> bool:
    try:
        return await streams[0].read(1) == b""
    except ConnectionResetError:
        return True


async def test_a_tcp_client_that_sends_no_query_is_dropped(server: tuple[DnsServer, int]) -> None:
    async with connected(server[1]) as streams:
        streams[1].write(b"\x00\x03abc")
        assert await is_dropped(streams)


async def test_connections_beyond_the_limit_are_dropped(server: tuple[DnsServer, int]) -> None:
    dns, port = server
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(64):
            streams = await stack.enter_async_context(connected(port))
            await exchange(streams, "cluster.local")
        assert await is_dropped(await stack.enter_async_context(connected(port)))
        assert len(dns.connections) == 64


async def test_the_server_answers_over_udp(
    server: tuple[DnsServer, int], udp_address: tuple[str, int]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(udp_address)
        client.send(b"ignored")
        client.send(query("catalog.shop.svc.cluster.local").pack())
        async with asyncio.timeout(30):
            reply = await asyncio.get_running_loop().sock_recv(client, 2000)
    assert addresses(DNSRecord.parse(reply)) == ["10.96.0.20"]


def test_an_external_name_is_an_alias() -> None:
    table = DnsTable.of(
        {("shop", "catalog"): [IPv4Address("10.96.0.7")]},
        aliases={("shop", "out"): "API.example.com.", ("shop", "again"): "catalog.shop.svc.cluster.local"},
    )
    outside = DNSRecord.parse(answer(DNSRecord.question("out.shop.svc.cluster.local").pack(), table))
    assert [str(record.rdata) for record in outside.rr] == ["api.example.com."]
    inside = DNSRecord.parse(answer(DNSRecord.question("again.shop.svc.cluster.local").pack(), table))
    assert [str(record.rdata) for record in inside.rr] == ["catalog.shop.svc.cluster.local.", "10.96.0.7"]
    v6 = DNSRecord.parse(answer(DNSRecord.question("again.shop.svc.cluster.local", "AAAA").pack(), table))
    assert [str(record.rdata) for record in v6.rr] == ["catalog.shop.svc.cluster.local."]
