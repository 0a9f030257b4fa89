"""`lb_policy` and all that stands around it -> `LoadBalancing` (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster as Proto
from control_plane.api.envoy.config.core.v3.base_pb2 import RuntimeDouble
from meshproxy.config.load_balancing import (
    Algorithm,
    LoadBalancing,
    LocalitySpread,
    SlowStart,
    SubsetFallback,
    Subsets,
    SubsetSelector,
)
from meshproxy.errors import ConfigError
from meshproxy.xds.strict import enum_name, number_or, require, seconds

PEAK_EWMA = "peak_ewma"
"""Value of metadata `meshproxy.io.load_balancer`; beside LEAST_REQUEST, the nearest that Envoy has."""

_ALGORITHMS: Mapping[int, Algorithm] = {
    Proto.ROUND_ROBIN: Algorithm.ROUND_ROBIN,
    Proto.LEAST_REQUEST: Algorithm.LEAST_REQUEST,
    Proto.RANDOM: Algorithm.RANDOM,
    Proto.RING_HASH: Algorithm.RING_HASH,
    Proto.MAGLEV: Algorithm.MAGLEV,
}
_CONFIGS = {
    "round_robin_lb_config": Algorithm.ROUND_ROBIN,
    "least_request_lb_config": Algorithm.LEAST_REQUEST,
    "ring_hash_lb_config": Algorithm.RING_HASH,
    "maglev_lb_config": Algorithm.MAGLEV,
}
_Subset = Proto.LbSubsetConfig
_FALLBACKS = {
    _Subset.NO_FALLBACK: SubsetFallback.NO_FALLBACK,
    _Subset.ANY_ENDPOINT: SubsetFallback.ANY_ENDPOINT,
    _Subset.DEFAULT_SUBSET: SubsetFallback.DEFAULT_SUBSET,
}
_OWN_FALLBACKS = {
    _Subset.LbSubsetSelector.NOT_DEFINED: None,
    _Subset.LbSubsetSelector.NO_FALLBACK: SubsetFallback.NO_FALLBACK,
    _Subset.LbSubsetSelector.ANY_ENDPOINT: SubsetFallback.ANY_ENDPOINT,
    _Subset.LbSubsetSelector.DEFAULT_SUBSET: SubsetFallback.DEFAULT_SUBSET,
}


def translate_load_balancing(cluster: Proto, own: str, path: str) -> LoadBalancing:
    """`own` is metadata `meshproxy.io.load_balancer`, empty where it is not set. Raises ConfigError."""
    _check_original_dst(cluster, path)
    algorithm = _algorithm(cluster, own, path)
    _check_config(cluster, path)
    least, hashing = cluster.least_request_lb_config, cluster.common_lb_config.consistent_hashing_lb_config
    ring, default = cluster.ring_hash_lb_config, LoadBalancing()
    start = _slow_start(cluster, path)
    subsets = _subsets(cluster.lb_subset_config, path) if cluster.HasField("lb_subset_config") else None
    try:
        return LoadBalancing(
            algorithm=algorithm,
            slow_start=start,
            choice_count=number_or(least, "choice_count", default.choice_count),
            active_request_bias=_value(least.active_request_bias)
            if least.HasField("active_request_bias")
            else default.active_request_bias,
            min_ring_size=number_or(ring, "minimum_ring_size", default.min_ring_size),
            max_ring_size=number_or(ring, "maximum_ring_size", default.max_ring_size),
            table_size=number_or(cluster.maglev_lb_config, "table_size", default.table_size),
            hash_balance_percent=hashing.hash_balance_factor.value,
            locality=_locality(cluster),
            subsets=subsets,
        )
    except ConfigError as error:
        raise ConfigError(f"{path}.lb_policy: {error}") from error


def _check_original_dst(cluster: Proto, path: str) -> None:
    """Who is the endpoint is decided by the connection there, and by the policy everywhere else."""
    is_given = cluster.type == Proto.ORIGINAL_DST
    name = enum_name(cluster, "lb_policy")
    is_fitting = (cluster.lb_policy == Proto.CLUSTER_PROVIDED) == is_given
    require(is_fitting, f"{path}.lb_policy", f"{name} does not go with type {enum_name(cluster, 'type')}")
    if is_given:
        for field in ("lb_subset_config", "common_lb_config"):
            require(not cluster.HasField(field), f"{path}.{field}", "not for clusters of type ORIGINAL_DST")


def _algorithm(cluster: Proto, own: str, path: str) -> Algorithm:
    if cluster.lb_policy == Proto.CLUSTER_PROVIDED:
        require(not own, f"{path}.metadata", f"load_balancer {own!r} goes with lb_policy LEAST_REQUEST only")
        return Algorithm.ROUND_ROBIN
    algorithm = _ALGORITHMS.get(cluster.lb_policy)
    if algorithm is None:
        raise ConfigError(f"{path}.lb_policy: {enum_name(cluster, 'lb_policy')} is not supported")
    if not own:
        return algorithm
    where = f"{path}.metadata.filter_metadata['meshproxy.io'].load_balancer"
    require(own == PEAK_EWMA, where, f"{own!r} is not known; use {PEAK_EWMA!r}")
    require(algorithm is Algorithm.LEAST_REQUEST, where, "goes with lb_policy LEAST_REQUEST only")
    return Algorithm.PEAK_EWMA


def _check_config(cluster: Proto, path: str) -> None:
    """The settings of another policy than the cluster's would be followed by nobody."""
    given = cluster.WhichOneof("lb_config")
    if given is not None:
        is_fitting = _ALGORITHMS.get(cluster.lb_policy) is _CONFIGS[given]
        require(
            is_fitting, f"{path}.{given}", f"does not go with lb_policy {enum_name(cluster, 'lb_policy')}"
        )
    is_known = cluster.ring_hash_lb_config.hash_function == Proto.RingHashLbConfig.XX_HASH
    require(is_known, f"{path}.ring_hash_lb_config.hash_function", "only XX_HASH is supported")


def _slow_start(cluster: Proto, path: str) -> SlowStart | None:
    for field in ("round_robin_lb_config", "least_request_lb_config"):
        config = getattr(cluster, field)
        if config.HasField("slow_start_config"):
            where = f"{path}.{field}.slow_start_config"
            return _slow_start_of(config.slow_start_config, where)
    return None


def _slow_start_of(config: Proto.SlowStartConfig, path: str) -> SlowStart:
    least = config.min_weight_percent.value if config.HasField("min_weight_percent") else 10.0
    try:
        return SlowStart(
            seconds(config.slow_start_window, f"{path}.slow_start_window"),
            _value(config.aggression) if config.HasField("aggression") else 1.0,
            least,
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _value(number: RuntimeDouble) -> float:
    """Its runtime key, which Envoy wants to be there, names nothing: we have no runtime overrides."""
    return number.default_value


def _locality(cluster: Proto) -> LocalitySpread:
    is_weighted = cluster.common_lb_config.HasField("locality_weighted_lb_config")
    return LocalitySpread.WEIGHTED if is_weighted else LocalitySpread.NONE


def _subsets(config: Proto.LbSubsetConfig, path: str) -> Subsets:
    path = f"{path}.lb_subset_config"
    selectors = []
    for index, selector in enumerate(config.subset_selectors):
        where = f"{path}.subset_selectors[{index}].fallback_policy"
        fallback = selector.fallback_policy
        require(
            fallback in _OWN_FALLBACKS, where, f"{enum_name(selector, 'fallback_policy')} is not supported"
        )
        selectors.append(SubsetSelector(frozenset(selector.keys), _OWN_FALLBACKS[fallback]))
    try:
        return Subsets(tuple(selectors), _FALLBACKS[config.fallback_policy])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
