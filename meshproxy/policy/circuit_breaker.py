"""A circuit breaker (pure): after failures in a row nothing is sent for a while, then one request as a probe.

CLOSED passes everything; `failure_threshold` failures in a row, without a success between them, open it.
OPEN rejects everything until its time is over. HALF_OPEN lets exactly one request pass: its success closes
the breaker and forgets the past, its failure opens it for twice as long, up to `max_open`. Opening times are
jittered upwards, so that proxies that lost the same upstream do not probe it together. Failures in a row
need no volume, as with outlier detection; a cold breaker is closed.

It differs from outlier detection in what it is for: that one takes single endpoints out of many, this one
spares an upstream of which nothing is left to choose. Mirrors Linkerd's consecutive-failures breaker; Envoy
has none. A gRPC status of UNAVAILABLE, RESOURCE_EXHAUSTED or INTERNAL is a failure when the exchange says so.
"""

from __future__ import annotations

from enum import Enum
from random import Random

from meshproxy.config.resilience import CircuitBreakerSettings

_MOST_DOUBLINGS = 62


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """The next request is the probe, or the probe is under way."""


class Admission(Enum):
    """What `try_acquire` says; the exchange hands it back with its result."""

    PASS = "pass"  # noqa: S105 (no secret)
    PROBE = "probe"
    REJECT = "reject"


class CircuitBreaker:
    """One cluster's or one endpoint's."""

    __slots__ = ("_failures", "_has_probe", "_open_until", "_openings", "_rng", "settings")

    def __init__(self, settings: CircuitBreakerSettings, rng: Random) -> None:
        self.settings = settings
        self._rng = rng
        self._failures = 0
        self._openings = 0
        """In a row; 0: closed."""
        self._open_until = 0.0
        self._has_probe = False

    @property
    def is_open(self) -> bool:
        """Open or half-open: the next answer matters."""
        return bool(self._openings)

    def state(self, now: float) -> BreakerState:
        if not self._openings:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def retry_after(self, now: float) -> float:
        """Seconds until a probe may pass; 0 when it may now or one is under way."""
        return max(0.0, self._open_until - now) if self._openings else 0.0

    def try_acquire(self, now: float) -> Admission:
        """Ask before an attempt; every PASS and PROBE is followed by exactly one result below."""
        if not self._openings:
            return Admission.PASS
        if now < self._open_until or self._has_probe:
            return Admission.REJECT
        self._has_probe = True
        return Admission.PROBE

    def on_success(self, admission: Admission) -> None:
        """The attempt was answered well. One that began before the breaker opened says nothing new."""
        if admission is Admission.PROBE:
            self._has_probe = False
            self._openings = 0
        if not self._openings:
            self._failures = 0

    def on_failure(self, admission: Admission, now: float) -> bool:
        """The attempt failed; True: the breaker has opened with it."""
        if admission is Admission.PROBE:
            self._has_probe = False
        elif self._openings:
            return False  # it began before the breaker opened
        else:
            self._failures += 1
            if self._failures < self.settings.failure_threshold:
                return False
        self._open(now)
        return True

    def on_abandoned(self, admission: Admission) -> None:
        """The attempt said nothing of the upstream (the client left): a probe is due again."""
        if admission is Admission.PROBE:
            self._has_probe = False

    def _open(self, now: float) -> None:
        settings = self.settings
        length = settings.base_open * (1 << min(self._openings, _MOST_DOUBLINGS))
        # Jitter stays below the maximum: at it, too, proxies must not probe together.
        length = max(settings.base_open, min(length, settings.max_open / (1.0 + settings.jitter)))
        length *= 1.0 + settings.jitter * self._rng.random()
        self._failures = 0
        self._openings += 1
        self._open_until = now + min(length, settings.max_open)
