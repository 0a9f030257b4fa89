"""Balancing in steps (pure): first a group of endpoints (a priority, a locality), then one of the group's."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from heapq import heapify, heapreplace
from itertools import accumulate
from random import Random
from typing import Generic

from meshproxy.upstream.balancer.api import Balancer, H, PickContext

SLOTS = 100
"""Priorities share requests by the percent."""


def pick_anywhere(
    first: Balancer[H],
    groups: Sequence[Balancer[H]],
    context: PickContext | None,
    exclude: Collection[int],
    now: float,
) -> H | None:
    """From `first`; from another group where that has none, or (a retry) none that was not tried."""
    host = first.pick(context, exclude, now)
    if host is not None and not (exclude and id(host) in exclude):
        return host
    for group in groups:
        other = group.pick(context, exclude, now)
        if other is not None and id(other) not in exclude:
            return other
    return host


class ByPercent(Generic[H]):
    """Groups with whole percentages: of requests without a hash at random, the others by their hash."""

    __slots__ = ("_getrandbits", "_groups", "_slots")

    def __init__(self, shares: Sequence[tuple[int, Balancer[H]]], rng: Random) -> None:
        """`shares` add up to 100 %."""
        self._getrandbits = rng.getrandbits
        self._slots = [group for share, group in shares for _ in range(share)]
        self._groups = [group for _, group in shares]

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`."""
        number = context.hash if context is not None else None
        slot = (self._getrandbits(32) if number is None else number) % SLOTS
        return pick_anywhere(self._slots[slot], self._groups, context, exclude, now)


class ByTurns(Generic[H]):
    """Groups in turns by weight, as Envoy's locality weighted balancing takes them (earliest deadline)."""

    __slots__ = ("_groups", "_heap", "_weights")

    def __init__(self, shares: Sequence[tuple[float, Balancer[H]]], rng: Random) -> None:
        self._weights = [weight for weight, _ in shares]
        self._groups = [group for _, group in shares]
        self._heap = [
            (rng.random() / weight, index) for index, weight in enumerate(self._weights) if weight > 0
        ]
        heapify(self._heap)

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`."""
        if not self._heap:
            return None
        due, index = self._heap[0]
        heapreplace(self._heap, (due + 1.0 / self._weights[index], index))
        return pick_anywhere(self._groups[index], self._groups, context, exclude, now)


class ByChance(Generic[H]):
    """Groups at random by weight: how zone aware routing spreads."""

    __slots__ = ("_bounds", "_groups", "_random")

    def __init__(self, shares: Sequence[tuple[float, Balancer[H]]], rng: Random) -> None:
        """At least one weight is above 0."""
        self._bounds = list(accumulate(weight for weight, _ in shares))
        self._groups = [group for _, group in shares]
        self._random = rng.random

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`."""
        index = bisect_right(self._bounds, self._random() * self._bounds[-1])
        first = self._groups[min(index, len(self._groups) - 1)]  # a product may round up to the last bound
        return pick_anywhere(first, self._groups, context, exclude, now)
