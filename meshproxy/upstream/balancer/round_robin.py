"""Weighted round robin (pure), Envoy's ROUND_ROBIN: in every stretch each endpoint gets its share, evenly
spread.

Equal weights, the common case, are a position in a cycle. Different weights use an earliest-deadline
schedule as Envoy does: turn k of an endpoint is due at (phase + k) / weight and the earliest is next, O(log
n). Phases (or the first position) are random, so that many proxies starting together do not all begin with
the same endpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from heapq import heapify, heapreplace
from random import Random
from typing import Generic

from meshproxy.upstream.balancer.api import Balancer, H, PickContext


def round_robin(hosts: Sequence[H], rng: Random) -> Balancer[H]:
    """Equal or weighted turns, whichever suits the weights."""
    weights = {host.endpoint.weight for host in hosts if host.endpoint.weight}
    return EqualTurns(hosts, rng) if len(weights) <= 1 else WeightedTurns(hosts, rng)


class EqualTurns(Generic[H]):
    """Every endpoint with a weight in turn, whatever it is."""

    __slots__ = ("_position", "_usable")

    def __init__(self, hosts: Sequence[H], rng: Random) -> None:
        self._usable = tuple(host for host in hosts if host.endpoint.weight)
        self._position = rng.randrange(len(self._usable)) if self._usable else 0

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`. One step of the cycle; with `exclude`, as many as there are excluded in a
        row.
        """
        usable = self._usable
        count = len(usable)
        if not count:
            return None
        start = position = self._position
        if exclude:
            for step in range(count):
                if id(usable[(start + step) % count]) not in exclude:
                    position = (start + step) % count
                    break
        self._position = position + 1 if position + 1 < count else 0
        return usable[position]


class WeightedTurns(Generic[H]):
    """Turns in proportion to weight. Counts are integers, so that shares do not drift over a long life."""

    __slots__ = ("_heap", "_hosts", "_phases", "_turns", "_weights")

    def __init__(self, hosts: Sequence[H], rng: Random) -> None:
        self._hosts = tuple(hosts)
        self._weights = tuple(host.endpoint.weight for host in hosts)
        self._phases = tuple(rng.random() for _ in hosts)
        self._turns = [0] * len(self._hosts)
        self._heap: list[tuple[float, int]] = [
            (self._due(index), index) for index, weight in enumerate(self._weights) if weight
        ]
        heapify(self._heap)

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`. O(log n); O(n) when the endpoint whose turn it is is excluded (a retry)."""
        if not self._heap:
            return None
        index = self._heap[0][1]
        if exclude and id(self._hosts[index]) in exclude:
            return self._pick_untried(exclude)
        return self._take_first()

    def _pick_untried(self, exclude: Collection[int]) -> H:
        """The earliest one not excluded, else the earliest of all; the others keep their turn."""
        others = [entry for entry in self._heap if id(self._hosts[entry[1]]) not in exclude]
        if not others:
            return self._take_first()
        entry = min(others)
        index = entry[1]
        self._turns[index] += 1
        self._heap[self._heap.index(entry)] = (self._due(index), index)
        heapify(self._heap)
        return self._hosts[index]

    def _take_first(self) -> H:
        index = self._heap[0][1]
        self._turns[index] += 1
        heapreplace(self._heap, (self._due(index), index))
        return self._hosts[index]

    def _due(self, index: int) -> float:
        return (self._phases[index] + self._turns[index]) / self._weights[index]
