"""Cluster -> clusters of the model (pure)."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.struct_pb2 import Struct

from control_plane.api.envoy.config.cluster.v3 import cluster_pb2
from control_plane.api.envoy.config.core.v3.address_pb2 import BindConfig, SocketAddress
from control_plane.api.envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from meshproxy.config.health_check import HealthCheck
from meshproxy.config.model import (
    Cluster,
    ClusterType,
    OutlierDetection,
    ServiceIdentity,
    TransportSocketMatch,
)
from meshproxy.config.resilience import CircuitBreakerSettings
from meshproxy.errors import ConfigError
from meshproxy.xds.cluster_limits import translate_breaker, translate_limits
from meshproxy.xds.dns import translate_dns
from meshproxy.xds.endpoints import (
    MESH_KEY,
    socket_host_and_port,
    text_values,
    translate_endpoints,
)
from meshproxy.xds.health_check import translate_health_checks
from meshproxy.xds.load_balancing import translate_load_balancing
from meshproxy.xds.negotiation import negotiating
from meshproxy.xds.outlier import translate_outlier
from meshproxy.xds.strict import enum_name, require, seconds, seconds_or, unpack
from meshproxy.xds.tls import upstream_tls

_Proto = cluster_pb2.Cluster
_HTTP_OPTIONS = HttpProtocolOptions.DESCRIPTOR.full_name
_COMMON_OPTIONS = ("idle_timeout", "max_requests_per_connection")
_FEATURES = frozenset({"circuit_breaker", "load_balancer", "retry_budget"})
"""Keys of `meshproxy.io` metadata that are settings; the others are labels."""
_DEFAULT_CONNECT_TIMEOUT = 5.0
"""Seconds; Envoy's default."""

_TYPES = {
    _Proto.STATIC: ClusterType.STATIC,
    _Proto.EDS: ClusterType.EDS,
    _Proto.ORIGINAL_DST: ClusterType.ORIGINAL_DST,
    _Proto.STRICT_DNS: ClusterType.DNS,
    _Proto.LOGICAL_DNS: ClusterType.DNS,
}


def translate_cluster(cluster: _Proto, path: str) -> Cluster:
    """`cluster` has passed the strict check. Raises ConfigError."""
    kind = _type(cluster, path)
    http = _http_options(cluster, path)
    source, source_v6 = _bind_addresses(cluster.upstream_bind_config, f"{path}.upstream_bind_config")
    own = _own_metadata(cluster)
    assignment = cluster.load_assignment
    endpoints = translate_endpoints(assignment, f"{path}.load_assignment", has_names=kind is ClusterType.DNS)
    limits = translate_limits(cluster.circuit_breakers, own, path)
    found = Cluster(
        name=cluster.name,
        type=kind,
        eds_service_name=_eds_name(cluster, kind, path),
        endpoints=endpoints,
        connect_timeout=_connect_timeout(cluster, path),
        tls=upstream_tls(cluster.transport_socket, path) if cluster.HasField("transport_socket") else None,
        transport_socket_matches=tuple(
            _socket_match(match, f"{path}.transport_socket_matches[{index}]")
            for index, match in enumerate(cluster.transport_socket_matches)
        ),
        bind_address=source,
        bind_address_v6=source_v6,
        service=_service(own, path),
        max_connections=limits.max_connections,
        max_pending_requests=limits.max_pending_requests,
        max_requests=limits.max_requests,
        max_retries=limits.max_retries,
        retry_budget=limits.retry_budget,
        circuit_breaker=_breaker(own, kind, path),
        http2=http.http2,
        max_requests_per_connection=http.max_requests,
        idle_timeout=http.idle_timeout,
        dns=translate_dns(cluster, endpoints, path),
        health_check=_health_check(cluster, kind, path),
        outlier_detection=_outlier(cluster, kind, path),
        load_balancing=translate_load_balancing(cluster, _load_balancer(own, path), path),
        healthy_panic_threshold=_panic_threshold(cluster, path),
    )
    return negotiating(found, path) if http.negotiates else found


def _type(cluster: _Proto, path: str) -> ClusterType:
    kind = _TYPES.get(cluster.type)
    if kind is None:
        raise ConfigError(f"{path}.type: {enum_name(cluster, 'type')} is not supported")
    has_endpoints = cluster.HasField("load_assignment")
    require(
        kind in (ClusterType.STATIC, ClusterType.DNS) or not has_endpoints,
        f"{path}.load_assignment",
        "only for clusters of type STATIC, STRICT_DNS and LOGICAL_DNS",
    )
    return kind


def _eds_name(cluster: _Proto, kind: ClusterType, path: str) -> str:
    path = f"{path}.eds_cluster_config"
    if kind is not ClusterType.EDS:
        require(not cluster.HasField("eds_cluster_config"), path, "only for clusters of type EDS")
        return ""
    require(cluster.eds_cluster_config.eds_config.HasField("ads"), f"{path}.eds_config", "must be ads")
    return cluster.eds_cluster_config.service_name or cluster.name


def _connect_timeout(cluster: _Proto, path: str) -> float:
    timeout = seconds_or(cluster, "connect_timeout", _DEFAULT_CONNECT_TIMEOUT, path)
    require(timeout > 0, f"{path}.connect_timeout", "must be above 0")
    return timeout


def _socket_match(match: _Proto.TransportSocketMatch, path: str) -> TransportSocketMatch:
    criteria = text_values(match.match, f"{path}.match")
    return TransportSocketMatch(
        name=match.name,
        criteria=tuple(sorted(criteria.items())),
        tls=upstream_tls(match.transport_socket, path),
    )


class _HttpOptions(NamedTuple):
    http2: bool = False
    negotiates: bool = False
    """Endpoints with TLS choose the version (`auto_config`)."""
    max_requests: int = 0
    """That a connection serves."""
    idle_timeout: float | None = None
    """Seconds."""


def _http_options(cluster: _Proto, path: str) -> _HttpOptions:
    """Without the extension it is HTTP/1.1 that we speak upstream."""
    found = _HttpOptions()
    for key, packed in cluster.typed_extension_protocol_options.items():
        where = f"{path}.typed_extension_protocol_options[{key!r}]"
        require(key == _HTTP_OPTIONS, where, f"this extension is not supported; {_HTTP_OPTIONS} is")
        options = unpack(packed, HttpProtocolOptions, where)
        negotiates = options.HasField("auto_config")
        protocol = options.explicit_http_config.WhichOneof("protocol_config")
        text = "http_protocol_options or http2_protocol_options is needed"
        require(negotiates or protocol is not None, f"{where}.explicit_http_config", text)
        common, where = options.common_http_protocol_options, f"{where}.common_http_protocol_options"
        for field, _ in common.ListFields():
            require(field.name in _COMMON_OPTIONS, f"{where}.{field.name}", "is not supported for clusters")
        idle = common.HasField("idle_timeout")
        found = _HttpOptions(
            protocol == "http2_protocol_options",
            negotiates,
            common.max_requests_per_connection.value,
            seconds(common.idle_timeout, f"{where}.idle_timeout") if idle else None,
        )
    return found


def _bind_addresses(config: BindConfig, path: str) -> tuple[str, str]:
    """Source addresses (v4, v6); empty where none is set."""
    found = {4: "", 6: ""}
    addresses = (
        [(config.source_address, f"{path}.source_address")] if config.HasField("source_address") else []
    )
    for index, extra in enumerate(config.extra_source_addresses):
        addresses.append((extra.address, f"{path}.extra_source_addresses[{index}].address"))
    for address, where in addresses:
        host = _source_host(address, where)
        family = 6 if ":" in host else 4
        require(not found[family], where, f"a second IPv{family} source address")
        found[family] = host
    return found[4], found[6]


def _source_host(address: SocketAddress, path: str) -> str:
    host, port = socket_host_and_port(address, path)
    require(port == 0, f"{path}.port_value", "a fixed source port is not supported; use 0")
    return host


def _panic_threshold(cluster: _Proto, path: str) -> float:
    """Percent; Envoy's default where it is not set."""
    config = cluster.common_lb_config
    if not config.HasField("healthy_panic_threshold"):
        return 50.0
    value = config.healthy_panic_threshold.value
    where = f"{path}.common_lb_config.healthy_panic_threshold"
    require(0 <= value <= 100, where, f"{value} is no percentage")  # NaN is none either
    return value


def _own_metadata(cluster: _Proto) -> Struct:
    """Empty where there is none."""
    known = cluster.metadata.filter_metadata
    return known[MESH_KEY] if MESH_KEY in known else Struct()


def _load_balancer(own: Struct, path: str) -> str:
    if "load_balancer" not in own.fields:
        return ""
    value = own.fields["load_balancer"]
    place = f"{path}.metadata.filter_metadata[{MESH_KEY!r}].load_balancer"
    require(value.WhichOneof("kind") == "string_value", place, "must be a string")
    return value.string_value


def _breaker(own: Struct, kind: ClusterType, path: str) -> CircuitBreakerSettings | None:
    settings = translate_breaker(own, path)
    place = f"{path}.metadata.filter_metadata[{MESH_KEY!r}].circuit_breaker"
    is_fitting = settings is None or kind is not ClusterType.ORIGINAL_DST
    require(is_fitting, place, "not for clusters of type ORIGINAL_DST")
    return settings


def _health_check(cluster: _Proto, kind: ClusterType, path: str) -> HealthCheck | None:
    is_fitting = kind is not ClusterType.ORIGINAL_DST or not cluster.health_checks
    require(is_fitting, f"{path}.health_checks", "not for clusters of type ORIGINAL_DST")
    return translate_health_checks(cluster.health_checks, path)


def _outlier(cluster: _Proto, kind: ClusterType, path: str) -> OutlierDetection | None:
    """None where it is not set, which is what the API says it means."""
    if not cluster.HasField("outlier_detection"):
        return None
    path = f"{path}.outlier_detection"
    require(kind is not ClusterType.ORIGINAL_DST, path, "not for clusters of type ORIGINAL_DST")
    return translate_outlier(cluster.outlier_detection, path)


def _service(own: Struct, path: str) -> ServiceIdentity:
    labels = {key: value for key, value in own.fields.items() if key not in _FEATURES}
    place = f"{path}.metadata.filter_metadata[{MESH_KEY!r}]"
    for key, value in labels.items():
        require(value.WhichOneof("kind") == "string_value", f"{place}[{key!r}]", "must be a string")
    keys = {"host": "service_host", "name": "service_name", "namespace": "service_namespace"}
    found = {field: labels[key].string_value for field, key in keys.items() if key in labels}
    return ServiceIdentity(**{field: value for field, value in found.items() if value})
