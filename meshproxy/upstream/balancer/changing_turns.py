"""Turns in proportion to a weight that changes (pure): round robin in slow start, least request with weights.

Envoy's earliest-deadline scheduler: who is served is due again 1 / weight later, with the weight it has at
that moment. Turns therefore follow a change after one round.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from heapq import heapify, heapreplace
from random import Random
from typing import Generic

from meshproxy.upstream.balancer.api import H, PickContext

_LEAST_WEIGHT = 1e-9
"""A weight of nearly nothing is a turn in a very long time, not a division by zero."""


class ChangingTurns(Generic[H]):
    """`weigh(host, now)` is asked whenever a host has had its turn."""

    __slots__ = ("_heap", "_hosts", "_weigh")

    def __init__(
        self, hosts: Sequence[H], rng: Random, weigh: Callable[[H, float], float], now: float
    ) -> None:
        self._weigh = weigh
        self._hosts = tuple(host for host in hosts if host.endpoint.weight)
        self._heap = [
            (rng.random() / max(weigh(host, now), _LEAST_WEIGHT), index)
            for index, host in enumerate(self._hosts)
        ]
        heapify(self._heap)

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`. O(log n); O(n) when the endpoint whose turn it is is excluded (a retry)."""
        heap = self._heap
        if not heap:
            return None
        due, index = heap[0]
        if exclude and id(self._hosts[index]) in exclude:
            others = [entry for entry in heap if id(self._hosts[entry[1]]) not in exclude]
            if others:
                due, index = min(others)
        host = self._hosts[index]
        following = (due + 1.0 / max(self._weigh(host, now), _LEAST_WEIGHT), index)
        if heap[0][1] == index:
            heapreplace(heap, following)
        else:
            heap[heap.index((due, index))] = following
            heapify(heap)
        return host
