"""Listening sockets, and what becomes of each accepted connection. [1]

accept → original destination → the listener that stands for it → (protocol detection) → filter chain →
(TLS) → the protocol that the chain's network filter makes. A connection that no chain wants is reset, and
counted by why.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from meshproxy.config.model import DownstreamTls, FilterChain, Listener
from meshproxy.config.tls import EdgeTls
from meshproxy.transport import socket_option
from meshproxy.transport.connection_limit import (
    ConnectionCount,
    Seat,
    allowed_connections,
    highest_file,
)
from meshproxy.transport.detect import Detected, DetectedKind, detect
from meshproxy.transport.filter_chain import (
    ConnectionFacts,
    candidates,
    forget_prefixes,
    needs_detection,
    select,
)
from meshproxy.transport.handshake_gate import Admission, HandshakeGate
from meshproxy.transport.outside_peer import OutsidePeer, may_enter, outside_peer
from meshproxy.transport.proxy_protocol import ProxyProtocolError, read_proxy_header
from meshproxy.transport.tls import TlsConnection

_HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds from accept to a finished TLS handshake; a peer that dawdles holds a socket, no more."""
_MAX_DETECTION_BYTES: Final = 16384 + 5
"""One TLS record: a ClientHello that needs more is not one."""
_BACKLOG: Final = 4096


@dataclass(frozen=True, slots=True)
class Accepted:
    """A connection whose filter chain is settled."""

    listener: Listener
    chain: FilterChain
    peer_address: str
    original_dst: tuple[str, int]
    peer_principal: str
    """Verified SPIFFE id of the client; empty over plaintext."""
    tls: bool
    seat: Seat
    """Left when the connection ends, by whoever has it then."""
    client: OutsidePeer | None = None
    """Of a gateway's TLS: the client, if it showed a certificate."""


@dataclass(frozen=True, slots=True)
class ListenerServices:
    """What listeners need of their siblings, as callables."""

    make_protocol: Callable[[Accepted], asyncio.Protocol]
    server_context: Callable[[DownstreamTls | EdgeTls], ssl.SSLContext | None]
    """None while there is no identity or certificate for it: the connection is refused."""
    peer_identity: Callable[[ssl.SSLObject], str]
    original_dst: Callable[[asyncio.BaseTransport], tuple[str, int] | None]
    on_refused: Callable[[str, str], None]
    """(listener, reason): for counting."""
    on_detected: Callable[[str, str], None]
    """(listener, outcome): for counting."""
    on_handshake: Callable[[bool], None] = lambda resumed: None
    """A TLS handshake succeeded: for counting."""
    wall: Callable[[], float] = time.time
    """Seconds since the Unix epoch."""
    gate: HandshakeGate = field(default_factory=HandshakeGate)
    """The event loop's."""
    max_connections: int = field(default_factory=allowed_connections)
    """Open at once, of each listener that is bound; one more is reset."""
    highest_file: int = field(default_factory=highest_file)
    """A connection with a larger descriptor is reset: the rest is for those that are open."""


class ListenerSet:
    """The listeners in force. Sockets stay open over updates; a new configuration is for new connections."""

    def __init__(self, services: ListenerServices) -> None:
        self._services = services
        self._by_name: dict[str, Listener] = {}
        self._virtual: dict[tuple[str, int], Listener] = {}
        self._servers: dict[str, list[asyncio.Server]] = {}
        self._addresses: dict[str, tuple[tuple[str, int], ...]] = {}
        self._counts: dict[str, ConnectionCount] = {}

    @property
    def listeners(self) -> dict[str, Listener]:
        return self._by_name

    def bound_ports(self, name: str) -> list[int]:
        """Ports of a bound listener's sockets."""
        return [s.getsockname()[1] for server in self._servers.get(name, []) for s in server.sockets]

    def connections(self, name: str) -> ConnectionCount:
        """The count of a bound listener's connections; it outlives updates, as they do."""
        count = self._counts.get(name)
        if count is None:
            count = self._counts[name] = ConnectionCount(self._services.max_connections)
        return count

    async def open(self, listeners: Mapping[str, Listener]) -> dict[str, list[asyncio.Server]]:
        """Bind what `listeners` need and is not bound yet, without serving. Raises OSError when an address
        cannot be bound; then nothing stays bound that was not before."""
        opened: dict[str, list[asyncio.Server]] = {}
        try:
            for name, listener in listeners.items():
                if listener.bind_to_port and self._addresses.get(name) != _addresses(listener):
                    opened[name] = []
                    for address, port in _addresses(listener):
                        opened[name].append(await self._listen(name, address, port))
        except BaseException:
            close_servers(opened)
            raise
        return opened

    def adopt(
        self, listeners: Mapping[str, Listener], opened: dict[str, list[asyncio.Server]]
    ) -> list[asyncio.Server]:
        """Make exactly `listeners` the ones in force; returns the servers that the caller starts."""
        forget_prefixes()
        self._by_name = dict(listeners)
        self._virtual = {
            (listener.address, listener.port): listener
            for listener in listeners.values()
            if not listener.bind_to_port
        }
        for name in list(self._servers):
            if name in opened or name not in listeners or not listeners[name].bind_to_port:
                self._close(name)
        for name, servers in opened.items():
            self._servers[name], self._addresses[name] = servers, _addresses(listeners[name])
        return [server for servers in opened.values() for server in servers]

    async def _listen(self, name: str, address: str, port: int) -> asyncio.Server:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        # The protocol is named because asyncio sets TCP_NODELAY only where it reads IPPROTO_TCP.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port))
        except BaseException:
            sock.close()
            raise
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: _Accepting(self, name, self._services), sock=sock, backlog=_BACKLOG, start_serving=False
        )

    def _close(self, name: str) -> None:
        for server in self._servers.pop(name, []):
            server.close()
        self._addresses.pop(name, None)

    def stop_accepting(self) -> None:
        """Close all listening sockets; connections live on."""
        for name in list(self._servers):
            self._close(name)

    def find(self, name: str, original_dst: tuple[str, int]) -> Listener | None:
        """The listener for a connection accepted by `name`: the virtual one of its destination, or itself."""
        listener = self._by_name.get(name)
        if listener is None or not listener.use_original_dst:
            return listener
        wildcard = "::" if ":" in original_dst[0] else "0.0.0.0"
        return (
            self._virtual.get(original_dst)
            or self._virtual.get((wildcard, original_dst[1]))
            or self._virtual.get(("0.0.0.0", original_dst[1]))
            or listener
        )


class _Accepting(asyncio.Protocol):
    """A connection until its protocol is known."""

    def __init__(self, listeners: ListenerSet, name: str, services: ListenerServices) -> None:
        self._listeners = listeners
        self._name = name
        self._services = services
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._original_dst = ("", 0)
        self._peer_address = ""
        self._listener: Listener | None = None
        self._chains: tuple[FilterChain, ...] = ()
        self._awaits_header = False
        """A PROXY header has to come first."""
        self._is_settled = False
        self._timer: asyncio.TimerHandle | None = None
        self._place: Admission | None = None
        self._seat: Seat | None = None

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._seat = self._listeners.connections(self._name).admit()
        if self._seat is None:
            self._refuse("connection_limit")
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() > self._services.highest_file:
            self._refuse("file_limit")
            return
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if peer is None or local is None:  # the client is gone already
            transport.close()
            return
        self._peer_address = _plain_address(peer[0])
        bound = (_plain_address(local[0]), int(local[1]))
        try:
            self._original_dst = self._services.original_dst(transport) or bound
        except OSError:  # the client was gone before it could be asked
            self._transport.abort()
            return
        listener = self._listeners.find(self._name, self._original_dst)
        if listener is None:
            self._refuse("listener_removed")
            return
        self._listener = listener
        address, port = self._original_dst
        self._chains = candidates(listener, address, port)
        if listener.proxy_protocol:
            self._awaits_header = True
        if listener.proxy_protocol or needs_detection(self._chains):
            self._await_detection(listener)
        else:
            self._settle(Detected(DetectedKind.OPAQUE), detected=False)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._is_settled:  # it waits for its handshake; uvloop undoes a pause made in `connection_made`
            if self._transport is not None:
                self._transport.pause_reading()  # now it holds: the rest waits in the kernel
            return
        if self._awaits_header and not self._read_header():
            return
        found = detect(self._buffer)
        if found.kind is DetectedKind.NEED_MORE:
            if len(self._buffer) <= _MAX_DETECTION_BYTES:
                return
            found = Detected(DetectedKind.OPAQUE)
        self._services.on_detected(self._name, found.kind.value)
        self._settle(found, detected=True)

    def eof_received(self) -> bool:
        self._refuse(
            "closed_before_detection" if self._buffer else "closed_without_data", count=bool(self._buffer)
        )
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._leave_place()
        self._leave_seat()

    # --- PROXY protocol ---

    def _read_header(self) -> bool:
        """True: it has been read, and the client's own bytes are what there is to look at."""
        try:
            header = read_proxy_header(self._buffer)
        except ProxyProtocolError:
            self._refuse("proxy_protocol")
            return False
        if header is None:
            return False
        self._awaits_header = False
        self._buffer = self._buffer[header.length :]
        self._peer_address = header.source or self._peer_address
        if not needs_detection(self._chains):
            self._settle(Detected(DetectedKind.OPAQUE), detected=False)
            return False
        return bool(self._buffer)

    # --- detection ---

    def _await_detection(self, listener: Listener) -> None:
        if listener.listener_filters_timeout > 0:
            self._timer = asyncio.get_running_loop().call_later(
                listener.listener_filters_timeout, self._on_silence
            )

    def _on_silence(self) -> None:
        self._timer = None
        assert self._listener is not None
        self._services.on_detected(self._name, "timeout")
        if self._listener.continue_on_listener_filters_timeout and not self._awaits_header:
            self._settle(Detected(DetectedKind.OPAQUE), detected=True)
        else:
            self._refuse("detection_timeout")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- the choice ---

    def _settle(self, found: Detected, *, detected: bool) -> None:
        self._stop_timer()
        self._is_settled = True
        listener = self._listener
        assert listener is not None
        is_tls = found.kind is DetectedKind.TLS
        facts = ConnectionFacts(
            self._original_dst[0],
            self._original_dst[1],
            ("tls" if is_tls else "raw_buffer") if detected else "",
            _application_protocols(found),
            found.server_name,
        )
        chain = select(self._chains, facts) or listener.default_filter_chain
        if chain is None:
            self._refuse(self._why_unwanted(is_tls))
        elif chain.tls is not None:
            self._start_tls(listener, chain, chain.tls)
        else:
            self._hand_over(listener, chain)

    def _why_unwanted(self, is_tls: bool) -> str:
        """A stable reason: the commonest by far is plaintext to a listener that wants mTLS."""
        kinds = {type(chain.tls) for chain in self._chains if chain.tls is not None}
        if EdgeTls in kinds:
            return "tls_name_unknown" if is_tls else "tls_required"
        if kinds:
            return "tls_not_of_mesh" if is_tls else "mtls_required"
        return "no_filter_chain"

    def _hand_over(self, listener: Listener, chain: FilterChain) -> None:
        protocol = self._services.make_protocol(self._accepted(listener, chain))
        transport = self._transport
        assert transport is not None
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._buffer:
            protocol.data_received(self._buffer)

    def _accepted(
        self, listener: Listener, chain: FilterChain, principal: str = "", client: OutsidePeer | None = None
    ) -> Accepted:
        assert self._seat is not None
        return Accepted(
            listener,
            chain,
            self._peer_address,
            self._original_dst,
            principal,
            tls=chain.tls is not None,
            seat=self._seat,
            client=client,
        )

    # --- TLS ---

    def _start_tls(self, listener: Listener, chain: FilterChain, tls: DownstreamTls | EdgeTls) -> None:
        context = self._services.server_context(tls)
        if context is None:
            self._refuse("no_identity" if isinstance(tls, DownstreamTls) else "no_certificate")
            return
        transport = self._transport
        assert transport is not None
        transport.pause_reading()  # what the client sends meanwhile waits in the kernel
        self._timer = asyncio.get_running_loop().call_later(_HANDSHAKE_TIMEOUT, self._on_handshake_timeout)
        self._place = self._services.gate.admit(
            lambda: self._begin_handshake(listener, chain, tls, context), transport.abort
        )
        if self._place is None:
            self._refuse("tls_handshake_limit")

    def _begin_handshake(
        self,
        listener: Listener,
        chain: FilterChain,
        tls: DownstreamTls | EdgeTls,
        context: ssl.SSLContext,
    ) -> None:
        transport = self._transport
        assert transport is not None
        if transport.is_closing():
            return

        def established(connection: TlsConnection) -> None:
            self._stop_timer()
            self._leave_place()
            self._services.on_handshake(bool(connection.ssl_object.session_reused))
            principal, client = "", None
            if isinstance(tls, DownstreamTls):
                principal = self._services.peer_identity(connection.ssl_object)
                is_allowed = _is_allowed(tls, principal)
            else:
                client = outside_peer(connection.ssl_object, self._services.wall())
                is_allowed = may_enter(client, tls.client)
            if not is_allowed:
                self._leave_seat()
                self._services.on_refused(self._name, "identity_not_allowed")
                connection.abort()
                return
            accepted = self._accepted(listener, chain, principal, client)
            connection.attach(self._services.make_protocol(accepted))

        def failed(error: Exception) -> None:
            self._stop_timer()
            self._leave_place()
            self._leave_seat()
            self._services.on_refused(self._name, "tls_handshake")

        connection = TlsConnection(
            context,
            server_side=True,
            on_established=established,
            on_failed=failed,
            gate=self._services.gate,
        )
        transport.set_protocol(connection)
        connection.connection_made(transport)
        data, self._buffer = self._buffer, b""
        if data:
            connection.data_received(data)
        else:
            transport.resume_reading()

    def _on_handshake_timeout(self) -> None:
        self._timer = None
        place, transport = self._place, self._transport
        if place is not None and not place.is_inside:
            self._refuse("tls_handshake_limit")
        elif transport is not None:
            transport.abort()

    def _leave_seat(self) -> None:
        if self._seat is not None:
            self._seat.leave()

    def _leave_place(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.leave()

    def _refuse(self, reason: str, *, count: bool = True) -> None:
        self._stop_timer()
        self._leave_place()
        if count:
            self._services.on_refused(self._name, reason)
        if self._transport is not None:
            socket_option.reset(self._transport)


def close_servers(opened: Mapping[str, Iterable[asyncio.Server]]) -> None:
    """Give up what `ListenerSet.open` has bound."""
    for servers in opened.values():
        for server in servers:
            server.close()


def _addresses(listener: Listener) -> tuple[tuple[str, int], ...]:
    return ((listener.address, listener.port), *listener.additional_addresses)


def _application_protocols(found: Detected) -> tuple[str, ...]:
    """As Envoy's inspectors name them."""
    if found.kind is DetectedKind.HTTP1:
        return ("http/1.1", "http/1.0")
    if found.kind is DetectedKind.HTTP2:
        return ("h2c",)
    return tuple(found.alpn) if found.kind is DetectedKind.TLS else ()


def _is_allowed(tls: DownstreamTls, principal: str) -> bool:
    if not principal:
        return not tls.require_client_certificate
    if not tls.san_matchers and not tls.san_prefixes:
        return True
    return principal in tls.san_matchers or principal.startswith(tls.san_prefixes)


def _plain_address(address: str) -> str:
    """`::ffff:10.0.0.1` (a v4 client of a dual-stack socket) and `fe80::1%eth0` as plain addresses."""
    address = address.partition("%")[0]
    return address[7:] if address.startswith("::ffff:") else address
