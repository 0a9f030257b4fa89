"""Active health checks (pure): what results make of one endpoint, and when to check next.

Mirrors `envoy.config.core.v3.HealthCheck` and its quirks: an endpoint is unwell until its first check, which
alone decides; later changes need `healthy_threshold` successes or `unhealthy_threshold` failures in a row,
but an answer that says "unwell" (a status that is neither expected nor retriable) counts at once, while a
lost connection or a timeout has to repeat. An endpoint that says it is going
(`x-envoy-immediate-health-check-fail`, in any response) is out at once and does not count among those that
should be well. A cluster that never had traffic is checked slowly.
"""

from __future__ import annotations

from enum import Enum
from random import Random

from meshproxy.config.resilience import HealthCheckSettings

IMMEDIATE_FAIL = b"x-envoy-immediate-health-check-fail"
"""Response field, whatever its value."""
DEGRADED = b"x-envoy-degraded"
"""Response field of a successful check: use it only for what others cannot take."""


class CheckResult(Enum):
    """How a check ended."""

    SUCCESS = "success"
    DEGRADED = "degraded"
    """Success with `x-envoy-degraded`."""
    UNWELL = "unwell"
    """An answer that says so."""
    RETRIABLE = "retriable"
    """An answer of `retriable_statuses`: has to repeat."""
    NETWORK = "network"
    """No connection, a reset, or no answer in time."""


class HealthTransition(Enum):
    """What a result changed."""

    NONE = "none"
    PENDING = "pending"
    """More of the same will change it: the edge intervals hold."""
    CHANGED = "changed"


class HealthState:
    """One endpoint's. It lives as long as the endpoint, across configurations with the same checks."""

    __slots__ = (
        "_failures",
        "_is_first",
        "_last_failed",
        "_successes",
        "_transition",
        "is_degraded",
        "is_excluded",
        "is_healthy",
        "settings",
    )

    def __init__(self, settings: HealthCheckSettings) -> None:
        self.settings = settings
        self.is_healthy = False
        self.is_degraded = False
        self.is_excluded = False
        """It said that it is going: unwell, and left out of the panic threshold's count."""
        self._is_first = True
        self._successes = 0
        self._failures = 0
        self._last_failed = False
        self._transition = HealthTransition.NONE

    @property
    def is_pending(self) -> bool:
        """No check has ended yet."""
        return self._is_first

    def first_delay(self, rng: Random) -> float:
        """Seconds before the first check."""
        return self.settings.initial_jitter * rng.random()

    def on_result(self, result: CheckResult) -> HealthTransition:
        """A check ended. CHANGED: `is_healthy` or `is_degraded` is another one now."""
        if result in (CheckResult.SUCCESS, CheckResult.DEGRADED):
            self._transition = self._succeed(result is CheckResult.DEGRADED)
        else:
            self._transition = self._fail(result is CheckResult.UNWELL)
        self._is_first = False
        return self._transition

    def fail_immediately(self) -> HealthTransition:
        """A response of the endpoint, to a check or to a request, said that it is going."""
        was_out = not self.is_healthy and self.is_excluded
        self.is_healthy, self.is_excluded = False, True
        self._successes = 0
        return HealthTransition.NONE if was_out else HealthTransition.CHANGED

    def next_interval(self, has_traffic: bool, rng: Random) -> float:
        """Seconds until the next check begins. `has_traffic`: the cluster has ever had a connection."""
        settings = self.settings
        interval = self._interval() if has_traffic else self._quiet_interval()
        jitter = interval * settings.interval_jitter_percent / 100 + settings.interval_jitter
        return interval + jitter * rng.random()

    def _succeed(self, is_degraded: bool) -> HealthTransition:
        self._failures = 0
        self._last_failed = False
        has_changed = self.is_degraded is not is_degraded
        self.is_degraded = is_degraded
        if not self.is_healthy:
            self._successes += 1
            if not self._is_first and self._successes < self.settings.healthy_threshold:
                return HealthTransition.PENDING
            self.is_healthy, self.is_excluded = True, False
            has_changed = True
        self._successes = 0
        return HealthTransition.CHANGED if has_changed else HealthTransition.NONE

    def _fail(self, is_final: bool) -> HealthTransition:
        self._successes = 0
        self._last_failed = True
        if not self.is_healthy:
            return HealthTransition.NONE
        self._failures += 1
        if not is_final and self._failures < self.settings.unhealthy_threshold:
            return HealthTransition.PENDING
        self._failures = 0
        self.is_healthy = False
        return HealthTransition.CHANGED

    def _interval(self) -> float:
        settings = self.settings
        is_pending = self._transition is HealthTransition.PENDING
        if self._last_failed:
            unhealthy = settings.unhealthy_interval or settings.interval
            return (settings.unhealthy_edge_interval or unhealthy) if is_pending else unhealthy
        return (settings.healthy_edge_interval or settings.interval) if is_pending else settings.interval

    def _quiet_interval(self) -> float:
        settings = self.settings
        if self._last_failed:
            return settings.no_traffic_interval
        return settings.no_traffic_healthy_interval or settings.no_traffic_interval
