"""How a cluster spreads its requests: what `envoy.config.cluster.v3.Cluster` says around `lb_policy`.

Every object checks itself: a value that makes no sense raises ConfigError, which names it and the mend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import isfinite

from meshproxy.errors import ConfigError

MAX_RING_SIZE = 8 * 1024 * 1024
"""Envoy's bound of `RingHashLbConfig.maximum_ring_size`."""
MAX_TABLE_SIZE = 5_000_011
"""Envoy's bound of `MaglevLbConfig.table_size`."""


@dataclass(frozen=True, slots=True)
class Locality:
    """`envoy.config.core.v3.Locality`."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""


class Algorithm(Enum):
    """`Cluster.lb_policy`, and one of ours."""

    ROUND_ROBIN = "round_robin"
    LEAST_REQUEST = "least_request"
    RANDOM = "random"
    RING_HASH = "ring_hash"
    MAGLEV = "maglev"
    PEAK_EWMA = "peak_ewma"
    """Metadata `meshproxy.io.load_balancer`: the lower recent latency of two; a failure is a long latency."""


def _require(is_right: bool, name: str, value: object, mend: str) -> None:
    if not is_right:
        raise ConfigError(f"{name} {value}: must be {mend}")


@dataclass(frozen=True, slots=True)
class SlowStart:
    """`SlowStartConfig`: an endpoint that is new, or well again, gets its share little by little.

    Refused: a window or an aggression that is not positive, a least weight outside 0 to 100 %.
    """

    window: float
    """Seconds until it has its whole share."""
    aggression: float = 1.0
    """1 grows linearly; above it faster at first."""
    min_weight_percent: float = 10.0
    """Of its weight, from the first moment."""

    def __post_init__(self) -> None:
        for name in ("window", "aggression"):
            value = getattr(self, name)
            _require(isfinite(value) and value > 0, f"slow start {name}", value, "a positive number")
        percent = self.min_weight_percent
        _require(0 <= percent <= 100, "slow start min_weight_percent", percent, "from 0 to 100")


class LocalitySpread(Enum):
    """What localities mean to a cluster (`CommonLbConfig.locality_config_specifier`)."""

    NONE = "none"
    """Nothing: every endpoint of a priority alike."""
    WEIGHTED = "weighted"
    """Each locality its share by `locality_weight`, less where endpoints fail."""
    ZONE_AWARE = "zone_aware"
    """As much as fits in our own, the rest where there is room."""


class SubsetFallback(Enum):
    """`LbSubsetFallbackPolicy`: what to do when no endpoint has the labels asked for."""

    NO_FALLBACK = "no_fallback"
    ANY_ENDPOINT = "any_endpoint"
    DEFAULT_SUBSET = "default_subset"


@dataclass(frozen=True, slots=True)
class SubsetSelector:
    """`LbSubsetSelector`. Refused: no keys."""

    keys: frozenset[str]
    """A request that asks for exactly these labels finds the endpoints that carry the values."""
    fallback: SubsetFallback | None = None
    """None: the cluster's."""

    def __post_init__(self) -> None:
        _require(bool(self.keys), "subset selector keys", sorted(self.keys), "at least one")


@dataclass(frozen=True, slots=True)
class Subsets:
    """`LbSubsetConfig`. Refused: no selectors, two of the same keys."""

    selectors: tuple[SubsetSelector, ...]
    fallback: SubsetFallback = SubsetFallback.NO_FALLBACK
    default_subset: tuple[tuple[str, str], ...] = ()
    """Labels, sorted; empty: every endpoint."""

    def __post_init__(self) -> None:
        keys = [selector.keys for selector in self.selectors]
        names = [sorted(one) for one in keys]
        _require(bool(keys), "subset selectors", names, "at least one")
        _require(len(set(keys)) == len(keys), "subset selectors", names, "different from each other")


@dataclass(frozen=True, slots=True)
class LoadBalancing:
    """All of it. The defaults are Envoy's.

    Refused: counts below 1, a bias below 0, ring sizes the wrong way round or too large, a table size that is
    not prime or too large, a load bound below 100 %, times that are not positive, a percentage outside 0 to
    100, overprovisioning below 100 %, slow start with an algorithm that cannot have it.
    """

    algorithm: Algorithm = Algorithm.ROUND_ROBIN
    slow_start: SlowStart | None = None
    """Round robin, least request and peak EWMA only."""
    choice_count: int = 2
    """Least request: endpoints drawn to find the least busy one."""
    active_request_bias: float = 1.0
    """Least request with different weights: weight / (active + 1) ** bias; 0 is weighted round robin."""
    min_ring_size: int = 1024
    max_ring_size: int = MAX_RING_SIZE
    table_size: int = 65537
    """Maglev: entries; a prime number."""
    hash_balance_percent: int = 0
    """Ring hash and maglev: an endpoint has at most this percentage of the average load, the rest moves on;
    0: no bound (`ConsistentHashingLbConfig.hash_balance_factor`)."""
    latency_decay: float = 10.0
    """Peak EWMA: seconds after which a latency counts 1/e; Linkerd's value."""
    default_latency: float = 0.03
    """Peak EWMA: seconds assumed of an endpoint not heard of yet; Linkerd's value."""
    failure_penalty: float = 5.0
    """Peak EWMA: seconds that a failure counts as having taken, at least."""
    fail_on_panic: bool = False
    """Refuse requests instead of using unfit endpoints (`fail_traffic_on_panic`)."""
    overprovisioning_percent: int = 140
    """`overprovisioning_factor`: a priority keeps its traffic while its fit share times this is 100 %."""
    locality: LocalitySpread = LocalitySpread.NONE
    min_cluster_size: int = 6
    """Zone aware: with fewer fit endpoints zones mean nothing."""
    zone_routing_percent: float = 100.0
    """Zone aware: of requests, those that heed zones (`routing_enabled`)."""
    subsets: Subsets | None = None

    def __post_init__(self) -> None:
        _require(self.choice_count >= 1, "choice_count", self.choice_count, "at least 1")
        bias = self.active_request_bias
        _require(isfinite(bias) and bias >= 0, "active_request_bias", bias, "0 or more")
        self._check_hashing()
        for name in ("latency_decay", "default_latency", "failure_penalty"):
            value = getattr(self, name)
            _require(isfinite(value) and value > 0, name, value, "a positive number of seconds")
        percent = self.zone_routing_percent
        _require(0 <= percent <= 100, "zone_routing_percent", percent, "from 0 to 100")
        factor = self.overprovisioning_percent
        _require(factor >= 100, "overprovisioning_percent", factor, "100 or more")
        _require(self.min_cluster_size >= 0, "min_cluster_size", self.min_cluster_size, "0 or more")
        takes_slow_start = self.algorithm in _SLOW_STARTERS
        _require(
            self.slow_start is None or takes_slow_start,
            "slow start with",
            self.algorithm.value,
            "round_robin, least_request or peak_ewma",
        )

    def _check_hashing(self) -> None:
        least, most = self.min_ring_size, self.max_ring_size
        _require(1 <= least <= most, "min_ring_size", least, f"from 1 to max_ring_size, {most}")
        _require(most <= MAX_RING_SIZE, "max_ring_size", most, f"at most {MAX_RING_SIZE}")
        size = self.table_size
        _require(1 < size <= MAX_TABLE_SIZE and _is_prime(size), "table_size", size, "a prime up to 5000011")
        bound = self.hash_balance_percent
        _require(bound == 0 or bound >= 100, "hash_balance_percent", bound, "0 (off) or at least 100")


_SLOW_STARTERS = {Algorithm.ROUND_ROBIN, Algorithm.LEAST_REQUEST, Algorithm.PEAK_EWMA}


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """Where we are, and how many fit endpoints of our own cluster each locality has (for zone awareness)."""

    locality: Locality
    fit: Mapping[Locality, int] = field(default_factory=dict)
