"""How long one endpoint takes, with failures as long times (pure): what peak EWMA balances on.

An exponentially weighted moving average that jumps to a peak at once and forgets it over the decay time, as
in Finagle and Linkerd: a slow endpoint is noticed with its first slow answer, and has to be fast for a while
to be believed again. Untold, it fades towards 0, so that a shunned endpoint is tried now and then.

A failure counts as an answer that took at least the penalty: an endpoint that fails in a millisecond would
otherwise look like the best one of all and attract every request. While the peer has asked not to be
disturbed (`Retry-After`), its penalty does not fade.

Cold start: the default latency. gRPC failures count when the exchange says that they are failures.
"""

from __future__ import annotations

from math import exp

MAX_HOLD = 300.0
"""Seconds of `Retry-After` heeded at most; Linkerd's bound."""


class LatencyEstimate:
    """Of one endpoint. Lives as long as the endpoint, across configurations."""

    __slots__ = ("_at", "_seconds", "decay", "held_until")

    def __init__(self, decay: float, initial: float, now: float) -> None:
        self.decay = decay
        """Seconds after which what was counts 1/e."""
        self._seconds = initial
        self._at = now
        self.held_until = 0.0
        """No fading before."""

    def seconds(self, now: float) -> float:
        """The estimate at `now`, in seconds."""
        since = self._at if self._at > self.held_until else self.held_until
        return self._seconds * exp((since - now) / self.decay) if now > since else self._seconds

    def observe(self, latency: float, now: float) -> None:
        """An attempt was answered after `latency` seconds: time to its response head."""
        current = self.seconds(now)
        if latency >= current:
            self._seconds = latency
        elif now > self.held_until:
            weight = exp((self._at - now) / self.decay) if now > self._at else 1.0
            self._seconds = self._seconds * weight + latency * (1.0 - weight)
        else:
            return
        self._at = now

    def penalize(self, penalty: float, now: float, hold: float = 0.0) -> None:
        """An attempt failed: an answer after `penalty` seconds, that stands for `hold` seconds unfaded."""
        self.observe(penalty, now)
        if hold > 0:
            self.held_until = max(self.held_until, now + min(hold, MAX_HOLD))
