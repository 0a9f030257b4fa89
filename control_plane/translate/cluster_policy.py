"""The cluster side of a TrafficPolicy (pure): connections, limits, health and balancing.

A field is set only where the policy says something about it, so that who does not use a feature need not
know it.
"""

import math
from collections.abc import Mapping
from typing import TypeAlias

from google.protobuf.struct_pb2 import Struct

from control_plane.api.envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.core.v3.base_pb2 import RuntimeDouble
from control_plane.api.envoy.config.core.v3.health_check_pb2 import HealthCheck as HealthCheckProto
from control_plane.api.envoy.config.core.v3.protocol_pb2 import HttpProtocolOptions
from control_plane.api.envoy.type.v3.percent_pb2 import Percent
from control_plane.api.envoy.type.v3.range_pb2 import Int64Range
from control_plane.resources.gateway_field import milliseconds
from control_plane.resources.health import CircuitBreaker, HealthCheck, Limits
from control_plane.resources.load_balancer import LoadBalancer, SlowStart
from control_plane.resources.traffic_policy import TrafficPolicySpec
from control_plane.resources.traffic_retry import RetryBudget
from control_plane.translate import names
from control_plane.translate.amount import count, duration
from control_plane.translate.locality import is_weighted
from control_plane.translate.outlier import apply_breaker_to_outlier, apply_outlier
from control_plane.translate.upstream_protocol import speaks_http2

_DEFAULT_BUDGET = RetryBudget()
"""Of HTTP clusters whose policy says nothing about retries."""
_CHECK_JITTER_PERCENT = 10
"""Proxies that learn of a health check at the same moment shall not go on asking at the same moments."""
_ASSUMED_RETRY_SECONDS = 0.3
"""Envoy's floor is a number of concurrent retries, ours a rate: so long a retry is taken to last. 10 a second
are then Envoy's default of 3."""

_POLICIES = {
    "RoundRobin": Cluster.ROUND_ROBIN,
    "LeastRequest": Cluster.LEAST_REQUEST,
    "PeakEWMA": Cluster.LEAST_REQUEST,
    "Random": Cluster.RANDOM,
    "RingHash": Cluster.RING_HASH,
    "Maglev": Cluster.MAGLEV,
}
_Subset: TypeAlias = Cluster.LbSubsetConfig
OwnValue: TypeAlias = str | Mapping[str, float]
"""What `meshproxy.io` metadata says of one feature."""


def apply_to_cluster(
    cluster: Cluster, spec: TrafficPolicySpec | None, *, host: str, is_http: bool, is_envoy: bool
) -> None:
    """Set what `spec` says on a cluster that has the mesh's defaults already.

    `host`: what HTTP health checks ask for. Our own words (`meshproxy.io` metadata) are left out for Envoy.
    """
    retry = None if spec is None else spec.retry
    limits = None if spec is None else spec.limits
    own: dict[str, OwnValue] = {}
    if limits is not None:
        _apply_limits(cluster.circuit_breakers.thresholds[0], limits)
    if is_http:
        _apply_budget(cluster, None if retry is None else retry.budget, limits, own)
    if spec is not None:
        _apply_spec(cluster, spec, own, host=host, is_http=is_http, is_envoy=is_envoy)
    if own and not is_envoy:
        _add_metadata(cluster, own)


def _apply_spec(
    cluster: Cluster,
    spec: TrafficPolicySpec,
    own: dict[str, OwnValue],
    *,
    host: str,
    is_http: bool,
    is_envoy: bool,
) -> None:
    if spec.timeouts is not None and spec.timeouts.connect is not None:
        cluster.connect_timeout.CopyFrom(duration(spec.timeouts.connect))
    if spec.circuit_breaker is not None:
        own["circuit_breaker"] = _breaker(spec.circuit_breaker)
        if is_envoy:
            apply_breaker_to_outlier(cluster.outlier_detection, spec.circuit_breaker)
        elif spec.outlier_detection is None:
            # The mesh's default would take an endpoint out before its breaker has counted to its threshold.
            cluster.outlier_detection.enforcing_consecutive_5xx.CopyFrom(count(0))
    if spec.outlier_detection is not None:
        apply_outlier(cluster.outlier_detection, spec.outlier_detection)
    if spec.health_check is not None and _can_check(cluster, spec.health_check, is_http):
        cluster.health_checks.append(_health_check(spec.health_check, host))
    if spec.load_balancer is not None:
        _apply_balancer(cluster, spec.load_balancer, own)
    if spec.subsets:
        cluster.lb_subset_config.CopyFrom(_subsets(spec))


def http_options(spec: TrafficPolicySpec | None) -> HttpProtocolOptions | None:
    """`common_http_protocol_options` of the cluster's connections; None when the policy says nothing."""
    if spec is None:
        return None
    idle = None if spec.timeouts is None else spec.timeouts.connection_idle
    most = None if spec.limits is None else spec.limits.max_requests_per_connection
    if idle is None and most is None:
        return None
    options = HttpProtocolOptions()
    if idle is not None:
        options.idle_timeout.CopyFrom(duration(idle))
    if most is not None:
        options.max_requests_per_connection.CopyFrom(count(most))
    return options


def subset_keys(spec: TrafficPolicySpec | None) -> frozenset[str]:
    """Labels that endpoints must carry in their metadata, so that subsets can be chosen."""
    return frozenset() if spec is None else frozenset(key for subset in spec.subsets for key in subset.labels)


def _apply_limits(thresholds: CircuitBreakers.Thresholds, limits: Limits) -> None:
    for name in ("max_connections", "max_pending_requests", "max_requests", "max_retries"):
        value = getattr(limits, name)
        if value is not None:
            getattr(thresholds, name).CopyFrom(count(value))


def _apply_budget(
    cluster: Cluster, budget: RetryBudget | None, limits: Limits | None, own: dict[str, OwnValue]
) -> None:
    """A fixed number of retries, where one is asked for, takes the place of the default budget."""
    is_fixed = limits is not None and limits.max_retries is not None
    if budget is None and not is_fixed:
        budget = _DEFAULT_BUDGET
    if budget is None:
        return
    floor = math.ceil(budget.min_per_second * _ASSUMED_RETRY_SECONDS)
    cluster.circuit_breakers.thresholds[0].retry_budget.CopyFrom(
        CircuitBreakers.Thresholds.RetryBudget(
            budget_percent=Percent(value=budget.percent), min_retry_concurrency=count(floor)
        )
    )
    own["retry_budget"] = {"min_per_second": budget.min_per_second}


def _breaker(breaker: CircuitBreaker) -> Mapping[str, float]:
    """Times in seconds, jitter as a part of 1."""
    return {
        "failure_threshold": breaker.failure_threshold,
        "base_open": milliseconds(breaker.base_open) / 1000,
        "max_open": milliseconds(breaker.max_open) / 1000,
        "jitter": breaker.jitter / 100,
    }


def _can_check(cluster: Cluster, check: HealthCheck, is_http: bool) -> bool:
    """Whether the cluster speaks what the check asks in; Envoy refuses calls to one that is not HTTP/2."""
    if check.grpc is None:
        return is_http or check.tcp is not None
    return speaks_http2(cluster)


def _health_check(check: HealthCheck, host: str) -> HealthCheckProto:
    built = HealthCheckProto(
        timeout=duration(check.timeout),
        interval=duration(check.interval),
        unhealthy_threshold=count(check.unhealthy_threshold),
        healthy_threshold=count(check.healthy_threshold),
        no_traffic_interval=duration(check.no_traffic_interval),
        interval_jitter_percent=_CHECK_JITTER_PERCENT,
    )
    if check.http is not None:
        # Envoy's default Host would be the cluster's name, which is no valid one.
        built.http_health_check.host = check.http.host or host
        built.http_health_check.path = check.http.path
        for one in check.http.expected_statuses:  # Envoy's range leaves out its end
            built.http_health_check.expected_statuses.append(Int64Range(start=one.start, end=one.end + 1))
    if check.grpc is not None:
        built.grpc_health_check.authority = check.grpc.host or host
        built.grpc_health_check.service_name = check.grpc.service or ""
    if check.tcp is not None:
        built.tcp_health_check.SetInParent()
        if check.tcp.send is not None:
            built.tcp_health_check.send.text = check.tcp.send.encode().hex()
        if check.tcp.receive is not None:
            built.tcp_health_check.receive.add(text=check.tcp.receive.encode().hex())
    return built


def _apply_balancer(cluster: Cluster, balancer: LoadBalancer, own: dict[str, OwnValue]) -> None:
    cluster.lb_policy = _POLICIES[balancer.policy]
    if balancer.policy == "PeakEWMA":
        own["load_balancer"] = "peak_ewma"
    if balancer.panic_threshold is not None:
        cluster.common_lb_config.healthy_panic_threshold.value = balancer.panic_threshold
    if balancer.ring_hash is not None:
        cluster.ring_hash_lb_config.minimum_ring_size.value = balancer.ring_hash.minimum_ring_size
        cluster.ring_hash_lb_config.maximum_ring_size.value = balancer.ring_hash.maximum_ring_size
    if balancer.maglev is not None:
        cluster.maglev_lb_config.table_size.value = balancer.maglev.table_size
    if balancer.least_request is not None:
        cluster.least_request_lb_config.choice_count.CopyFrom(count(balancer.least_request.choice_count))
        if balancer.least_request.active_request_bias is not None:
            bias = _runtime_double(balancer.least_request.active_request_bias, "active_request_bias")
            cluster.least_request_lb_config.active_request_bias.CopyFrom(bias)
    if is_weighted(balancer.locality):
        cluster.common_lb_config.locality_weighted_lb_config.SetInParent()
    if balancer.slow_start is not None:
        started = _slow_start(balancer.slow_start)
        if balancer.policy == "LeastRequest":
            cluster.least_request_lb_config.slow_start_config.CopyFrom(started)
        else:
            cluster.round_robin_lb_config.slow_start_config.CopyFrom(started)


def _slow_start(start: SlowStart) -> Cluster.SlowStartConfig:
    return Cluster.SlowStartConfig(
        slow_start_window=duration(start.window),
        aggression=_runtime_double(start.aggression, "slow_start_aggression"),
        min_weight_percent=Percent(value=start.min_weight_percent),
    )


def _runtime_double(value: float, key: str) -> RuntimeDouble:
    """Envoy requires a runtime key; nothing sets it."""
    return RuntimeDouble(default_value=value, runtime_key=f"meshproxy.{key}")


def _subsets(spec: TrafficPolicySpec) -> _Subset:
    """Requests without a subset go to every endpoint; those for an empty subset to none."""
    selectors = sorted({tuple(sorted(subset.labels)) for subset in spec.subsets})
    none = _Subset.LbSubsetSelector.NO_FALLBACK
    return _Subset(
        fallback_policy=_Subset.ANY_ENDPOINT,
        subset_selectors=[_Subset.LbSubsetSelector(keys=keys, fallback_policy=none) for keys in selectors],
    )


def _add_metadata(cluster: Cluster, values: Mapping[str, OwnValue]) -> None:
    more = Struct()
    more.update(values)
    cluster.metadata.filter_metadata[names.LABEL_METADATA].MergeFrom(more)
