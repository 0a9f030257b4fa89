"""Outlier detection (pure): endpoints that fail get no requests for a while.

Mirrors `envoy.config.cluster.v3.OutlierDetection` as far as consecutive 5xx go. Failures in a row, because
they need no volume: the first five answers of a broken endpoint are enough, while single faults spread over
many successes eject nobody. A failure is a response of 500 or above, no connection, a reset or a timeout
(Envoy without `split_external_local_origin_errors`); whoever calls judges that. gRPC's statuses travel in a
200 and do not count.

Cold start: nobody is ejected, every count is 0. An ejection lasts the base time times the number of
ejections, at most the maximum, and ends at the first sweep after it; a sweep that finds an endpoint in use
takes one off its number, so that old sins are forgotten. At the cap further ejections are refused and
counted: that many broken endpoints are an outage, and sending everything to the few others would break them
too.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from meshproxy.config.model import OutlierDetection


class OutlierEvent(Enum):
    """What happened to a cluster's endpoints; for metrics."""

    EJECTED = "ejected"
    RETURNED = "returned"
    """One or more are back in use, or gone."""
    CAPPED = "capped"
    """An ejection was due, but as many as may be are ejected already."""
    PANICKED = "panicked"
    """A request went to any endpoint because too few were left."""


class EndpointHealth:
    """What outlier detection knows of one endpoint. Lives as long as the endpoint, across configurations."""

    __slots__ = ("ejected_at", "ejections", "failures", "is_ejected", "multiplier")

    def __init__(self) -> None:
        self.failures = 0
        """In a row since the last success; who sees a success sets it to 0."""
        self.is_ejected = False
        self.ejected_at = 0.0
        self.multiplier = 0
        """Of the base time, for the present ejection; fades while the endpoint is in use."""
        self.ejections = 0
        """Ever."""


class OutlierDetector:
    """The policy of one cluster. `settings` come checked (see `xds/clusters.py`)."""

    __slots__ = ("_marked", "_next_sweep_at", "_size", "ejected", "settings")

    def __init__(self, settings: OutlierDetection, now: float) -> None:
        self.settings = settings
        self.ejected = 0
        """Endpoints that are ejected now."""
        self._size = 0
        self._marked: set[EndpointHealth] = set()
        """Those a sweep has to look at: ejected, or with a multiplier that fades."""
        self._next_sweep_at = now + settings.interval

    @property
    def cap(self) -> int:
        """How many may be ejected at once."""
        allowed = self._size * self.settings.max_ejection_percent // 100
        return max(allowed, 1) if self.settings.always_eject_one_host else allowed

    def set_members(self, members: Collection[EndpointHealth]) -> None:
        """The cluster's endpoints from now on. Ejected ones stay so, even above a cap that shrank."""
        self._size = len(members)
        self._marked = {health for health in members if health.is_ejected or health.multiplier}
        self.ejected = sum(health.is_ejected for health in self._marked)

    def on_failure(self, health: EndpointHealth, now: float) -> OutlierEvent | None:
        """A member failed: EJECTED, CAPPED, or nothing. What an ejected one does (in panic) is not judged."""
        if health.is_ejected:
            return None
        health.failures += 1
        threshold = self.settings.consecutive_5xx
        if not threshold or health.failures < threshold:
            return None
        health.failures = 0
        if self.ejected >= self.cap:
            return OutlierEvent.CAPPED
        self._eject(health, now)
        return OutlierEvent.EJECTED

    def ejection_time(self, health: EndpointHealth) -> float:
        """Seconds the present ejection lasts, but for the wait for the next sweep."""
        settings = self.settings
        return min(settings.base_ejection_time * health.multiplier, settings.max_ejection_time)

    def sweep(self, now: float) -> int:
        """Let those return whose time is over; how many did. Call it often: it acts once an interval."""
        if now < self._next_sweep_at:
            return 0
        self._next_sweep_at = now + self.settings.interval
        returned = 0
        for health in list(self._marked):
            if not health.is_ejected:
                self._fade(health)
            elif now - health.ejected_at >= self.ejection_time(health):
                self._return(health)
                returned += 1
        return returned

    def release(self) -> None:
        """The policy ends: everybody is as if it had never been, but for the number of ejections."""
        for health in self._marked:
            health.is_ejected, health.multiplier = False, 0
        self._marked = set()
        self.ejected = 0

    def _eject(self, health: EndpointHealth, now: float) -> None:
        settings = self.settings
        self.ejected += 1
        health.is_ejected, health.ejected_at = True, now
        health.ejections += 1
        if (health.multiplier - 1) * settings.base_ejection_time < settings.max_ejection_time:
            health.multiplier += 1  # up to one past what the maximum allows, as Envoy counts
        self._marked.add(health)

    def _fade(self, health: EndpointHealth) -> None:
        health.multiplier -= 1
        if not health.multiplier:
            self._marked.discard(health)

    def _return(self, health: EndpointHealth) -> None:
        health.is_ejected = False
        health.failures = 0
        self.ejected -= 1
