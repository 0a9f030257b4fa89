"""The cluster's DNS, as Kubernetes' DNS specification 1.1 has it; `lab/dns_zone.py` makes its table.

`answer` is pure: query bytes and a table in, response bytes out. `DnsServer` serves it over UDP and TCP. It
is authoritative for the cluster domain (`cluster.local`) and the addresses it knows, and refuses every other
name, unless it has a forwarder. The short forms `svc` and `svc.ns` come from the search list in the pods'
resolv.conf (`lab/resolv_conf.py`).
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from types import MappingProxyType
from typing import cast

from dnslib import AAAA, CNAME, EDNS0, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSHeader, DNSRecord

from lab import netns
from lab.addressing import Address
from lab.dns_forward import DnsForwarder

_log = logging.getLogger(__name__)

TTL = 5
"""Seconds an answer may be kept: the default of CoreDNS' kubernetes plugin."""
_CLASS_IN = 1
_OPCODE_QUERY = 0
_HEADER_SIZE = 12
_PLAIN_UDP_SIZE = 512  # RFC 1035 section 4.2.1
_MAX_UDP_SIZE = 1232  # DNS flag day 2020: the largest answer that is never fragmented
_MAX_ADDRESSES = 1000
"""Records in one answer; 16 bytes each, so that a message over TCP stays below its 65,535 bytes."""
_MAX_TARGETS = 100
"""Of SRV records: those whose addresses are given along."""
_MAX_ADDITIONAL = 8
"""Records after the question of a query; one is of use, the EDNS option."""
_MAX_TCP_CONNECTIONS = 64
_TCP_IDLE_TIMEOUT = 10.0
"""Seconds a TCP client may take for its next query (RFC 7766 section 6.2.3 asks for a few)."""


CLUSTER_DOMAIN = "cluster.local"
SPECIFICATION = "1.1.0"
"""Of Kubernetes' DNS, as `dns-version` tells."""


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """SRV: where a named port is."""

    port: int
    target: str
    """A name of `DnsTable.addresses`."""


@dataclass(frozen=True, slots=True)
class DnsTable:
    """What the server knows; built with `of`, replaced as a whole."""

    domain: str = CLUSTER_DOMAIN
    addresses: Mapping[str, tuple[Address, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Lower-case absolute name without the last dot -> its addresses, perhaps none."""
    ancestors: frozenset[str] = frozenset()
    """Names that exist only because one below them does (`svc.cluster.local`): no data, but not NXDOMAIN."""
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Lower-case absolute name -> the name it stands for (Services of type ExternalName)."""
    services: Mapping[str, tuple[ServiceRecord, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """`_http._tcp.catalog.shop.svc.cluster.local` -> where that is."""
    pointers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """`20.0.96.10.in-addr.arpa` -> names of that address."""

    @classmethod
    def made(
        cls,
        domain: str,
        addresses: Mapping[str, tuple[Address, ...]],
        aliases: Mapping[str, str],
        services: Mapping[str, tuple[ServiceRecord, ...]],
        pointers: Mapping[str, tuple[str, ...]],
    ) -> "DnsTable":
        """With the ancestors of all names; names as the fields want them."""
        above = {domain}
        for name in (*addresses, *aliases, *services):
            parent = name.partition(".")[2]
            while parent not in above and parent.endswith(f".{domain}"):
                above.add(parent)
                parent = parent.partition(".")[2]
        frozen = MappingProxyType
        return cls(
            domain, frozen(addresses), frozenset(above), frozen(aliases), frozen(services), frozen(pointers)
        )

    @classmethod
    def of(
        cls,
        services: Mapping[tuple[str, str], Iterable[IPv4Address]],
        domain: str = "cluster.local",
        aliases: Mapping[tuple[str, str], str] | None = None,
    ) -> "DnsTable":
        """`services`: (namespace, name) -> the ClusterIP, or the ready pods' addresses when headless; a name
        may be that of one pod, `db-0.db`. `aliases`: (namespace, name) -> an external name."""
        addresses = {
            f"{name}.{namespace}.svc.{domain}".lower(): tuple(values)
            for (namespace, name), values in services.items()
        }
        external = aliases or {}
        namespaces = {f"{namespace}.svc.{domain}".lower() for namespace, _ in (*services, *external)}
        ancestors = frozenset({domain, f"svc.{domain}", *namespaces})
        names = {
            f"{name}.{namespace}.svc.{domain}".lower(): target.lower().removesuffix(".")
            for (namespace, name), target in external.items()
        }
        return cls(domain, MappingProxyType(addresses), ancestors, MappingProxyType(names))


def answer(query: bytes, table: DnsTable, *, over_udp: bool = True) -> bytes:
    """The response to one query; empty when none must be sent (not a query, or too short to be answered)."""
    if len(query) < _HEADER_SIZE or query[2] & 0x80:
        return b""
    if int.from_bytes(query[6:8], "big") or int.from_bytes(query[8:10], "big"):
        return _format_error(
            query
        )  # answers in a query: nobody has them, and reading thousands takes seconds
    if int.from_bytes(query[4:6], "big") > 1 or int.from_bytes(query[10:12], "big") > _MAX_ADDITIONAL:
        return _format_error(query)
    try:
        request = DNSRecord.parse(query)
    except Exception:  # dnslib's record parsers raise many types on malformed data, all of them the peer's
        return _format_error(query)
    if request.header.opcode != _OPCODE_QUERY:
        return bytes(_reply(request, RCODE.NOTIMP).pack())
    if len(request.questions) != 1:
        return _format_error(query)
    return _fit(request, _resolve(request, table), over_udp=over_udp)


def _resolve(request: DNSRecord, table: DnsTable) -> DNSRecord:
    question = request.q
    name = _name(question.qname.label)
    in_domain = name == table.domain or name.endswith("." + table.domain)
    if question.qclass != _CLASS_IN or not (in_domain or name in table.pointers):
        return _reply(request, RCODE.REFUSED)
    if name in table.aliases:
        return _alias(request, table.aliases[name], table)
    records = _records(name, question.qname, table)
    if records is None:
        return _without_data(_reply(request, RCODE.NXDOMAIN), table)
    found = [record for record in records if question.qtype in (record.rtype, QTYPE.ANY)][:_MAX_ADDRESSES]
    reply = _reply(request, RCODE.NOERROR)
    if not found:
        return _without_data(reply, table)
    reply.add_answer(*found)
    targets = dict.fromkeys(str(one.rdata.target) for one in found if one.rtype == QTYPE.SRV)
    for target in list(targets)[:_MAX_TARGETS]:
        reply.add_ar(*_addresses(target, table.addresses.get(target.removesuffix("."), ())))
    return reply


def _records(name: str, owner: object, table: DnsTable) -> list[RR] | None:
    """Everything at a name; None where there is no such name."""
    if name in table.addresses:
        return _addresses(owner, table.addresses[name])
    if name in table.services:
        weight = max(1, 100 // len(table.services[name]))  # as CoreDNS: all of them alike
        return [
            RR(owner, QTYPE.SRV, ttl=TTL, rdata=SRV(0, weight, one.port, one.target))
            for one in table.services[name]
        ]
    if name in table.pointers:
        return [RR(owner, QTYPE.PTR, ttl=TTL, rdata=PTR(one)) for one in table.pointers[name]]
    if name == f"dns-version.{table.domain}":
        return [RR(owner, QTYPE.TXT, ttl=TTL, rdata=TXT(SPECIFICATION))]
    if (address := _pod_address(name, table)) is not None:
        return _addresses(owner, (address,))
    return [] if name in table.ancestors else None


def _addresses(owner: object, addresses: Iterable[Address]) -> list[RR]:
    return [
        RR(owner, QTYPE.A, ttl=TTL, rdata=A(str(one)))
        if isinstance(one, IPv4Address)
        else RR(owner, QTYPE.AAAA, ttl=TTL, rdata=AAAA(str(one)))
        for one in addresses
    ]


def _pod_address(name: str, table: DnsTable) -> Address | None:
    """`10-244-0-3.shop.pod.<domain>` is the address it spells, whoever has it; the namespace must have a
    Service."""
    dashed, _, rest = name.partition(".")
    namespace, _, zone = rest.partition(".")
    if zone != f"pod.{table.domain}" or f"{namespace}.svc.{table.domain}" not in table.ancestors:
        return None
    for separator in (".", ":"):
        try:
            return ip_address(dashed.replace("-", separator))
        except ValueError:
            continue
    return None


def _alias(request: DNSRecord, target: str, table: DnsTable) -> DNSRecord:
    """The other name, with its addresses where this server knows them (RFC 1034 section 3.6.2)."""
    question, reply = request.q, _reply(request, RCODE.NOERROR)
    reply.add_answer(RR(question.qname, QTYPE.CNAME, ttl=TTL, rdata=CNAME(target)))
    for record in _addresses(target, table.addresses.get(target, ())[:_MAX_ADDRESSES]):
        if question.qtype in (record.rtype, QTYPE.ANY):
            reply.add_answer(record)
    return reply


def _name(labels: Iterable[bytes]) -> str:
    """Lower case, without the last dot; a dot inside a label is kept apart from the dots between labels."""
    return ".".join(label.decode("latin-1").replace(".", "\\.") for label in labels).lower()


def _reply(request: DNSRecord, code: int) -> DNSRecord:
    reply = request.reply(ra=0, aa=0 if code == RCODE.REFUSED else 1)
    reply.header.rcode = code
    if _edns(request) is not None:
        reply.add_ar(EDNS0(udp_len=_MAX_UDP_SIZE))
    return reply


def _without_data(reply: DNSRecord, table: DnsTable) -> DNSRecord:
    """Add the SOA that lets resolvers remember a negative answer (RFC 2308), for `TTL` seconds."""
    times = (1, 3600, 600, 86400, TTL)  # serial, refresh, retry, expire, minimum
    soa = SOA(f"ns.dns.{table.domain}", f"hostmaster.{table.domain}", times)
    reply.add_auth(RR(table.domain, QTYPE.SOA, ttl=TTL, rdata=soa))
    return reply


def _format_error(query: bytes) -> bytes:
    header = DNSHeader(id=int.from_bytes(query[:2], "big"), qr=1, aa=0, ra=0, rcode=RCODE.FORMERR)
    return bytes(DNSRecord(header).pack())


def _failure(query: bytes) -> bytes:
    """SERVFAIL to a query that has been understood."""
    request = DNSRecord.parse(query)
    reply = request.reply(ra=1, aa=0)
    reply.header.rcode = RCODE.SERVFAIL
    return bytes(reply.pack())


def _edns(request: DNSRecord) -> RR | None:
    return next((record for record in request.ar if record.rtype == QTYPE.OPT), None)


def _fit(request: DNSRecord, reply: DNSRecord, *, over_udp: bool) -> bytes:
    """Over UDP, at most what the client takes: else an empty answer with TC set, so that it asks again over
    TCP.
    """
    packed = bytes(reply.pack())
    option = _edns(request)
    accepted = _PLAIN_UDP_SIZE if option is None else max(_PLAIN_UDP_SIZE, min(option.rclass, _MAX_UDP_SIZE))
    if not over_udp or len(packed) <= accepted:
        return packed
    reply.rr.clear()
    reply.ar = [record for record in reply.ar if record.rtype == QTYPE.OPT]
    reply.header.tc = 1
    return bytes(reply.pack())


def open_sockets(
    namespace: Path, address: IPv4Address, port: int = 53
) -> tuple[socket.socket, socket.socket]:
    """A UDP and a listening TCP socket in the namespace at `namespace`, both on one port (0: any). Blocks."""

    def open_both() -> tuple[socket.socket, socket.socket]:
        stream = socket.create_server((str(address), port))
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagram.bind((str(address), stream.getsockname()[1]))
        except OSError:
            stream.close()
            datagram.close()
            raise
        return datagram, stream

    return netns.inside(namespace, open_both)


class DnsServer:
    """Serves a table that may be replaced at any time. Bounded: connections, their buffers and their idle
    time.
    """

    def __init__(self, table: DnsTable, forwarder: DnsForwarder | None = None) -> None:
        self.table = table
        self._forwarder = forwarder
        self._forwarding: set[asyncio.Task[None]] = set()
        """What is served; assign a new one to change it."""
        self.connections: set[_TcpConnection] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, datagram: socket.socket, stream: socket.socket) -> None:
        """Serve on sockets of `open_sockets`, which belong to the server from here on."""
        datagram.setblocking(False)
        stream.setblocking(False)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), sock=datagram)
        self._listener = await loop.create_server(lambda: _TcpConnection(self), sock=stream)

    def close(self) -> None:
        """Stop serving and drop what is connected."""
        if self._transport is not None:
            self._transport.close()
        if self._listener is not None:
            self._listener.close()
        for task in self._forwarding:
            task.cancel()
        for connection in list(self.connections):
            connection.abort()

    def on_query(self, query: bytes, respond: Callable[[bytes], None], *, over_udp: bool) -> None:
        """Answer now, or when the server outside has."""
        response = answer(query, self.table, over_udp=over_udp)
        if self._forwarder is None or not response or response[3] & 0x0F != RCODE.REFUSED:
            respond(response)
            return
        task = asyncio.ensure_future(self._forward(self._forwarder, query, respond, over_udp))
        self._forwarding.add(task)
        task.add_done_callback(self._forwarding.discard)

    @staticmethod
    async def _forward(
        forwarder: DnsForwarder, query: bytes, respond: Callable[[bytes], None], over_udp: bool
    ) -> None:
        found = await forwarder.answer(query, over_udp=over_udp)
        respond(_failure(query) if found is None else found)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None
        self._is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.on_query(data, lambda response: self._send(response, addr), over_udp=True)

    def _send(self, response: bytes, addr: tuple[str, int]) -> None:
        # A full socket buffer costs answers, not memory: they are dropped, and clients ask again.
        if response and self._transport is not None and not self._is_full:
            self._transport.sendto(response, addr)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False

    def error_received(self, exc: Exception) -> None:
        _log.debug("a DNS client went away: %s", exc)


class _TcpConnection(asyncio.Protocol):
    """Queries with a length of two bytes before each (RFC 1035 section 4.2.2), answered in order."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._server.connections) >= _MAX_TCP_CONNECTIONS:
            self._transport.abort()
            return
        self._server.connections.add(self)
        self._restart_timer()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 2:
            end = 2 + int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) < end:
                return
            query = bytes(self._buffer[2:end])
            del self._buffer[:end]
            self._respond(query)

    def _respond(self, query: bytes) -> None:
        self._server.on_query(query, self._send, over_udp=False)

    def _send(self, response: bytes) -> None:
        if not response:
            self.abort()
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.write(len(response).to_bytes(2, "big") + response)
            self._restart_timer()

    def pause_writing(self) -> None:
        """The client does not read its answers: take no more queries until it does."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _restart_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_TCP_IDLE_TIMEOUT, self.abort)
