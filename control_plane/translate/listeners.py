"""Listeners (pure): the two that own a socket, and the ones they hand connections to by original destination.

Outbound, a connection reaches `<VIP>_<port>` if that exists, else `0.0.0.0_<port>`, else stays at
`virtualOutbound`. Inbound, one listener has a filter chain per port and kind of traffic.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from control_plane.api.envoy.config.core.v3.address_pb2 import Address, SocketAddress
from control_plane.api.envoy.config.core.v3.base_pb2 import TrafficDirection, TransportSocket
from control_plane.api.envoy.config.listener.v3.listener_components_pb2 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    ListenerFilter,
)
from control_plane.api.envoy.config.listener.v3.listener_pb2 import AdditionalAddress, Listener
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import (
    HttpInspector,
)
from control_plane.api.envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from control_plane.api.envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import (
    TlsInspector,
)
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from control_plane.api.envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from control_plane.discovery.model import PortProtocol, Service, ServicePort
from control_plane.resources.rate_limit_policy import RateLimitPolicySpec
from control_plane.translate import names
from control_plane.translate.amount import duration
from control_plane.translate.endpoints import socket_address
from control_plane.translate.http_filters import http_filters
from control_plane.translate.rate_limit import RATE_LIMIT_FILTER, rate_limit_config
from control_plane.translate.routes import single_cluster_host
from control_plane.translate.settings import MtlsMode, OutboundTrafficPolicy
from control_plane.translate.tls import ads_source, packed

DETECTION_TIMEOUT_SECONDS = 10
"""How long a silent client is waited for where the protocol must be guessed; then its bytes are opaque."""

REQUEST_HEADERS_TIMEOUT_SECONDS = 10
"""How long a request head may take from its first byte: a slow one is answered 408."""

_PLAIN_HTTP = ("http/1.1", "http/1.0")
"""What the HTTP inspector calls HTTP/1; prior-knowledge HTTP/2 (`h2c`) is relayed as opaque bytes."""


# --- outbound -----------------------------------------------------------------------------------------------


def virtual_outbound(policy: OutboundTrafficPolicy, chains: Iterable[FilterChain] = ()) -> Listener:
    """Catches every outbound connection and keeps those to destinations that no Service stands for.

    `chains`: for pods of the mesh that are dialled by address.
    """
    unknown = unknown_cluster(policy)
    listener = _listener(names.VIRTUAL_OUTBOUND, "0.0.0.0", names.OUTBOUND_PORT, TrafficDirection.OUTBOUND)
    _add_ipv6(listener, names.OUTBOUND_PORT)
    listener.use_original_dst.CopyFrom(BoolValue(value=True))
    listener.listener_filters.append(_original_dst())
    listener.filter_chains.append(_blocked(names.OUTBOUND_PORT))
    listener.filter_chains.extend(chains)
    listener.default_filter_chain.CopyFrom(FilterChain(name="unknown", filters=[tcp_proxy(unknown)]))
    return listener


def unknown_cluster(policy: OutboundTrafficPolicy) -> str:
    """Where connections go that nothing in the mesh stands for."""
    allowed = policy is OutboundTrafficPolicy.ALLOW_ANY
    return names.PASSTHROUGH_CLUSTER if allowed else names.BLACK_HOLE_CLUSTER


def http_listener(
    port: int,
    filters: Collection[str] = (),
    chains: Iterable[FilterChain] = (),
    *,
    looks_for_tls: bool = False,
) -> Listener:
    """All Services whose `port` is declared HTTP: told apart by Host. `filters`: names of HTTP filters;
    `chains`: for pods of the mesh that are dialled by address, and for TLS that is told by server name."""
    name = names.wildcard_listener(port)
    listener = unbound(name, "0.0.0.0", port)
    if looks_for_tls:
        add_detection(listener, http=False)
    http = outbound_http(name, names.route_table(port), filters)
    listener.filter_chains.append(FilterChain(name="http", filters=[http]))
    listener.filter_chains.extend(chains)
    return listener


def tcp_listener(service: Service, port: ServicePort) -> Listener:
    """One Service port declared TCP: told by its VIP, never waiting for a byte."""
    return tcp_proxy_listener(service.vip, port.number, names.outbound_cluster(service.key, port.number))


def tcp_proxy_listener(address: str, port: int, cluster: str) -> Listener:
    """Everything to a virtual address and port goes to one cluster."""
    listener = unbound(names.service_listener(address, port), address, port)
    listener.filter_chains.append(FilterChain(name="tcp", filters=[tcp_proxy(cluster)]))
    return listener


def detecting_listener(service: Service, port: ServicePort, filters: Collection[str] = ()) -> Listener:
    """One undeclared Service port: HTTP/1 is routed, anything else is relayed to the same endpoints."""
    name = names.service_listener(service.vip, port.number)
    opaque = names.opaque_cluster(service.key, port.number)
    listener = unbound(name, service.vip, port.number)
    http_or_opaque(listener, outbound_http(name, names.route_table(port.number), filters), opaque)
    return listener


def http_or_opaque(listener: Listener, http: Filter, opaque: str) -> None:
    """HTTP/1 to the filter, anything else to the cluster `opaque`."""
    add_detection(listener)
    match = FilterChainMatch(transport_protocol="raw_buffer", application_protocols=_PLAIN_HTTP)
    listener.filter_chains.append(FilterChain(name="http", filter_chain_match=match, filters=[http]))
    listener.default_filter_chain.CopyFrom(FilterChain(name="opaque", filters=[tcp_proxy(opaque)]))


def outbound_http(listener_name: str, table: str, filters: Collection[str]) -> Filter:
    """Routed by the RouteConfiguration `table`."""
    manager = _http_manager(f"outbound_{listener_name}", filters)
    manager.rds.CopyFrom(hcm.Rds(config_source=ads_source(), route_config_name=table))
    return _http_filter(manager)


# --- inbound ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InboundPort:
    """A port of the local app that some Service names, with what the oldest such Service declares about
    it."""

    number: int
    protocol: PortProtocol
    rate_limit: RateLimitPolicySpec | None = None
    header_timeout: str | None = None
    """GEP-2257; None is the mesh's default."""


@dataclass(frozen=True, slots=True)
class InboundMtls:
    """What a pod's sidecar demands of its clients."""

    mode: MtlsMode
    ports: Mapping[int, MtlsMode] = field(default_factory=dict)
    """Ports of the app that differ."""

    def of(self, port: int) -> MtlsMode:
        return self.ports.get(port, self.mode)

    @property
    def is_strict(self) -> bool:
        """Everywhere."""
        return {self.mode, *self.ports.values()} == {MtlsMode.STRICT}


def virtual_inbound(
    ports: Collection[InboundPort], mtls: InboundMtls, tls: TransportSocket, *, is_envoy: bool = False
) -> Listener:
    """Everything that arrives at the pod; `tls` is the server side of mesh TLS.

    In STRICT, plaintext matches no chain: the connection is closed, and counted.
    """
    listener = _listener(names.VIRTUAL_INBOUND, "0.0.0.0", names.INBOUND_PORT, TrafficDirection.INBOUND)
    _add_ipv6(listener, names.INBOUND_PORT)
    listener.listener_filters.append(_original_dst())
    add_detection(listener, http=not mtls.is_strict)
    listener.filter_chains.append(_blocked(names.INBOUND_PORT))
    for port in ports:
        filters, mode = _InboundFilters.of(port.number, port, is_envoy=is_envoy), mtls.of(port.number)
        listener.filter_chains.extend(_port_chains(port.number, port.protocol, filters, mode, tls))
    filters = _InboundFilters.of(None, None, is_envoy=is_envoy)
    named = {port.number for port in ports}
    for number, mode in [(number, mtls.of(number)) for number in sorted(mtls.ports.keys() - named)]:
        chains = _port_chains(number, PortProtocol.UNDECLARED, filters, mode, tls)
        listener.filter_chains.extend(chains)
    listener.filter_chains.extend(_port_chains(None, PortProtocol.UNDECLARED, filters, mtls.mode, tls))
    if mtls.mode is not MtlsMode.STRICT:
        strict = sorted(number for number, mode in mtls.ports.items() if mode is MtlsMode.STRICT)
        listener.filter_chains.extend(map(_refused, strict))
    return listener


class _InboundFilters(NamedTuple):
    """Network filters of one port."""

    http: Filter
    """HTTP/1.1, or HTTP/2 by its preface."""
    tcp: Filter
    http2: Filter | None
    """Of stock Envoy, which asks ALPN for the version and does not know the mesh's names."""

    @classmethod
    def of(cls, port: int | None, policies: InboundPort | None, *, is_envoy: bool) -> "_InboundFilters":
        http2 = _inbound_http(port, policies, hcm.HttpConnectionManager.HTTP2) if is_envoy else None
        return cls(_inbound_http(port, policies), tcp_proxy(_inbound_name(port)), http2)


def _port_chains(
    port: int | None,
    protocol: PortProtocol,
    filters: _InboundFilters,
    mode: MtlsMode,
    tls: TransportSocket,
) -> Iterable[FilterChain]:
    """Chains of one port; None is every port that nothing names."""
    label = "catch-all" if port is None else str(port)
    http, tcp, http2 = filters
    by_alpn = [("mtls-http", http, names.ALPN_REQUESTS), ("mtls-tcp", tcp, (names.ALPN_TCP,))]
    if http2 is not None:
        by_alpn[0] = ("mtls-http", http, (names.ALPN_HTTP,))
        by_alpn.append(("mtls-http2", http2, (names.ALPN_HTTP2,)))
    for kind, one, alpn in by_alpn:
        match = _match(port, "tls", *alpn)
        yield FilterChain(
            name=f"{label}-{kind}", filter_chain_match=match, filters=[one], transport_socket=tls
        )
    if mode is MtlsMode.STRICT:
        return
    # The app's own TLS: not ours to end.
    yield FilterChain(name=f"{label}-tls", filter_chain_match=_match(port, "tls"), filters=[tcp])
    if protocol.is_http:
        yield FilterChain(name=f"{label}-http", filter_chain_match=_match(port, "raw_buffer"), filters=[http])
        return
    if protocol is PortProtocol.UNDECLARED:
        plain_http = _match(port, "raw_buffer", *_PLAIN_HTTP)
        yield FilterChain(name=f"{label}-http", filter_chain_match=plain_http, filters=[http])
    yield FilterChain(name=f"{label}-tcp", filter_chain_match=_match(port, "raw_buffer"), filters=[tcp])


def _match(port: int | None, transport: str, *application: str) -> FilterChainMatch:
    match = FilterChainMatch(transport_protocol=transport, application_protocols=application)
    if port is not None:
        match.destination_port.CopyFrom(UInt32Value(value=port))
    return match


def _inbound_name(port: int | None) -> str:
    return names.INBOUND_PASSTHROUGH_CLUSTER if port is None else names.inbound_cluster(port)


def _inbound_http(
    port: int | None,
    policies: InboundPort | None,
    codec: hcm.HttpConnectionManager.CodecType = hcm.HttpConnectionManager.AUTO,
) -> Filter:
    """`policies` are those of the Service port behind it, which are kept here."""
    cluster = _inbound_name(port)
    limit = None if policies is None else policies.rate_limit
    filters = () if limit is None else (RATE_LIMIT_FILTER,)
    manager = _http_manager(f"inbound_0.0.0.0_{port or 'catch-all'}", filters)
    manager.codec_type = codec
    if policies is not None and policies.header_timeout is not None:
        manager.request_headers_timeout.CopyFrom(duration(policies.header_timeout))
    has_calls = policies is not None and policies.protocol is PortProtocol.HTTP2
    host = single_cluster_host(f"inbound|http|{port or ''}", cluster, "default", has_calls=has_calls)
    if limit is not None:
        host.typed_per_filter_config[RATE_LIMIT_FILTER].CopyFrom(rate_limit_config(limit))
    manager.route_config.CopyFrom(RouteConfiguration(name=cluster, virtual_hosts=[host]))
    manager.forward_client_cert_details = hcm.HttpConnectionManager.SANITIZE_SET
    manager.set_current_client_cert_details.uri = True
    return _http_filter(manager)


# --- gateways -----------------------------------------------------------------------------------------------


def bound(name: str, port: int) -> Listener:
    """A listener of a gateway, with a socket of its own. Traffic leaves for the mesh, hence the direction."""
    return _listener(name, "0.0.0.0", port, TrafficDirection.OUTBOUND)


def gateway_http(table: str, filters: Collection[str], trusted_hops: int, *, shows_client: bool) -> Filter:
    """Clients are strangers. `shows_client`: what their certificates say goes to the backends."""
    manager = _http_manager(f"gateway_{table}", filters)
    manager.rds.CopyFrom(hcm.Rds(config_source=ads_source(), route_config_name=table))
    manager.use_remote_address.CopyFrom(BoolValue(value=True))
    manager.xff_num_trusted_hops = trusted_hops
    if shows_client:
        manager.forward_client_cert_details = hcm.HttpConnectionManager.SANITIZE_SET
        manager.set_current_client_cert_details.subject.CopyFrom(BoolValue(value=True))
        manager.set_current_client_cert_details.uri = True
        manager.set_current_client_cert_details.dns = True
    return _http_filter(manager)


# --- shared parts -------------------------------------------------------------------------------------------


def _listener(name: str, address: str, port: int, direction: TrafficDirection) -> Listener:
    return Listener(name=name, address=socket_address(address, port), traffic_direction=direction)


def unbound(name: str, address: str, port: int) -> Listener:
    """A listener without a socket: `virtualOutbound` hands it connections."""
    listener = _listener(name, address, port, TrafficDirection.OUTBOUND)
    listener.bind_to_port.CopyFrom(BoolValue(value=False))
    return listener


def _add_ipv6(listener: Listener, port: int) -> None:
    address = SocketAddress(address="::", port_value=port, ipv4_compat=False)
    listener.additional_addresses.append(AdditionalAddress(address=Address(socket_address=address)))


def add_detection(listener: Listener, *, http: bool = True) -> None:
    """Look at the first bytes; a client that stays silent is let through as opaque after the timeout."""
    tls_inspector = packed(TlsInspector())
    listener.listener_filters.append(
        ListenerFilter(name="envoy.filters.listener.tls_inspector", typed_config=tls_inspector)
    )
    if http:
        http_inspector = packed(HttpInspector())
        listener.listener_filters.append(
            ListenerFilter(name="envoy.filters.listener.http_inspector", typed_config=http_inspector)
        )
    listener.listener_filters_timeout.CopyFrom(Duration(seconds=DETECTION_TIMEOUT_SECONDS))
    listener.continue_on_listener_filters_timeout = True


def _original_dst() -> ListenerFilter:
    return ListenerFilter(name="envoy.filters.listener.original_dst", typed_config=packed(OriginalDst()))


def _blocked(port: int) -> FilterChain:
    """Refuses a connection made to the listener itself: relaying it would come back here for ever."""
    return _black_hole("blocked", port)


def _refused(port: int) -> FilterChain:
    """For what is not mesh TLS on a port that demands it, lest chains of every port take it."""
    return _black_hole(f"{port}-refused", port)


def _black_hole(name: str, port: int) -> FilterChain:
    match = FilterChainMatch(destination_port=UInt32Value(value=port))
    return FilterChain(name=name, filter_chain_match=match, filters=[tcp_proxy(names.BLACK_HOLE_CLUSTER)])


def tcp_proxy(cluster: str) -> Filter:
    """The network filter that relays bytes to a cluster."""
    proxy = TcpProxy(stat_prefix=cluster, cluster=cluster)
    return Filter(name="envoy.filters.network.tcp_proxy", typed_config=packed(proxy))


def _http_manager(stat_prefix: str, filters: Collection[str] = ()) -> hcm.HttpConnectionManager:
    return hcm.HttpConnectionManager(
        stat_prefix=stat_prefix,
        http_filters=http_filters(filters),
        request_headers_timeout=Duration(seconds=REQUEST_HEADERS_TIMEOUT_SECONDS),
        upgrade_configs=[hcm.HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
    )


def _http_filter(manager: hcm.HttpConnectionManager) -> Filter:
    return Filter(name="envoy.filters.network.http_connection_manager", typed_config=packed(manager))
