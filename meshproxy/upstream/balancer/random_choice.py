"""Random by weight (pure): no state that proxies could share by accident. Also draws for other balancers.

Envoy's RANDOM disregards weights; here they hold, as everywhere else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate
from random import Random
from typing import Generic

from meshproxy.upstream.balancer.api import H, PickContext, untried


class RandomChoice(Generic[H]):
    """Each draw is independent."""

    __slots__ = ("_bounds", "_random", "hosts")

    def __init__(self, hosts: Sequence[H], rng: Random) -> None:
        self.hosts: tuple[H, ...] = tuple(host for host in hosts if host.endpoint.weight)
        self._random = rng.random
        weights = [host.endpoint.weight for host in self.hosts]
        self._bounds = list(accumulate(weights)) if len(set(weights)) > 1 else None
        """Upper ends of each host's stretch; None with equal weights."""

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`."""
        if not self.hosts:
            return None
        if exclude:
            return self._pick_untried(exclude)
        return self.hosts[self.draw()]

    def draw(self) -> int:
        """Index of one of `hosts`, which must not be empty."""
        if self._bounds is None:
            return int(self._random() * len(self.hosts))
        return bisect_right(self._bounds, self._random() * self._bounds[-1])

    def _pick_untried(self, exclude: Collection[int]) -> H:
        hosts = untried(self.hosts, exclude)
        bounds = list(accumulate(host.endpoint.weight for host in hosts))
        return hosts[bisect_right(bounds, self._random() * bounds[-1])]
