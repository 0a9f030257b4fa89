"""What an upstream server answered, read with distrust (pure).

Taken from a reply is only what answers the question: the aliases that lead on from its name, the records of
its type where they end, and of a negative answer the SOA of a zone above that. Whatever else a server adds
is not believed (bailiwick), not cached, and not passed on. Case, id and question must be those sent; the
socket has checked the address.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from meshproxy.dns import message as dns
from meshproxy.dns.message import Answer, Question, Record
from meshproxy.dns.name import DnsError, folded, is_within, read_name

_MAX_ALIASES: Final = 16
_MAX_RECORDS: Final = 4096
_MAX_TTL: Final = 0x7FFFFFFF
"""RFC 2181 section 8: more is read as 0."""
_NAME_AFTER: Final = {dns.NS: 0, dns.CNAME: 0, dns.PTR: 0, dns.DNAME: 0, dns.MX: 2, dns.SRV: 6}
"""Types whose data ends with a name that may be compressed -> the bytes before it."""
_SOA_NUMBERS: Final = struct.Struct("!5I")
_SIZES: Final = {dns.A: 4, dns.AAAA: 16}
_SETTLED: Final = (dns.NOERROR, dns.NXDOMAIN)


class Verdict(Enum):
    """A reply without an answer."""

    FOREIGN = "foreign"
    """It answers something else: to be ignored, as if it had not come."""
    TRUNCATED = "truncated"
    """Ask again over TCP; so too where the server did not keep the case of the name's letters."""
    FAILED = "failed"
    """The server cannot say; another may."""


@dataclass(frozen=True, slots=True)
class _Section:
    records: list[Record]
    end: int


def read_reply(data: bytes, identity: int, question: Question, *, over_udp: bool = True) -> Answer | Verdict:
    """`question` as it was sent, its letters' case included. Raises DnsError for what is no reply to us at
    all or is broken."""
    if len(data) < dns.HEADER.size:
        raise DnsError("shorter than a header")
    found, flags, questions, answers, authorities, _ = dns.HEADER.unpack_from(data)
    if found != identity or not flags & dns.QR or questions != 1:
        return Verdict.FOREIGN
    name, position = read_name(data, dns.HEADER.size)
    if position + 4 > len(data):
        raise DnsError("it ends in the middle of the question")
    kind, family = struct.unpack_from("!2H", data, position)
    if (kind, family) != (question.type, dns.IN) or folded(name) != folded(question.name):
        return Verdict.FOREIGN
    if over_udp and (flags & dns.TC or name != question.name):
        return Verdict.TRUNCATED
    if flags & dns.RCODE not in _SETTLED:
        return Verdict.FAILED
    section = _read(data, position + 4, answers)
    authority = _read(data, section.end, authorities)
    return _answer(question, flags & dns.RCODE, section.records, authority.records)


def _read(data: bytes, position: int, count: int) -> _Section:
    if count > _MAX_RECORDS:
        raise DnsError(f"{count} records in a section")
    records = []
    for _ in range(count):
        name, position = read_name(data, position)
        if position + dns.RECORD_HEAD.size > len(data):
            raise DnsError("it ends in the middle of a record")
        kind, family, ttl, length = dns.RECORD_HEAD.unpack_from(data, position)
        position += dns.RECORD_HEAD.size
        if position + length > len(data):
            raise DnsError("a record's data is cut short")
        if family == dns.IN:
            kept = ttl if ttl <= _MAX_TTL else 0
            records.append(Record(name, kind, kept, _plain(data, kind, position, length)))
        position += length
    return _Section(records, position)


def _plain(data: bytes, kind: int, start: int, length: int) -> bytes:
    """A record's data with the names in it written out. Raises DnsError where it is not as its type says."""
    end = start + length
    if kind == dns.SOA:
        primary, position = read_name(data, start)
        mailbox, position = read_name(data, position)
        if position + _SOA_NUMBERS.size != end:
            raise DnsError("a SOA record of the wrong length")
        return primary + mailbox + data[position:end]
    if kind in _NAME_AFTER:
        skipped = _NAME_AFTER[kind]
        target, position = read_name(data, start + skipped)
        if position != end:
            raise DnsError(f"a record of type {kind} has the wrong length")
        return data[start : start + skipped] + target
    if length != _SIZES.get(kind, length):
        raise DnsError(f"an address of {length} bytes")
    return data[start:end]


def _answer(question: Question, rcode: int, answers: list[Record], authority: list[Record]) -> Answer:
    records, last = _followed(question, answers)
    has_data = any(_fits(record.type, question.type) for record in records)
    if has_data:
        return Answer(dns.NOERROR, tuple(records))
    return Answer(rcode, tuple(records), _soa(last, authority))


def _followed(question: Question, answers: list[Record]) -> tuple[list[Record], bytes]:
    """The records that answer, and the name at which the aliases end."""
    found: list[Record] = []
    name = folded(question.name)
    for _ in range(_MAX_ALIASES):
        here = [one for one in answers if folded(one.name) == name]
        wanted = [one for one in here if _fits(one.type, question.type)]
        alias = next((one for one in here if one.type == dns.CNAME), None)
        if wanted or alias is None:
            return found + wanted, name
        found.append(alias)
        name = folded(alias.data)
    raise DnsError(f"more than {_MAX_ALIASES} aliases, one after the other")


def _fits(kind: int, asked: int) -> bool:
    return asked in (kind, dns.ANY)


def _soa(name: bytes, authority: list[Record]) -> Record | None:
    return next(_soas(name, authority), None)


def _soas(name: bytes, authority: list[Record]) -> Iterator[Record]:
    for record in authority:
        if record.type == dns.SOA and is_within(name, folded(record.name)):
            minimum = _SOA_NUMBERS.unpack_from(record.data, len(record.data) - _SOA_NUMBERS.size)[-1]
            yield Record(record.name, dns.SOA, min(record.ttl, minimum), record.data)
