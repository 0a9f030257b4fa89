"""Listener -> listeners of the model (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from control_plane.api.envoy.config.core.v3.address_pb2 import CidrRange
from control_plane.api.envoy.config.core.v3.base_pb2 import TrafficDirection
from control_plane.api.envoy.config.listener.v3 import listener_components_pb2 as components
from control_plane.api.envoy.config.listener.v3 import listener_pb2
from control_plane.api.envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import (
    HttpInspector,
)
from control_plane.api.envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from control_plane.api.envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol_pb2 import (
    ProxyProtocol,
)
from control_plane.api.envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import (
    TlsInspector,
)
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from control_plane.api.envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from meshproxy.config.model import (
    Direction,
    FilterChain,
    FilterChainMatch,
    HttpConnectionManager,
    Listener,
    TcpProxy,
)
from meshproxy.errors import ConfigError
from meshproxy.xds.endpoints import host_and_port
from meshproxy.xds.http_manager import translate_http_manager
from meshproxy.xds.split import split
from meshproxy.xds.strict import require, seconds_or, type_name, unpack
from meshproxy.xds.tls import downstream_tls

_DEFAULT_FILTERS_TIMEOUT = 15.0
"""Seconds; Envoy's default."""
_DEFAULT_IDLE_TIMEOUT = 3600.0

_DIRECTIONS = {
    TrafficDirection.INBOUND: Direction.INBOUND,
    TrafficDirection.OUTBOUND: Direction.OUTBOUND,
}
_LISTENER_FILTERS = (OriginalDst, TlsInspector, HttpInspector, ProxyProtocol)
_TRANSPORTS = ("", "tls", "raw_buffer")


def translate_listener(listener: listener_pb2.Listener, path: str) -> Listener:
    """`listener` has passed the strict check. Raises ConfigError."""
    direction = _DIRECTIONS.get(listener.traffic_direction)
    if direction is None:
        raise ConfigError(f"{path}.traffic_direction: INBOUND or OUTBOUND is needed")
    host, port = host_and_port(listener.address, f"{path}.address")
    filters = _listener_filters(listener.listener_filters, path)
    has_default = listener.HasField("default_filter_chain")
    return Listener(
        name=listener.name,
        direction=direction,
        address=host,
        port=port,
        filter_chains=_chains(listener.filter_chains, path),
        default_filter_chain=_default_chain(listener.default_filter_chain, path) if has_default else None,
        additional_addresses=tuple(
            host_and_port(item.address, f"{path}.additional_addresses[{index}].address")
            for index, item in enumerate(listener.additional_addresses)
        ),
        bind_to_port=listener.bind_to_port.value if listener.HasField("bind_to_port") else True,
        use_original_dst=listener.use_original_dst.value,
        original_dst=OriginalDst.DESCRIPTOR.full_name in filters,
        tls_inspector=TlsInspector.DESCRIPTOR.full_name in filters,
        http_inspector=HttpInspector.DESCRIPTOR.full_name in filters,
        proxy_protocol=ProxyProtocol.DESCRIPTOR.full_name in filters,
        listener_filters_timeout=seconds_or(
            listener, "listener_filters_timeout", _DEFAULT_FILTERS_TIMEOUT, path
        ),
        continue_on_listener_filters_timeout=listener.continue_on_listener_filters_timeout,
    )


def _listener_filters(filters: Iterable[components.ListenerFilter], path: str) -> set[str]:
    """Type names of the listener filters, each at most once."""
    known = {item.DESCRIPTOR.full_name: item for item in _LISTENER_FILTERS}
    found: set[str] = set()
    for index, item in enumerate(filters):
        where = f"{path}.listener_filters[{index}]"
        name = type_name(item.typed_config)
        require(name in known, where, f"listener filter {name!r} is not supported")
        is_first = name != ProxyProtocol.DESCRIPTOR.full_name or index == 0
        require(is_first, where, "proxy_protocol must come first: others look at what is behind its header")
        require(name not in found, where, f"listener filter {name!r} is there twice")
        unpack(item.typed_config, known[name], where)
        found.add(name)
    return found


def _chains(chains: Iterable[components.FilterChain], path: str) -> tuple[FilterChain, ...]:
    seen: dict[FilterChainMatch, str] = {}
    built = []
    for index, item in enumerate(chains):
        where = f"{path}.filter_chains[{index}]"
        chain = _chain(item, where)
        twin = seen.setdefault(chain.match, where)
        require(twin == where, f"{where}.filter_chain_match", f"the same as that of {twin}")
        built.append(chain)
    return tuple(built)


def _default_chain(chain: components.FilterChain, path: str) -> FilterChain:
    path = f"{path}.default_filter_chain"
    require(not chain.HasField("filter_chain_match"), f"{path}.filter_chain_match", "must not be set")
    return _chain(chain, path)


def _chain(chain: components.FilterChain, path: str) -> FilterChain:
    require(
        len(chain.filters) == 1, f"{path}.filters", f"{len(chain.filters)} given; exactly one is supported"
    )
    return FilterChain(
        name=chain.name,
        match=_match(chain.filter_chain_match, f"{path}.filter_chain_match"),
        network=_network_filter(chain.filters[0], f"{path}.filters[0]"),
        tls=downstream_tls(chain.transport_socket, path) if chain.HasField("transport_socket") else None,
    )


def _match(match: components.FilterChainMatch, path: str) -> FilterChainMatch:
    transport = match.transport_protocol
    require(transport in _TRANSPORTS, f"{path}.transport_protocol", f"{transport!r} is not supported")
    for index, name in enumerate(match.server_names):
        is_valid = name == name.lower() and "*" not in name.removeprefix("*.") and bool(name)
        require(is_valid, f"{path}.server_names[{index}]", f"{name!r} is not a lower-case name or *.suffix")
    return FilterChainMatch(
        destination_port=match.destination_port.value if match.HasField("destination_port") else None,
        destination_prefixes=tuple(
            _cidr(item, f"{path}.prefix_ranges[{index}]") for index, item in enumerate(match.prefix_ranges)
        ),
        transport_protocol=transport,
        application_protocols=tuple(match.application_protocols),
        server_names=tuple(match.server_names),
    )


def _cidr(item: CidrRange, path: str) -> str:
    text = f"{item.address_prefix}/{item.prefix_len.value}"
    try:
        return str(ip_network(text, strict=False))
    except ValueError as error:
        raise ConfigError(f"{path}: {text!r} is not an address prefix") from error


def _network_filter(item: components.Filter, path: str) -> HttpConnectionManager | TcpProxy:
    name = type_name(item.typed_config)
    if name == hcm_pb2.HttpConnectionManager.DESCRIPTOR.full_name:
        return translate_http_manager(unpack(item.typed_config, hcm_pb2.HttpConnectionManager, path), path)
    if name == tcp_proxy_pb2.TcpProxy.DESCRIPTOR.full_name:
        return _tcp_proxy(unpack(item.typed_config, tcp_proxy_pb2.TcpProxy, path), path)
    raise ConfigError(f"{path}: network filter {name!r} is not supported")


def _tcp_proxy(proxy: tcp_proxy_pb2.TcpProxy, path: str) -> TcpProxy:
    require(bool(proxy.stat_prefix), f"{path}.stat_prefix", "must not be empty")
    kind = proxy.WhichOneof("cluster_specifier")
    require(kind is not None, path, "cluster or weighted_clusters is needed")
    if kind == "cluster":
        clusters = split([proxy.cluster], [1], f"{path}.cluster")
    else:
        shares = proxy.weighted_clusters.clusters
        weights = [share.weight for share in shares]
        clusters = split([share.name for share in shares], weights, f"{path}.weighted_clusters.clusters")
    idle_timeout = seconds_or(proxy, "idle_timeout", _DEFAULT_IDLE_TIMEOUT, path)
    return TcpProxy(stat_prefix=proxy.stat_prefix, clusters=clusters, idle_timeout=idle_timeout)
