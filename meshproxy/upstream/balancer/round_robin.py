"""Weighted round robin (pure), Envoy's ROUND_ROBIN: in every stretch each endpoint gets its share, evenly
spread.

Equal weights, the common case, are a position in a cycle. Different weights use an earliest-deadline
schedule as Envoy does: turn k of an endpoint is due at (phase + k) / weight and the earliest is next, O(log
n). Phases (or the first position) are random, so that many proxies starting together do not all begin with
the same endpoint.
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import heapify, heapreplace
from random import Random

from meshproxy.config.model import Endpoint
from meshproxy.upstream.balancer.api import Balancer


class RoundRobin:
    """The balancer: equal or weighted turns, whichever suits the usable endpoints' weights."""

    __slots__ = ("_turns",)

    def __init__(self, endpoints: tuple[Endpoint, ...], rng: Random) -> None:
        weights = {endpoint.weight for endpoint in endpoints if _is_usable(endpoint)}
        self._turns: Balancer = (EqualTurns if len(weights) <= 1 else WeightedTurns)(endpoints, rng)

    def pick(self, exclude: Collection[int] = ()) -> int | None:
        """See `Balancer.pick`."""
        return self._turns.pick(exclude)


def _is_usable(endpoint: Endpoint) -> bool:
    return endpoint.healthy and endpoint.weight > 0


class EqualTurns:
    """Every usable endpoint in turn, whatever its weight."""

    __slots__ = ("_position", "_usable")

    def __init__(self, endpoints: tuple[Endpoint, ...], rng: Random) -> None:
        self._usable = tuple(index for index, endpoint in enumerate(endpoints) if _is_usable(endpoint))
        self._position = rng.randrange(len(self._usable)) if self._usable else 0

    def pick(self, exclude: Collection[int] = ()) -> int | None:
        """See `Balancer.pick`. One step of the cycle; with `exclude`, as many as there are excluded in a
        row.
        """
        count = len(self._usable)
        if not count:
            return None
        start = position = self._position
        if exclude:
            for step in range(count):
                if self._usable[(start + step) % count] not in exclude:
                    position = (start + step) % count
                    break
        self._position = position + 1 if position + 1 < count else 0
        return self._usable[position]


class WeightedTurns:
    """Turns in proportion to weight. Counts are integers, so that shares do not drift over a long life."""

    __slots__ = ("_heap", "_phases", "_turns", "_weights")

    def __init__(self, endpoints: tuple[Endpoint, ...], rng: Random) -> None:
        self._weights = tuple(endpoint.weight for endpoint in endpoints)
        self._phases = tuple(rng.random() for _ in endpoints)
        self._turns = [0] * len(endpoints)
        self._heap: list[tuple[float, int]] = [
            (self._due(index), index) for index, endpoint in enumerate(endpoints) if _is_usable(endpoint)
        ]
        heapify(self._heap)

    def pick(self, exclude: Collection[int] = ()) -> int | None:
        """See `Balancer.pick`. O(log n); O(n) when the endpoint whose turn it is is excluded (a retry)."""
        if not self._heap:
            return None
        index = self._heap[0][1]
        if exclude and index in exclude:
            return self._pick_untried(exclude)
        return self._take_first()

    def _pick_untried(self, exclude: Collection[int]) -> int:
        """The earliest one not excluded, else the earliest of all; the others keep their turn."""
        untried = [entry for entry in self._heap if entry[1] not in exclude]
        if not untried:
            return self._take_first()
        entry = min(untried)
        index = entry[1]
        self._turns[index] += 1
        self._heap[self._heap.index(entry)] = (self._due(index), index)
        heapify(self._heap)
        return index

    def _take_first(self) -> int:
        index = self._heap[0][1]
        self._turns[index] += 1
        heapreplace(self._heap, (self._due(index), index))
        return index

    def _due(self, index: int) -> float:
        return (self._phases[index] + self._turns[index]) / self._weights[index]
