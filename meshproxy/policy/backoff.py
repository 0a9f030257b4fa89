"""Exponential backoff with full jitter (pure).

The wait before retry n (from 1) is drawn evenly from [0, min(cap, base * (2^n - 1))), which is Envoy's
`RetryBackOff`: peers that failed together do not come back together. There is no state: who counts attempts
decides when to start again from 1. Mirrors `envoy.config.route.v3.RetryPolicy.RetryBackOff`.
"""

from dataclasses import dataclass
from math import isfinite
from random import Random

from meshproxy.errors import ConfigError

_MAX_EXPONENT = 62
"""Above it 2^n no longer matters beside any cap, and a float product could overflow."""


@dataclass(frozen=True, slots=True)
class BackoffSettings:
    """Refused: a base that is not positive, a cap below the base, anything not finite."""

    base: float = 0.025
    """Seconds; Envoy's default 25 ms."""
    cap: float = 0.25
    """Seconds the upper end of the draw never exceeds; Envoy's default is ten times the base."""

    def __post_init__(self) -> None:
        if not (isfinite(self.base) and self.base > 0):
            raise ConfigError(f"backoff base {self.base} s: must be a positive number of seconds")
        if not (isfinite(self.cap) and self.cap >= self.base):
            raise ConfigError(
                f"backoff cap {self.cap} s: must be finite and at least the base, {self.base} s"
            )

    def ceiling(self, attempt: int) -> float:
        """Seconds that the wait before retry `attempt` (1 is the first) stays below."""
        if attempt < 1:
            raise ValueError(f"backoff attempt {attempt}: attempts count from 1")
        return min(self.cap, self.base * ((1 << min(attempt, _MAX_EXPONENT)) - 1))

    def delay(self, attempt: int, rng: Random) -> float:
        """Seconds to wait before retry `attempt` (1 is the first)."""
        return self.ceiling(attempt) * rng.random()
