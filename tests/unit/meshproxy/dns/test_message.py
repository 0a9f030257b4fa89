"""Queries and answers on the wire; dnslib is the other end."""

import pytest
from dnslib import EDNS0, QTYPE, RCODE, RR, A, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.dns import message as dns
from meshproxy.dns.message import Answer, BadQuery, Question, Record, read_query, write_query, write_response
from meshproxy.dns.name import DnsError, folded, is_within, read_name, text_of, wire_of

NAME = wire_of("Catalog.shop.svc.cluster.local")
ADDRESS = Record(NAME, dns.A, 30, bytes((10, 96, 0, 20)))


def asked(name: str = "catalog.shop.svc.cluster.local", kind: str = "A", edns: int | None = None) -> bytes:
    record = DNSRecord.question(name, kind)
    if edns is not None:
        record.add_ar(EDNS0(udp_len=edns))
    return bytes(record.pack())


def test_a_query_is_read_as_it_was_asked() -> None:
    query = read_query(asked("Catalog.Shop", "AAAA", 4096))
    assert (query.question.name, query.question.type) == (wire_of("Catalog.Shop"), dns.AAAA)
    assert (query.is_recursive, query.is_unchecked, query.udp_size) == (True, False, 4096)
    assert query.question.key == Question(wire_of("catalog.shop"), dns.AAAA).key


def test_an_answer_has_the_id_question_and_records() -> None:
    query = read_query(asked("CATALOG.shop.svc.cluster.local"))
    reply = DNSRecord.parse(
        write_response(query, Answer(dns.NOERROR, (ADDRESS,), is_authoritative=True), age=12)
    )
    assert (reply.header.id, reply.header.aa, reply.header.ra, reply.header.rcode) == (query.id, 1, 1, 0)
    assert [(str(one.rname), one.ttl, str(one.rdata)) for one in reply.rr] == [
        ("CATALOG.shop.svc.cluster.local.", 18, "10.96.0.20")
    ]


def test_aliases_keep_their_own_names() -> None:
    target = wire_of("cdn.example.net")
    records = (
        Record(wire_of("www.example.com"), dns.CNAME, 60, target),
        Record(target, dns.A, 60, bytes(4)),
        Record(target, dns.A, 60, bytes((1, 1, 1, 1))),
    )
    reply = DNSRecord.parse(write_response(read_query(asked("www.example.com")), Answer(0, records)))
    assert [(str(one.rname), QTYPE[one.rtype]) for one in reply.rr] == [
        ("www.example.com.", "CNAME"),
        ("cdn.example.net.", "A"),
        ("cdn.example.net.", "A"),
    ]


@pytest.mark.parametrize(("edns", "fits"), [(None, 30), (1232, 70), (65535, 70)])
def test_what_does_not_fit_a_datagram_is_truncated_and_whole_over_tcp(edns: int | None, fits: int) -> None:
    query = read_query(asked(edns=edns))
    for count, is_cut in ((fits // 2, False), (fits + 20, True)):
        answer = Answer(0, (ADDRESS,) * count)
        reply = DNSRecord.parse(write_response(query, answer))
        assert (reply.header.tc, len(reply.rr)) == ((1, 0) if is_cut else (0, count))
        whole = DNSRecord.parse(write_response(query, answer, over_udp=False))
        assert (whole.header.tc, len(whole.rr)) == (0, count)


def test_an_option_is_answered_with_one() -> None:
    with_option = DNSRecord.parse(write_response(read_query(asked(edns=512)), Answer(0)))
    without = DNSRecord.parse(write_response(read_query(asked()), Answer(0)))
    assert ([one.rtype for one in with_option.ar], without.ar) == ([dns.OPT], [])


def test_an_unknown_edns_version_is_badvers() -> None:
    record = DNSRecord.question("a.example")
    record.add_ar(EDNS0(udp_len=1232, version=1))
    with pytest.raises(BadQuery) as caught:
        read_query(bytes(record.pack()))
    reply = DNSRecord.parse(caught.value.response)
    assert (reply.header.rcode, reply.ar[0].ttl >> 24) == (0, 1)


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        (bytes(DNSRecord(DNSHeader(opcode=5), q=DNSQuestion("a")).pack()), RCODE.NOTIMP),
        (bytes(DNSRecord(DNSHeader()).pack()), RCODE.FORMERR),
        (asked()[:-1], RCODE.FORMERR),
        (asked(edns=512)[:-1], RCODE.FORMERR),
        (asked(edns=512)[:-1] + b"\x09", RCODE.FORMERR),
        (bytes(DNSRecord(q=DNSQuestion("a", QTYPE.AXFR)).pack()), RCODE.REFUSED),
        (bytes(DNSRecord(q=DNSQuestion("version.bind", QTYPE.TXT, 3)).pack()), RCODE.REFUSED),
    ],
)
def test_what_is_no_question_for_us_gets_a_code(data: bytes, rcode: int) -> None:
    with pytest.raises(BadQuery) as caught:
        read_query(data)
    reply = DNSRecord.parse(caught.value.response)
    assert (reply.header.rcode, reply.header.qr, reply.header.id) == (
        rcode,
        1,
        int.from_bytes(data[:2], "big"),
    )


@pytest.mark.parametrize("data", [b"", b"x" * 11, bytes(DNSRecord(DNSHeader(qr=1)).pack())])
def test_what_must_not_be_answered_is_not(data: bytes) -> None:
    with pytest.raises(BadQuery) as caught:
        read_query(data)
    assert caught.value.response == b""


def test_two_options_are_one_too_many() -> None:
    record = DNSRecord.question("a.example")
    record.add_ar(EDNS0(udp_len=1232))
    record.add_ar(EDNS0(udp_len=1232))
    with pytest.raises(BadQuery, match="more than one EDNS option"):
        read_query(bytes(record.pack()))


def test_our_own_query_is_read_by_others() -> None:
    found = DNSRecord.parse(write_query(7, Question(wire_of("a.example"), dns.AAAA)))
    assert (found.header.id, found.header.rd, str(found.q.qname), found.q.qtype) == (
        7,
        1,
        "a.example.",
        dns.AAAA,
    )
    assert found.ar[0].rclass == dns.MAX_UDP_SIZE


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xc0\x00", "does not lead backwards"),
        (b"\x01a\xc0\x02", "does not lead backwards"),
        (b"\xc0", "in the middle of a name"),
        (b"\x05ab", "in the middle of a label"),
        (b"\x01a", "in the middle of a name"),
        (b"\x80\x00", "label type 2"),
        ((b"\x3f" + b"a" * 63) * 5 + b"\x00", "longer than 255"),
    ],
)
def test_hostile_names_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(DnsError, match=problem):
        read_name(data, 0)


def test_pointers_are_followed_backwards() -> None:
    data = b"\x07example\x03com\x00\x03www\xc0\x00\xff"
    assert read_name(data, 13) == (wire_of("www.example.com"), 19)


@pytest.mark.parametrize("text", ["a..b", "a" * 64, ".".join(["a" * 60] * 5)])
def test_names_that_cannot_be_written(text: str) -> None:
    with pytest.raises(DnsError):
        wire_of(text)


def test_names_as_text_and_below_others() -> None:
    assert text_of(wire_of("WWW.Example.com.")) == "www.example.com"
    assert (text_of(wire_of("")), text_of(b"\x03a.b\x00"), text_of(b"\x01\xff\x00")) == ("", None, None)
    zone = folded(wire_of("example.com"))
    assert is_within(wire_of("a.example.com"), zone)
    assert is_within(zone, zone)
    assert is_within(zone, b"\0")
    assert not is_within(wire_of("badexample.com"), zone)


@given(st.binary(max_size=120))
def test_arbitrary_bytes_are_a_query_or_bad(data: bytes) -> None:
    for packet in (data, b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01" + data):
        try:
            query = read_query(packet)
        except BadQuery:
            continue
        assert len(write_response(query, Answer(dns.SERVFAIL))) >= 12


def test_additional_records_that_are_no_option_are_passed_over() -> None:
    record = DNSRecord.question("a.example")
    record.add_ar(RR("b.example", QTYPE.A, rdata=A("192.0.2.1")), EDNS0(udp_len=1000))
    assert read_query(bytes(record.pack())).udp_size == 1000


def test_a_name_that_does_not_exist_is_told_with_its_zone() -> None:
    soa = Record(wire_of("example"), dns.SOA, 60, wire_of("ns") + wire_of("admin") + bytes(20))
    reply = DNSRecord.parse(write_response(read_query(asked()), Answer(dns.NXDOMAIN, (), soa), age=50))
    assert (reply.header.rcode, [(str(one.rname), one.ttl) for one in reply.auth]) == (3, [("example.", 10)])


def test_names_beyond_the_reach_of_pointers_are_written_whole() -> None:
    far = [wire_of(f"{number}.example.com") for number in range(1200)]
    records = tuple(Record(name, dns.A, 60, bytes(4)) for name in far + far[-1:])
    packed = write_response(read_query(asked()), Answer(0, records), over_udp=False)
    assert len(packed) > 0x4000
    names = [str(one.rname) for one in DNSRecord.parse(packed).rr]
    assert names[-2:] == ["1199.example.com."] * 2


@pytest.mark.parametrize("pointers", [127, 128])
def test_a_name_has_no_more_pointers_than_it_may_have_labels(pointers: int) -> None:
    """Thousands of records that each end in one long chain of pointers would keep the sidecar for seconds."""
    chain = b"\0" + b"".join((0xC000 | max(0, 2 * place - 1)).to_bytes(2, "big") for place in range(pointers))
    if pointers == 127:
        assert read_name(chain, len(chain) - 2) == (b"\0", len(chain))
        return
    with pytest.raises(DnsError, match="more than 127 pointers"):
        read_name(chain, len(chain) - 2)


@pytest.mark.parametrize(("records", "rcode"), [(8, None), (9, dns.FORMERR)])
def test_a_query_does_not_bring_many_records(records: int, rcode: int | None) -> None:
    question = dns.write_query(7, Question(wire_of("a.b"), dns.A))[12:-11]
    other = b"\0" + dns.RECORD_HEAD.pack(dns.A, dns.IN, 0, 0)
    data = dns.HEADER.pack(7, dns.RD, 1, 0, 0, records) + question + other * records
    if rcode is None:
        assert read_query(data).id == 7
        return
    with pytest.raises(BadQuery) as refused:
        read_query(data)
    assert refused.value.response[3] & 0x0F == rcode
