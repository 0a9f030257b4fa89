"""Outlier detection (pure): endpoints that fail get no requests for a while.

Mirrors `envoy.config.cluster.v3.OutlierDetection`. Failures in a row need no volume: the first five answers
of a broken endpoint are enough, while single faults spread over many successes eject nobody; rates of an
interval (`outlier_rate.py`) find an endpoint that fails more than the others. A failure is a response of 500
or above, no connection, a reset or a timeout; with `split_local_origin` those without an answer are counted
apart. Whoever calls says which it was. gRPC's statuses travel in a 200 and count when the exchange says so.

Cold start: nobody is ejected, every count is 0. An ejection lasts the base time times the number of
ejections, at most the maximum, and ends at the first sweep after it, or with a successful active health
check; a sweep that finds an endpoint in use takes one off its number, so that old sins are forgotten. At the
cap further ejections are refused and counted: that many broken endpoints are an outage, and sending
everything to the few others would break them too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from random import Random

from meshproxy.config.model import OutlierDetection
from meshproxy.policy.outlier_rate import Volume, below_the_others, failing_too_often


class OutlierEvent(Enum):
    """What happened to a cluster's endpoints; for metrics."""

    EJECTED = "ejected"
    RETURNED = "returned"
    """One or more are back in use, or gone."""
    CAPPED = "capped"
    """An ejection was due, but as many as may be are ejected already."""
    PANICKED = "panicked"
    """A request went to any endpoint because too few were left."""


class FailureKind(Enum):
    """How an endpoint failed."""

    SERVER_ERROR = "server_error"
    """An answer of 500 or above, but for:"""
    GATEWAY = "gateway"
    """502, 503, 504."""
    LOCAL = "local"
    """No answer: no connection, a reset, a timeout."""


class EndpointHealth:
    """What outlier detection knows of one endpoint. Lives as long as the endpoint, across configurations."""

    __slots__ = (
        "ejected_at",
        "ejection_jitter",
        "ejections",
        "error_total",
        "errors",
        "failures",
        "gateway_failures",
        "is_ejected",
        "local_failures",
        "local_total",
        "multiplier",
        "successes",
    )

    def __init__(self) -> None:
        self.failures = 0
        """Of any kind since the last success; who sees a success sets it to 0."""
        self.errors = self.gateway_failures = self.local_failures = 0
        """In a row, towards their thresholds; of use only while `failures` is not 0."""
        self.successes = 0
        """In this interval; who sees a success adds 1 where `OutlierDetector.counts_successes`."""
        self.error_total = self.local_total = 0
        """In this interval."""
        self.is_ejected = False
        self.ejected_at = 0.0
        self.ejection_jitter = 0.0
        """Seconds added to the present ejection."""
        self.multiplier = 0
        """Of the base time, for the present ejection; fades while the endpoint is in use."""
        self.ejections = 0
        """Ever."""

    def forget_runs(self) -> None:
        """As after a success."""
        self.failures = self.errors = self.gateway_failures = self.local_failures = 0

    def forget_interval(self) -> None:
        """A new interval begins."""
        self.successes = self.error_total = self.local_total = 0


class OutlierDetector:
    """The policy of one cluster. `settings` come checked (see `xds/clusters.py`)."""

    __slots__ = ("_marked", "_members", "_next_judging_at", "_next_sweep_at", "_rng", "ejected", "settings")

    def __init__(self, settings: OutlierDetection, now: float, rng: Random) -> None:
        self.settings = settings
        self.ejected = 0
        """Endpoints that are ejected now."""
        self._rng = rng
        self._members: Collection[EndpointHealth] = ()
        self._marked: set[EndpointHealth] = set()
        """Those a sweep has to look at: ejected, or with a multiplier that fades."""
        self._next_sweep_at = self._next_judging_at = now + settings.interval

    @property
    def cap(self) -> int:
        """How many may be ejected at once."""
        allowed = len(self._members) * self.settings.max_ejection_percent // 100
        return max(allowed, 1) if self.settings.always_eject_one_host else allowed

    @property
    def counts_successes(self) -> bool:
        """Whether rates are judged, so that successes have to be counted."""
        settings = self.settings
        is_local_judged = settings.split_local_origin and (
            settings.enforcing_local_origin_success_rate or settings.enforcing_failure_percentage_local_origin
        )
        return bool(
            settings.enforcing_success_rate or settings.enforcing_failure_percentage or is_local_judged
        )

    def set_members(self, members: Collection[EndpointHealth]) -> None:
        """The cluster's endpoints from now on. Ejected ones stay so, even above a cap that shrank."""
        self._members = members
        self._marked = {health for health in members if health.is_ejected or health.multiplier}
        self.ejected = sum(health.is_ejected for health in self._marked)

    def on_failure(
        self, health: EndpointHealth, now: float, kind: FailureKind = FailureKind.SERVER_ERROR
    ) -> OutlierEvent | None:
        """A member failed: EJECTED, CAPPED, or nothing. What an ejected one does (in panic) is not judged."""
        if health.is_ejected:
            return None
        if not health.failures:  # there was a success in between
            health.forget_runs()
        health.failures += 1
        if kind is FailureKind.LOCAL and self.settings.split_local_origin:
            return self._on_local_failure(health, now)
        return self._on_error(health, now, kind)

    def on_health_check_passed(self, health: EndpointHealth) -> bool:
        """An active health check found `health` well; True: that ended its ejection."""
        if not (health.is_ejected and self.settings.uneject_on_health_check):
            return False
        self._return(health)
        return True

    def ejection_time(self, health: EndpointHealth) -> float:
        """Seconds the present ejection lasts, but for the wait for the next sweep."""
        settings = self.settings
        length = min(settings.base_ejection_time * health.multiplier, settings.max_ejection_time)
        return length + health.ejection_jitter

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

    def judge_rates(self, now: float) -> list[OutlierEvent]:
        """Eject whose rates of the past interval are out of line. Call it often: it acts once an interval."""
        if now < self._next_judging_at:
            return []
        self._next_judging_at = now + self.settings.interval
        if not self.counts_successes:
            return []
        members = [health for health in self._members if not health.is_ejected]
        settings = self.settings
        events = self._judge(
            members,
            [Volume(one.successes + one.error_total, one.successes) for one in members],
            settings.enforcing_success_rate,
            settings.enforcing_failure_percentage,
            now,
        )
        if settings.split_local_origin:
            answered = [one.successes + one.error_total for one in members]
            events += self._judge(
                members,
                [Volume(had + one.local_total, had) for one, had in zip(members, answered, strict=True)],
                settings.enforcing_local_origin_success_rate,
                settings.enforcing_failure_percentage_local_origin,
                now,
            )
        for health in self._members:
            health.forget_interval()
        return events

    def release(self) -> None:
        """The policy ends: everybody is as if it had never been, but for the number of ejections."""
        for health in self._marked:
            health.is_ejected, health.multiplier = False, 0
        self._marked = set()
        self.ejected = 0

    def _on_local_failure(self, health: EndpointHealth, now: float) -> OutlierEvent | None:
        settings = self.settings
        health.local_total += 1
        health.local_failures += 1
        if health.local_failures != settings.consecutive_local_origin_failure:
            return None
        health.local_failures = 0
        return self._try_eject(health, settings.enforcing_consecutive_local_origin_failure, now)

    def _on_error(self, health: EndpointHealth, now: float, kind: FailureKind) -> OutlierEvent | None:
        settings = self.settings
        health.error_total += 1
        health.errors += 1
        if settings.split_local_origin:
            health.local_failures = 0  # it answered
        health.gateway_failures = 0 if kind is FailureKind.SERVER_ERROR else health.gateway_failures + 1
        event = None
        if health.gateway_failures and health.gateway_failures == settings.consecutive_gateway_failure:
            health.gateway_failures = 0
            event = self._try_eject(health, settings.enforcing_consecutive_gateway_failure, now)
        if event is not OutlierEvent.EJECTED and health.errors == settings.consecutive_5xx:
            health.errors = 0
            event = self._try_eject(health, settings.enforcing_consecutive_5xx, now) or event
        return event

    def _judge(
        self,
        members: Sequence[EndpointHealth],
        volumes: Sequence[Volume],
        enforcing_rate: int,
        enforcing_percentage: int,
        now: float,
    ) -> list[OutlierEvent]:
        settings = self.settings
        low = below_the_others(
            volumes,
            settings.success_rate_minimum_hosts,
            settings.success_rate_request_volume,
            settings.success_rate_stdev_factor,
        )
        often = failing_too_often(
            volumes,
            settings.failure_percentage_minimum_hosts,
            settings.failure_percentage_request_volume,
            settings.failure_percentage_threshold,
        )
        return [
            *self._eject_all((members[index] for index in low), enforcing_rate, now),
            *self._eject_all((members[index] for index in often), enforcing_percentage, now),
        ]

    def _eject_all(self, members: Iterable[EndpointHealth], enforcing: int, now: float) -> list[OutlierEvent]:
        due = (self._try_eject(one, enforcing, now) for one in members if not one.is_ejected)
        return [event for event in due if event is not None]

    def _try_eject(self, health: EndpointHealth, enforcing: int, now: float) -> OutlierEvent | None:
        """An ejection is due, and carried out in `enforcing` percent of all cases."""
        if enforcing < 100 and self._rng.random() * 100 >= enforcing:
            return None
        if self.ejected >= self.cap:
            return OutlierEvent.CAPPED
        self._eject(health, now)
        return OutlierEvent.EJECTED

    def _eject(self, health: EndpointHealth, now: float) -> None:
        settings = self.settings
        self.ejected += 1
        health.is_ejected, health.ejected_at = True, now
        health.forget_runs()
        health.ejections += 1
        if (health.multiplier - 1) * settings.base_ejection_time < settings.max_ejection_time:
            health.multiplier += 1  # up to one past what the maximum allows, as Envoy counts
        jitter = settings.max_ejection_time_jitter
        health.ejection_jitter = jitter * self._rng.random() if jitter else 0.0
        self._marked.add(health)

    def _fade(self, health: EndpointHealth) -> None:
        health.multiplier -= 1
        if not health.multiplier:
            self._marked.discard(health)

    def _return(self, health: EndpointHealth) -> None:
        health.is_ejected = False
        health.forget_runs()
        health.forget_interval()
        self.ejected -= 1
