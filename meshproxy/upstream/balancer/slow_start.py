"""Slow start (pure): what a new endpoint's weight counts, and when nobody is new any more.

Mirrors Envoy's `SlowStartConfig`: weight x max(least, (age / window) ** (1 / aggression)).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import pow
from typing import Generic

from meshproxy.config.load_balancing import SlowStart
from meshproxy.upstream.balancer.api import Balancer, H, Host, PickContext

_YOUNGEST = 0.001
"""Seconds: an endpoint that came this moment counts as this old; Envoy's value."""


def factor(settings: SlowStart, host: Host, now: float) -> float:
    """From above 0 to 1: by how much `host`'s weight is to be multiplied."""
    share = max(now - host.added_at, _YOUNGEST) / settings.window
    if share >= 1.0:
        return 1.0
    return max(pow(share, 1.0 / settings.aggression), settings.min_weight_percent / 100.0)


def ends_at(settings: SlowStart, hosts: Sequence[Host]) -> float:
    """When the last of `hosts` will have its whole weight."""
    return max((host.added_at for host in hosts), default=0.0) + settings.window


class UntilGrown(Generic[H]):
    """One balancer while somebody is new, another, which need not look at ages, from then on."""

    __slots__ = ("_after", "_before", "_until")

    def __init__(self, before: Balancer[H], after: Balancer[H], until: float) -> None:
        self._before, self._after, self._until = before, after, until

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`."""
        return (self._before if now < self._until else self._after).pick(context, exclude, now)
