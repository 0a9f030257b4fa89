"""What answers and failures make of a cluster's endpoints: ejections, breakers, latencies. [6, 9]

The policies are pure; this tells them what happened and the cluster when to choose anew. A breaker that is
open takes its endpoint out of the choice altogether, panic or not: what is left is one request at a time, the
probe, once the open time is over. Whose request it is, is remembered, so that the answers of others that
began before it opened do not decide for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from math import inf
from random import Random

from meshproxy.clock import Clock
from meshproxy.config.load_balancing import Algorithm
from meshproxy.config.model import Cluster
from meshproxy.http.events import Headers, ResponseHead
from meshproxy.policy.circuit_breaker import Admission, CircuitBreaker
from meshproxy.policy.health_state import IMMEDIATE_FAIL, CheckResult, HealthTransition
from meshproxy.policy.outlier import FailureKind, OutlierDetector, OutlierEvent
from meshproxy.policy.retry_after import retry_after
from meshproxy.policy.retry_condition import GATEWAY_ERRORS
from meshproxy.upstream.endpoint import EndpointRuntime

_log = logging.getLogger(__name__)

_TOO_MANY_REQUESTS = 429


class ClusterHealth:
    """One cluster's."""

    __slots__ = ("_clock", "_cluster", "_on_opened", "_outlier", "_rng", "_rotate", "_tell", "_watches_all")

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        rng: Random,
        *,
        rotate: Callable[[], None],
        tell: Callable[[OutlierEvent], None],
        on_opened: Callable[[], None],
    ) -> None:
        """`rotate` is called when who may be chosen has changed, `on_opened` when a breaker opens."""
        self._cluster = cluster
        self._clock = clock
        self._rng = rng
        self._rotate = rotate
        self._tell = tell
        self._on_opened = on_opened
        self._outlier: OutlierDetector | None = None
        self._watches_all = False

    @property
    def ejected(self) -> int:
        """Endpoints that are ejected now."""
        return self._outlier.ejected if self._outlier is not None else 0

    # --- configuration ---

    def update(self, cluster: Cluster, endpoints: Sequence[EndpointRuntime]) -> None:
        """Follow the configuration and the endpoints, which may have left while ejected."""
        self._cluster = cluster
        self._update_outlier(endpoints)
        is_by_latency = cluster.load_balancing.algorithm is Algorithm.PEAK_EWMA
        self._watches_all = (
            is_by_latency
            or cluster.health_check is not None
            or (self._outlier is not None and self._outlier.counts_successes)
        )
        for endpoint in endpoints:
            self._update_breaker(endpoint)
            if not is_by_latency:
                endpoint.latency = None
            endpoint.is_watched = self._is_of_interest(endpoint)

    def _update_outlier(self, endpoints: Sequence[EndpointRuntime]) -> None:
        settings = self._cluster.outlier_detection
        before = self.ejected
        if self._outlier is None or self._outlier.settings != settings:
            if self._outlier is not None:
                self._outlier.release()
            now = self._clock.monotonic()
            self._outlier = OutlierDetector(settings, now, self._rng) if settings is not None else None
        if self._outlier is not None:
            self._outlier.set_members([endpoint.health for endpoint in endpoints])
        if self.ejected < before:
            self._tell(OutlierEvent.RETURNED)

    def _update_breaker(self, endpoint: EndpointRuntime) -> None:
        settings = self._cluster.circuit_breaker
        known = endpoint.breaker
        if settings is None:
            endpoint.breaker = endpoint.prober = None
        elif known is None or known.settings != settings:
            endpoint.breaker, endpoint.prober = CircuitBreaker(settings, self._rng), None

    def _is_of_interest(self, endpoint: EndpointRuntime) -> bool:
        """Whether the next answer of `endpoint` says something even when it is a success."""
        breaker = endpoint.breaker
        is_open = breaker is not None and breaker.is_open
        return self._watches_all or is_open or bool(endpoint.health.failures)

    # --- attempts ---

    def on_begun(self, endpoint: EndpointRuntime, attempt: object) -> None:
        """`attempt` goes to an endpoint that is watched: it may be the probe of a breaker."""
        breaker = endpoint.breaker
        if breaker is not None and breaker.try_acquire(self._clock.monotonic()) is Admission.PROBE:
            endpoint.prober = attempt
            self._rotate()

    def on_answer(
        self,
        endpoint: EndpointRuntime,
        head: ResponseHead,
        status: int,
        took: float,
        attempt: object = None,
    ) -> None:
        """`endpoint` answered `attempt` after `took` seconds; `status` is what that counts as."""
        if endpoint.check is not None and any(name == IMMEDIATE_FAIL for name, _ in head.headers):
            self.on_going(endpoint)
        if status >= 500:
            is_gateway = status in GATEWAY_ERRORS
            kind = FailureKind.GATEWAY if is_gateway else FailureKind.SERVER_ERROR
            self.on_failed(endpoint, kind, attempt, head.headers)
            return
        if endpoint.latency is not None:
            if status == _TOO_MANY_REQUESTS:
                self._penalize(endpoint, head.headers)
            else:
                endpoint.latency.observe(took, self._clock.monotonic())
        self.on_success(endpoint, attempt)

    def on_success(self, endpoint: EndpointRuntime, attempt: object = None) -> None:
        """It did what it should; over TCP, it took a connection."""
        endpoint.health.failures = 0
        endpoint.health.successes += 1
        breaker = endpoint.breaker
        if breaker is not None:
            admission = self._admission(endpoint, attempt)
            breaker.on_success(admission)
            if admission is Admission.PROBE:
                _log.info("%s: %s serves again: circuit closed", self._cluster.name, endpoint.place)
                self._rotate()
        endpoint.is_watched = self._is_of_interest(endpoint)

    def on_failed(
        self,
        endpoint: EndpointRuntime,
        kind: FailureKind,
        attempt: object = None,
        headers: Headers = (),
    ) -> None:
        """It answered 500 or above with `headers`, or not at all."""
        if endpoint.is_removed:
            return
        if endpoint.latency is not None:
            self._penalize(endpoint, headers)
        has_opened = endpoint.breaker is not None and self._fail_breaker(endpoint, endpoint.breaker, attempt)
        has_left = self._outlier is not None and self._fail_outlier(endpoint, self._outlier, kind)
        if has_opened or has_left:
            self._rotate()

    def _fail_outlier(self, endpoint: EndpointRuntime, outlier: OutlierDetector, kind: FailureKind) -> bool:
        """True: it was ejected."""
        endpoint.is_watched = True  # until a success
        event = outlier.on_failure(endpoint.health, self._clock.monotonic(), kind)
        if event is not None:
            self._tell(event)
        if event is not OutlierEvent.EJECTED:
            return False
        length = outlier.ejection_time(endpoint.health)
        _log.info(
            "%s: %s failed too often in a row: ejected for %g s", self._cluster.name, endpoint.place, length
        )
        return True

    def _fail_breaker(self, endpoint: EndpointRuntime, breaker: CircuitBreaker, attempt: object) -> bool:
        """True: it has opened, or opened again."""
        endpoint.is_watched = True
        now = self._clock.monotonic()
        if not breaker.on_failure(self._admission(endpoint, attempt), now):
            return False
        self._on_opened()
        length = breaker.retry_after(now)
        _log.info("%s: %s fails: circuit open for %g s", self._cluster.name, endpoint.place, length)
        return True

    def on_over(self, endpoint: EndpointRuntime, attempt: object = None) -> None:
        """`attempt` ended without saying anything of `endpoint`."""
        if endpoint.breaker is not None and endpoint.prober is not None and endpoint.prober is attempt:
            endpoint.breaker.on_abandoned(self._admission(endpoint, attempt))
            self._rotate()

    def _admission(self, endpoint: EndpointRuntime, attempt: object) -> Admission:
        """What `attempt` was let through as; the probe is over with this."""
        if attempt is None or endpoint.prober is not attempt:
            return Admission.PASS
        endpoint.prober = None
        return Admission.PROBE

    def _penalize(self, endpoint: EndpointRuntime, headers: Headers) -> None:
        assert endpoint.latency is not None
        hold = retry_after(headers, self._clock.wall()) or 0.0
        penalty = self._cluster.load_balancing.failure_penalty
        endpoint.latency.penalize(penalty, self._clock.monotonic(), hold)

    # --- active health checks ---

    def on_going(self, endpoint: EndpointRuntime) -> None:
        """A response of `endpoint` said that it is going."""
        assert endpoint.check is not None
        if endpoint.check.fail_immediately() is HealthTransition.CHANGED:
            _log.info("%s: %s says that it is going", self._cluster.name, endpoint.place)
            self._rotate()

    def on_check(self, endpoint: EndpointRuntime, result: CheckResult) -> None:
        """A check of `endpoint` ended."""
        check = endpoint.check
        assert check is not None
        was_fit = endpoint.fitness
        if check.on_result(result) is HealthTransition.CHANGED and check.is_healthy:
            endpoint.added_at = self._clock.monotonic()
        outlier = self._outlier if check.is_healthy else None
        if outlier is not None and outlier.on_health_check_passed(endpoint.health):
            self._tell(OutlierEvent.RETURNED)
        if endpoint.fitness is not was_fit:
            _log.info(
                "%s: %s is %s (%s)", self._cluster.name, endpoint.place, endpoint.fitness.value, result.value
            )
            self._rotate()

    # --- time ---

    def sweep(self, now: float) -> None:
        """Take endpoints back whose ejection is over, eject those whose rates are out of line."""
        outlier = self._outlier
        if outlier is None:
            return
        events = [OutlierEvent.RETURNED] if outlier.sweep(now) else []
        events += outlier.judge_rates(now)
        for event in events:
            self._tell(event)
        if events:
            self._rotate()


def next_probe_at(endpoints: Iterable[EndpointRuntime], now: float) -> float:
    """When a breaker that is open may let a probe pass; infinity when none waits for that."""
    waiting = (one.breaker for one in endpoints if one.prober is None and one.is_barred(now))
    return min((now + breaker.retry_after(now) for breaker in waiting if breaker is not None), default=inf)
