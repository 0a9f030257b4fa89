"""Parameters of the resilience policies: what a `TrafficPolicy` or a `RateLimitPolicy` sets.

Every object checks itself: a value that makes no sense raises ConfigError, which names it and the mend.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from meshproxy.errors import ConfigError


def _require(is_right: bool, name: str, value: object, mend: str) -> None:
    if not is_right:
        raise ConfigError(f"{name} {value}: must be {mend}")


def _require_positive(name: str, value: float) -> None:
    _require(isfinite(value) and value > 0, name, f"{value} s", "a positive number of seconds")


@dataclass(frozen=True, slots=True)
class RetryBudgetSettings:
    """`CircuitBreakers.Thresholds.RetryBudget`, and a rate of ours. Refused: what is negative, no window."""

    budget_percent: float = 20.0
    """Of the requests under way that may be retries, and of a window's requests that may be retried."""
    min_concurrency: int = 3
    """Retries at once that are allowed however few requests there are (`min_retry_concurrency`)."""
    min_per_second: float | None = 10.0
    """Retries a window allows beside the percentage; None: only what is under way counts, as in Envoy."""
    window: float = 10.0
    """Seconds."""

    def __post_init__(self) -> None:
        percent = self.budget_percent
        _require(0 <= percent <= 100, "retry budget percent", percent, "from 0 to 100")
        _require(self.min_concurrency >= 0, "min_retry_concurrency", self.min_concurrency, "0 or more")
        floor = self.min_per_second
        _require(floor is None or (isfinite(floor) and floor >= 0), "min_per_second", floor, "0 or more")
        _require_positive("retry budget window", self.window)


@dataclass(frozen=True, slots=True)
class CircuitBreakerSettings:
    """Metadata `meshproxy.io.circuit_breaker`; the defaults are Linkerd's.

    Refused: a threshold below 1, intervals not positive or the wrong way round, jitter outside 0 to 1.
    """

    failure_threshold: int = 7
    """Failures in a row that open it."""
    base_open: float = 1.0
    """Seconds it first stays open; every probe that fails doubles them."""
    max_open: float = 60.0
    """Seconds it stays open at most, jitter included."""
    jitter: float = 0.5
    """Share of the interval added at random, so that proxies do not probe together."""

    def __post_init__(self) -> None:
        _require(self.failure_threshold >= 1, "failure_threshold", self.failure_threshold, "at least 1")
        _require_positive("base_open", self.base_open)
        longest = self.max_open
        is_longer = isfinite(longest) and longest >= self.base_open
        _require(is_longer, "max_open", f"{longest} s", f"finite and at least base_open, {self.base_open} s")
        _require(0 <= self.jitter <= 1, "circuit breaker jitter", self.jitter, "from 0 to 1")


@dataclass(frozen=True, slots=True)
class TokenBucketSettings:
    """`envoy.type.v3.TokenBucket`. Refused: counts below 1, an interval that is not positive."""

    max_tokens: int
    tokens_per_fill: int = 1
    fill_interval: float = 1.0
    """Seconds in which `tokens_per_fill` come back, spread evenly."""

    def __post_init__(self) -> None:
        _require(self.max_tokens >= 1, "max_tokens", self.max_tokens, "at least 1")
        _require(self.tokens_per_fill >= 1, "tokens_per_fill", self.tokens_per_fill, "at least 1")
        interval = self.fill_interval
        is_long = isfinite(interval) and interval >= 0.000_001
        _require(is_long, "fill_interval", f"{interval} s", "finite and at least a microsecond")


@dataclass(frozen=True, slots=True)
class HealthCheckSettings:
    """`envoy.config.core.v3.HealthCheck` as far as time and thresholds go. Where Envoy has no default, ours.

    Refused: times not positive (jitters: negative), thresholds below 1, a jitter percentage outside 0 to 100.
    """

    timeout: float = 5.0
    interval: float = 10.0
    unhealthy_threshold: int = 3
    """Failed connections or timeouts in a row; an answer that says it is unwell needs no second one."""
    healthy_threshold: int = 2
    """Successes in a row; the very first check needs only one."""
    no_traffic_interval: float = 60.0
    """Between checks of a cluster that has never had a connection."""
    no_traffic_healthy_interval: float | None = None
    """The same, after a success; None: `no_traffic_interval`."""
    unhealthy_interval: float | None = None
    """After a failure; None: `interval`."""
    unhealthy_edge_interval: float | None = None
    """After a failure that needs more to count; None: `unhealthy_interval`."""
    healthy_edge_interval: float | None = None
    """After a success that needs more to count; None: `interval`."""
    initial_jitter: float = 0.0
    """Seconds at most before the first check."""
    interval_jitter: float = 0.0
    """Seconds at most added to each interval."""
    interval_jitter_percent: int = 0
    """Of the interval, added at most."""

    def __post_init__(self) -> None:
        for name in _HEALTH_CHECK_TIMES:
            value = getattr(self, name)
            if value is not None:
                _require_positive(f"health check {name}", value)
        for name in ("unhealthy_threshold", "healthy_threshold"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("initial_jitter", "interval_jitter"):
            jitter = getattr(self, name)
            _require(isfinite(jitter) and jitter >= 0, name, f"{jitter} s", "0 or more seconds")
        percent = self.interval_jitter_percent
        _require(0 <= percent <= 100, "interval_jitter_percent", percent, "from 0 to 100")


_HEALTH_CHECK_TIMES = (
    "timeout",
    "interval",
    "no_traffic_interval",
    "no_traffic_healthy_interval",
    "unhealthy_interval",
    "unhealthy_edge_interval",
    "healthy_edge_interval",
)
