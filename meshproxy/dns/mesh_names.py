"""Questions that the mesh's own table answers (pure), so that they work while every DNS server is down.

The table holds every Service of the cluster. So a name of the cluster's domain that is not in it does not
exist, and the sidecar may say so itself: of the four names that a resolver tries for `api.example.com` under
`ndots:5` three are of the cluster's domain, and only the last is asked for outside.
"""

from __future__ import annotations

from typing import Final

from meshproxy.config.name_table import NameAddresses, NameTable
from meshproxy.dns import message as dns
from meshproxy.dns.message import Answer, Question, Record
from meshproxy.dns.name import text_of, wire_of

TTL: Final = 5
"""Seconds for which apps may keep what the table says: as long as CoreDNS' kubernetes plugin allows. They ask
a process beside them, so that more would save nothing."""
MAX_ADDRESSES: Final = 1000
"""Records in one answer; 16 to 28 bytes each, so that a message stays below 65,535 bytes."""
_ADDRESS_TYPES: Final = (dns.A, dns.AAAA, dns.ANY, dns.HTTPS, dns.SVCB)
"""The last two may carry addresses as well: hints that would lead past a virtual address."""
_SOA_TIMES: Final = (1, 3600, 600, 86400, TTL)
"""Serial, refresh, retry, expire, minimum."""


def answer(question: Question, table: NameTable) -> Answer | None:
    """What the table says of a name that it holds; None: ask on."""
    name = text_of(question.name)
    found = None if name is None else table.find(name)
    if name is None or not found:
        return None
    is_of_domain = bool(table.domain) and name.endswith(f".{table.domain}")
    if question.type not in _ADDRESS_TYPES and not is_of_domain:
        return None  # a host outside has mail servers, too
    records = _records(question, found)
    return Answer(dns.NOERROR, records, None if records else _soa(table, name), is_authoritative=True)


def absence(question: Question, table: NameTable) -> Answer | None:
    """That the name does not exist, or has nothing of the type, if the table can tell; `answer` said None."""
    name = text_of(question.name)
    if name is None or question.type not in _ADDRESS_TYPES or not table.covers(name):
        return None
    if table.find(name) is not None:
        return None  # what it stands for is known elsewhere
    rcode = dns.NOERROR if name in table.ancestors else dns.NXDOMAIN
    return Answer(rcode, (), _soa(table, name), is_authoritative=True)


def _records(question: Question, found: NameAddresses) -> tuple[Record, ...]:
    wanted = question.type
    v4 = found.v4 if wanted in (dns.A, dns.ANY) else ()
    v6 = found.v6 if wanted in (dns.AAAA, dns.ANY) else ()
    records = [Record(question.name, dns.A, TTL, address) for address in v4]
    records += [Record(question.name, dns.AAAA, TTL, address) for address in v6]
    return tuple(records[:MAX_ADDRESSES])


def _soa(table: NameTable, name: str) -> Record:
    """Of the cluster's domain; of a host outside, of the host itself: it says nothing of others."""
    zone = table.domain if table.covers(name) else name
    numbers = b"".join(value.to_bytes(4, "big") for value in _SOA_TIMES)
    data = wire_of("ns.meshproxy.invalid") + wire_of("hostmaster.meshproxy.invalid") + numbers
    return Record(wire_of(zone), dns.SOA, TTL, data)
