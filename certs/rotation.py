"""When to renew a certificate (pure).

At half of the life that is left, so that a control plane may be away for the other half without harm (Istio's
`SECRET_GRACE_PERIOD_RATIO` 0.5). Life is counted from now rather than from notBefore, which lies in the past
by the tolerated clock skew: with a life of 10 s and a skew of 20 s half of notBefore..notAfter would already
be over. The jitter spreads sidecars that started together.
"""

from random import Random
from typing import Final

RENEW_FRACTION: Final = 0.5
JITTER_FRACTION: Final = 0.05
"""Half width of the window around `RENEW_FRACTION`, as a part of the remaining life: 0.45 to 0.55 of it."""
LONGEST_SLEEP: Final = 30.0
"""Seconds to sleep at a time: the wall clock may jump (suspend, NTP) while a sleep counts monotonic time."""


def renew_at(now: float, not_after: float, rng: Random) -> float:
    """When to renew a certificate that ends at `not_after`, on the scale of `now`; `now` when it is over."""
    remaining = max(0.0, not_after - now)
    return now + remaining * rng.uniform(RENEW_FRACTION - JITTER_FRACTION, RENEW_FRACTION + JITTER_FRACTION)
