"""Replies of servers: what answers is taken, what is slipped in is not."""

import pytest
from dnslib import (
    AAAA,
    CNAME,
    MX,
    NS,
    PTR,
    QTYPE,
    RCODE,
    RR,
    SOA,
    SRV,
    TXT,
    A,
    DNSHeader,
    DNSQuestion,
    DNSRecord,
)
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.dns import message as dns
from meshproxy.dns.message import Answer, Question
from meshproxy.dns.name import DnsError, wire_of
from meshproxy.dns.reply import Verdict, read_reply

ID = 4711
ASKED = Question(wire_of("wWw.eXample.com"), dns.A)
ZONE_SOA = RR(
    "example.com", QTYPE.SOA, ttl=600, rdata=SOA("ns.example.com", "admin.example.com", (1, 2, 3, 4, 60))
)


def reply(
    *records: RR,
    authority: tuple[RR, ...] = (),
    rcode: int = 0,
    name: str = "wWw.eXample.com",
    kind: int = QTYPE.A,
    identity: int = ID,
    tc: int = 0,
    qr: int = 1,
) -> bytes:
    message = DNSRecord(DNSHeader(id=identity, qr=qr, ra=1, tc=tc, rcode=rcode), q=DNSQuestion(name, kind))
    message.add_answer(*records)
    message.add_auth(*authority)
    return bytes(message.pack())


def taken(data: bytes, asked: Question = ASKED, *, over_udp: bool = True) -> Answer:
    found = read_reply(data, ID, asked, over_udp=over_udp)
    assert isinstance(found, Answer)
    return found


def a(name: str, address: str = "192.0.2.1", ttl: int = 60) -> RR:
    return RR(name, QTYPE.A, ttl=ttl, rdata=A(address))


def alias(name: str, target: str) -> RR:
    return RR(name, QTYPE.CNAME, ttl=60, rdata=CNAME(target))


def test_addresses_are_taken() -> None:
    found = taken(reply(a("www.example.com"), a("www.example.com", "192.0.2.2")))
    assert [one.data for one in found.records] == [bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))]


def test_aliases_are_followed_in_any_order() -> None:
    found = taken(
        reply(
            a("c.example.net"),
            alias("b.example.org", "c.example.net"),
            alias("www.example.com", "b.example.org"),
        )
    )
    assert [one.type for one in found.records] == [dns.CNAME, dns.CNAME, dns.A]
    assert found.records[1].data == wire_of("c.example.net")


def test_what_was_not_asked_is_left_out() -> None:
    """A server that is asked for one name says nothing of another (bailiwick)."""
    found = taken(
        reply(
            a("www.example.com"),
            a("bank.example"),
            authority=(RR("com", QTYPE.NS, rdata=NS("evil.example")),),
        )
    )
    assert [one.name.lower() for one in found.records] == [wire_of("www.example.com")]


@pytest.mark.parametrize(
    "data",
    [
        reply(a("www.example.com"), identity=ID + 1),
        reply(a("www.example.com"), qr=0),
        reply(a("other.example"), name="other.example"),
        reply(kind=QTYPE.AAAA),
    ],
)
def test_replies_to_something_else_are_ignored(data: bytes) -> None:
    assert read_reply(data, ID, ASKED) is Verdict.FOREIGN


def test_truncated_replies_and_lost_letter_case_are_asked_again_over_tcp() -> None:
    for data in (reply(tc=1), reply(a("www.example.com"), name="www.example.com")):
        assert read_reply(data, ID, ASKED) is Verdict.TRUNCATED
    assert taken(reply(a("www.example.com"), name="www.example.com"), over_udp=False).records


@pytest.mark.parametrize("rcode", [RCODE.SERVFAIL, RCODE.REFUSED, RCODE.NOTIMP])
def test_a_server_that_cannot_say_is_no_answer(rcode: int) -> None:
    assert read_reply(reply(rcode=rcode), ID, ASKED) is Verdict.FAILED


def test_a_name_that_does_not_exist_may_be_remembered_as_the_zone_says() -> None:
    found = taken(reply(authority=(ZONE_SOA,), rcode=RCODE.NXDOMAIN))
    assert found.rcode == dns.NXDOMAIN
    assert found.soa is not None
    assert found.soa.ttl == 60  # the lower of the record's TTL and the zone's minimum


def test_a_negative_answer_of_a_foreign_zone_is_not_remembered() -> None:
    other = RR("example.net", QTYPE.SOA, ttl=600, rdata=SOA("ns.x", "a.x", (1, 2, 3, 4, 60)))
    assert taken(reply(authority=(other,), rcode=RCODE.NXDOMAIN)).soa is None


def test_an_alias_to_nothing_is_no_data() -> None:
    zone = RR("example.net", QTYPE.SOA, ttl=30, rdata=SOA("ns.x", "a.x", (1, 2, 3, 4, 60)))
    found = taken(reply(alias("www.example.com", "b.example.net"), authority=(zone,)))
    assert (len(found.records), found.rcode, found.soa is not None) == (1, dns.NOERROR, True)


def test_names_in_data_are_written_out() -> None:
    records = {
        QTYPE.MX: (MX("mail.example.com", 10), b"\x00\x0a" + wire_of("mail.example.com")),
        QTYPE.SRV: (SRV(1, 2, 3, "s.example.com"), b"\x00\x01\x00\x02\x00\x03" + wire_of("s.example.com")),
        QTYPE.PTR: (PTR("host.example.com"), wire_of("host.example.com")),
        QTYPE.TXT: (TXT("x"), b"\x01x"),
        QTYPE.AAAA: (AAAA("fd00::1"), b"\xfd" + bytes(14) + b"\x01"),
    }
    for kind, (data, expected) in records.items():
        packet = reply(RR("www.example.com", kind, ttl=5, rdata=data), kind=kind)
        assert taken(packet, Question(ASKED.name, kind)).records[0].data == expected


def test_a_ttl_beyond_all_reason_is_none() -> None:
    assert taken(reply(a("www.example.com", ttl=2**31))).records[0].ttl == 0


def test_aliases_without_end_are_refused() -> None:
    with pytest.raises(DnsError, match="aliases"):
        taken(reply(alias("www.example.com", "www.example.com")))


def test_broken_replies_are_refused() -> None:
    good = reply(a("www.example.com"), alias("x.example", "y.example"), authority=(ZONE_SOA,))
    for length in range(12, len(good)):
        with pytest.raises(DnsError):
            read_reply(good[:length], ID, ASKED)
    with pytest.raises(DnsError, match="shorter than a header"):
        read_reply(b"", ID, ASKED)
    for kind, data in ((dns.A, b"\x01\x02\x03"), (dns.SOA, b"\0\0\0"), (dns.CNAME, b"\0\0")):
        record = b"\xc0\x0c" + dns.RECORD_HEAD.pack(kind, 1, 60, len(data)) + data
        packet = bytearray(reply() + record)
        packet[7] = 1
        with pytest.raises(DnsError):
            read_reply(bytes(packet), ID, ASKED)
    many = bytearray(reply())
    many[6:8] = b"\xff\xff"
    with pytest.raises(DnsError, match="65535 records"):
        read_reply(bytes(many), ID, ASKED)


@given(st.data())
def test_damaged_replies_raise_nothing_else(data: st.DataObject) -> None:
    packet = bytearray(reply(a("www.example.com"), alias("b.example", "c.example"), authority=(ZONE_SOA,)))
    for _ in range(data.draw(st.integers(1, 6))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_reply(bytes(packet), ID, ASKED)
    except DnsError:
        pass
