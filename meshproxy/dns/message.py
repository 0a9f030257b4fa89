"""Queries read and answers written (pure): RFC 1035, RFC 6891 (EDNS).

Only what a resolver beside one app needs: one question of class IN, and records whose data is kept as bytes
without compression. What an upstream server sends is read in `reply.py`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from meshproxy.dns.name import ROOT, DnsError, folded, read_name

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
MX: Final = 15
AAAA: Final = 28
SRV: Final = 33
DNAME: Final = 39
OPT: Final = 41
SVCB: Final = 64
HTTPS: Final = 65
ANY: Final = 255
_TRANSFERS: Final = range(249, 255)  # TKEY, TSIG, IXFR, AXFR, MAILB, MAILA: not for a resolver
IN: Final = 1

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
_BADVERS: Final = 16

HEADER: Final = struct.Struct("!6H")
"""Id, flags, then the numbers of questions, answers, authorities and additional records."""
_QUESTION_TAIL: Final = struct.Struct("!2H")
RECORD_HEAD: Final = struct.Struct("!2HIH")
"""Type, class, TTL, length of the data: what stands between a record's name and its data."""

QR: Final = 0x8000
AA: Final = 0x0400
TC: Final = 0x0200
RD: Final = 0x0100
RA: Final = 0x0080
_OPCODE: Final = 0x7800
RCODE: Final = 0x000F
_CD: Final = 0x0010

PLAIN_UDP_SIZE: Final = 512
MAX_UDP_SIZE: Final = 1232
"""DNS flag day 2020: the largest answer that is never fragmented."""
_MAX_SIZE: Final = 65535
_MAX_POINTER: Final = 0x3FFF
_MAX_ADDITIONAL: Final = 8
"""Records after the question; one is of use, the EDNS option."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; class IN."""

    name: bytes
    """Wire form, in the case in which it was asked."""
    type: int

    @property
    def key(self) -> tuple[bytes, int]:
        """Equal for questions that have the same answer."""
        return folded(self.name), self.type


@dataclass(frozen=True, slots=True)
class Query:
    """A client's message."""

    id: int
    question: Question
    is_recursive: bool
    """RD: the client wants us to ask others."""
    is_unchecked: bool
    """CD; only echoed: nothing is validated here."""
    udp_size: int | None
    """What the client takes over UDP, by its EDNS option; None without one."""


@dataclass(frozen=True, slots=True)
class Record:
    """A resource record of class IN."""

    name: bytes
    type: int
    ttl: int
    """Seconds."""
    data: bytes
    """Without compression."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question, from wherever it is."""

    rcode: int
    records: tuple[Record, ...] = ()
    soa: Record | None = None
    """Of a negative answer: how long it may be kept (RFC 2308)."""
    is_authoritative: bool = False


class BadQuery(DnsError):
    """A query that is answered with nothing but a code; `response` is empty where none must be sent."""

    def __init__(self, message: str, response: bytes) -> None:
        super().__init__(message)
        self.response = response


def read_query(data: bytes) -> Query:
    """Raises BadQuery."""
    if len(data) < HEADER.size:
        raise BadQuery("shorter than a header", b"")
    identity, flags, questions, answers, authorities, additional = HEADER.unpack_from(data)
    if flags & QR:
        raise BadQuery("not a query", b"")
    if flags & _OPCODE:
        raise _bad("not a standard query", identity, flags, NOTIMP)
    if questions != 1 or answers or authorities or additional > _MAX_ADDITIONAL:
        raise _bad("not exactly one question", identity, flags, FORMERR)
    try:
        name, position = read_name(data, HEADER.size)
        kind, family = _unpack(_QUESTION_TAIL, data, position)
        udp_size, version = _read_edns(data, position + _QUESTION_TAIL.size, additional)
    except DnsError as error:
        raise _bad(str(error), identity, flags, FORMERR) from error
    query = Query(identity, Question(name, kind), bool(flags & RD), bool(flags & _CD), udp_size)
    if version:
        raise BadQuery(f"EDNS version {version}", write_response(query, Answer(_BADVERS)))
    if family != IN or kind in _TRANSFERS or kind == OPT:
        raise BadQuery(f"class {family}, type {kind}", write_response(query, Answer(REFUSED)))
    return query


def _bad(reason: str, identity: int, flags: int, rcode: int) -> BadQuery:
    echoed = flags & (_OPCODE | RD)
    return BadQuery(reason, HEADER.pack(identity, QR | echoed | rcode, 0, 0, 0, 0))


def _read_edns(data: bytes, position: int, count: int) -> tuple[int | None, int]:
    """(UDP size, version) of the OPT record; (None, 0) without one."""
    found: tuple[int | None, int] = (None, 0)
    for _ in range(count):
        name, position = read_name(data, position)
        kind, size, extended, length = _unpack(RECORD_HEAD, data, position)
        position += RECORD_HEAD.size + length
        if position > len(data):
            raise DnsError("an additional record is cut short")
        if kind == OPT:
            if found[0] is not None or name != ROOT:
                raise DnsError("more than one EDNS option, or one of a name")
            found = max(size, PLAIN_UDP_SIZE), extended >> 16 & 0xFF
    return found


def _unpack(form: struct.Struct, data: bytes, position: int) -> tuple[int, ...]:
    if position + form.size > len(data):
        raise DnsError(f"it ends at {len(data)}, in the middle of a record")
    return form.unpack_from(data, position)


def write_query(identity: int, question: Question) -> bytes:
    """A query that asks a recursive server, with an EDNS option."""
    option = ROOT + RECORD_HEAD.pack(OPT, MAX_UDP_SIZE, 0, 0)
    head = HEADER.pack(identity, RD, 1, 0, 0, 1)
    return head + question.name + _QUESTION_TAIL.pack(question.type, IN) + option


def write_response(query: Query, answer: Answer, *, over_udp: bool = True, age: int = 0) -> bytes:
    """The response. `age`: seconds for which the answer was kept, taken off its TTLs.

    What does not fit a datagram is sent without records and with TC: the client asks again over TCP.
    """
    limit = _MAX_SIZE
    if over_udp:
        limit = PLAIN_UDP_SIZE if query.udp_size is None else min(query.udp_size, MAX_UDP_SIZE)
    body = _Writer(query.question)
    for record in answer.records:
        body.add(record, age)
    if answer.soa is not None:
        body.add(answer.soa, age)
    option = b"" if query.udp_size is None else _option(answer.rcode)
    counts = (len(answer.records), int(answer.soa is not None))
    flags = QR | RA | RD * query.is_recursive | _CD * query.is_unchecked | AA * answer.is_authoritative
    flags |= answer.rcode & RCODE
    if len(body.buffer) + len(option) > limit:
        body, counts, flags = _Writer(query.question), (0, 0), flags | TC
    HEADER.pack_into(body.buffer, 0, query.id, flags, 1, *counts, int(bool(option)))
    return bytes(body.buffer + option)


def _option(rcode: int) -> bytes:
    return ROOT + RECORD_HEAD.pack(OPT, MAX_UDP_SIZE, rcode >> 4 << 24, 0)


class _Writer:
    """A message being written; owners written before are pointed at."""

    def __init__(self, question: Question) -> None:
        tail = _QUESTION_TAIL.pack(question.type, IN)
        self.buffer = bytearray(HEADER.size) + question.name + tail
        self._written = {folded(question.name): HEADER.size}

    def add(self, record: Record, age: int) -> None:
        key = folded(record.name)
        place = self._written.get(key)
        if place is not None:
            self.buffer += (0xC000 | place).to_bytes(2, "big")
        else:
            if len(self.buffer) <= _MAX_POINTER:
                self._written[key] = len(self.buffer)
            self.buffer += record.name
        ttl = max(0, record.ttl - age)
        self.buffer += RECORD_HEAD.pack(record.type, IN, ttl, len(record.data)) + record.data
