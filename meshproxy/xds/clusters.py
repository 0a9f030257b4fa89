"""Cluster -> clusters of the model (pure)."""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import UInt32Value

from control_plane.api.envoy.config.cluster.v3 import cluster_pb2
from control_plane.api.envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from control_plane.api.envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection as _Outlier
from control_plane.api.envoy.config.core.v3.address_pb2 import BindConfig, SocketAddress
from control_plane.api.envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from meshproxy.config.model import (
    Cluster,
    ClusterType,
    LbPolicy,
    OutlierDetection,
    ServiceIdentity,
    TransportSocketMatch,
)
from meshproxy.errors import ConfigError
from meshproxy.xds.endpoints import (
    MESH_KEY,
    metadata_of,
    socket_host_and_port,
    text_values,
    translate_endpoints,
)
from meshproxy.xds.strict import enum_name, require, seconds_or, unpack
from meshproxy.xds.tls import upstream_tls

_Proto = cluster_pb2.Cluster
_HTTP_OPTIONS = HttpProtocolOptions.DESCRIPTOR.full_name
_DEFAULT_CONNECT_TIMEOUT = 5.0
"""Seconds; Envoy's default."""

_TYPES = {
    _Proto.STATIC: ClusterType.STATIC,
    _Proto.EDS: ClusterType.EDS,
    _Proto.ORIGINAL_DST: ClusterType.ORIGINAL_DST,
}
_POLICIES = {
    _Proto.ROUND_ROBIN: LbPolicy.ROUND_ROBIN,
    _Proto.CLUSTER_PROVIDED: LbPolicy.CLUSTER_PROVIDED,
}


def translate_cluster(cluster: _Proto, path: str) -> Cluster:
    """`cluster` has passed the strict check. Raises ConfigError."""
    kind = _type(cluster, path)
    max_requests = _check_http_options(cluster, path)
    source, source_v6 = _bind_addresses(cluster.upstream_bind_config, f"{path}.upstream_bind_config")
    connections, pending, requests, retries = _limits(cluster, path)
    return Cluster(
        name=cluster.name,
        type=kind,
        eds_service_name=_eds_name(cluster, kind, path),
        endpoints=translate_endpoints(cluster.load_assignment, f"{path}.load_assignment"),
        connect_timeout=_connect_timeout(cluster, path),
        lb_policy=_lb_policy(cluster, kind, path),
        tls=upstream_tls(cluster.transport_socket, path) if cluster.HasField("transport_socket") else None,
        transport_socket_matches=tuple(
            _socket_match(match, f"{path}.transport_socket_matches[{index}]")
            for index, match in enumerate(cluster.transport_socket_matches)
        ),
        bind_address=source,
        bind_address_v6=source_v6,
        service=_service(cluster, path),
        max_connections=connections,
        max_pending_requests=pending,
        max_requests=requests,
        max_retries=retries,
        max_requests_per_connection=max_requests,
        outlier_detection=_outlier(cluster, kind, path),
        healthy_panic_threshold=_panic_threshold(cluster, path),
    )


def _type(cluster: _Proto, path: str) -> ClusterType:
    kind = _TYPES.get(cluster.type)
    if kind is None:
        raise ConfigError(f"{path}.type: {enum_name(cluster, 'type')} is not supported")
    has_endpoints = cluster.HasField("load_assignment")
    require(
        kind is ClusterType.STATIC or not has_endpoints,
        f"{path}.load_assignment",
        "only for clusters of type STATIC",
    )
    return kind


def _eds_name(cluster: _Proto, kind: ClusterType, path: str) -> str:
    path = f"{path}.eds_cluster_config"
    if kind is not ClusterType.EDS:
        require(not cluster.HasField("eds_cluster_config"), path, "only for clusters of type EDS")
        return ""
    require(cluster.eds_cluster_config.eds_config.HasField("ads"), f"{path}.eds_config", "must be ads")
    return cluster.eds_cluster_config.service_name or cluster.name


def _lb_policy(cluster: _Proto, kind: ClusterType, path: str) -> LbPolicy:
    policy = _POLICIES.get(cluster.lb_policy)
    name = enum_name(cluster, "lb_policy")
    if policy is None:
        raise ConfigError(f"{path}.lb_policy: {name} is not supported")
    is_fitting = (policy is LbPolicy.CLUSTER_PROVIDED) == (kind is ClusterType.ORIGINAL_DST)
    require(is_fitting, f"{path}.lb_policy", f"{name} does not go with type {enum_name(cluster, 'type')}")
    return policy


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


def _check_http_options(cluster: _Proto, path: str) -> int:
    """HTTP/1.1 is what we speak upstream; the extension may say so, and how many requests a connection serves
    (0: any number)."""
    max_requests = 0
    for key, packed in cluster.typed_extension_protocol_options.items():
        where = f"{path}.typed_extension_protocol_options[{key!r}]"
        require(key == _HTTP_OPTIONS, where, f"this extension is not supported; {_HTTP_OPTIONS} is")
        options = unpack(packed, HttpProtocolOptions, where)
        is_http1 = options.explicit_http_config.HasField("http_protocol_options")
        require(is_http1, f"{where}.explicit_http_config", "must be http_protocol_options")
        common = options.common_http_protocol_options
        for field, _ in common.ListFields():
            place = f"{where}.common_http_protocol_options.{field.name}"
            require(field.name == "max_requests_per_connection", place, "is not supported for clusters")
        max_requests = common.max_requests_per_connection.value
    return max_requests


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


def _limits(cluster: _Proto, path: str) -> tuple[int, int, int, int]:
    """(connections, pending requests, requests, retries); Envoy's defaults where not set."""
    thresholds = cluster.circuit_breakers.thresholds
    require(len(thresholds) <= 1, f"{path}.circuit_breakers.thresholds", "more than one is not supported")
    limits = thresholds[0] if thresholds else CircuitBreakers.Thresholds()
    return (
        _value_or(limits.max_connections, limits.HasField("max_connections"), 1024),
        _value_or(limits.max_pending_requests, limits.HasField("max_pending_requests"), 1024),
        _value_or(limits.max_requests, limits.HasField("max_requests"), 1024),
        _value_or(limits.max_retries, limits.HasField("max_retries"), 3),
    )


def _outlier(cluster: _Proto, kind: ClusterType, path: str) -> OutlierDetection | None:
    """None where it is not set, which is what the API says it means. An `enforcing_success_rate` that is not
    set is taken as 0, unlike Envoy's 100: comparing success rates is not done here."""
    if not cluster.HasField("outlier_detection"):
        return None
    path = f"{path}.outlier_detection"
    message = cluster.outlier_detection
    require(kind is not ClusterType.ORIGINAL_DST, path, "not for clusters of type ORIGINAL_DST")
    require(not message.enforcing_success_rate.value, f"{path}.enforcing_success_rate", "only 0 is supported")
    settings = OutlierDetection(
        consecutive_5xx=_value_or(message.consecutive_5xx, message.HasField("consecutive_5xx"), 5),
        interval=_positive_or(message, "interval", 10.0, path),
        base_ejection_time=(base := _positive_or(message, "base_ejection_time", 30.0, path)),
        max_ejection_time=_positive_or(message, "max_ejection_time", max(base, 300.0), path),
        max_ejection_percent=_value_or(
            message.max_ejection_percent, message.HasField("max_ejection_percent"), 10
        ),
        always_eject_one_host=message.always_eject_one_host.value,
    )
    require(settings.max_ejection_percent <= 100, f"{path}.max_ejection_percent", "must be at most 100")
    longest = settings.max_ejection_time
    require(longest >= base, f"{path}.max_ejection_time", f"{longest} s is below the base, {base} s")
    return settings


def _positive_or(message: _Outlier, field: str, default: float, path: str) -> float:
    value = seconds_or(message, field, default, path)
    require(value > 0, f"{path}.{field}", "must be above 0")
    return value


def _panic_threshold(cluster: _Proto, path: str) -> float:
    """Percent; Envoy's default where it is not set."""
    config = cluster.common_lb_config
    if not config.HasField("healthy_panic_threshold"):
        return 50.0
    value = config.healthy_panic_threshold.value
    where = f"{path}.common_lb_config.healthy_panic_threshold"
    require(0 <= value <= 100, where, f"{value} is no percentage")  # NaN is none either
    return value


def _value_or(wrapper: UInt32Value, is_set: bool, default: int) -> int:
    return wrapper.value if is_set else default


def _service(cluster: _Proto, path: str) -> ServiceIdentity:
    labels = metadata_of(cluster.metadata, MESH_KEY, path)
    keys = {"host": "service_host", "name": "service_name", "namespace": "service_namespace"}
    return ServiceIdentity(**{field: labels[key] for field, key in keys.items() if labels.get(key)})
