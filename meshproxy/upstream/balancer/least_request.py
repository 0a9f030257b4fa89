"""Least request (pure), Envoy's LEAST_REQUEST: the less busy of a few endpoints drawn at random.

Two drawn at random are nearly as good as looking at all, cost O(1), and do not send every proxy to the one
that was idle a moment ago. That takes equal weights; different ones use `ChangingTurns` with weight /
(active + 1) ** bias, as Envoy does (see `assembly.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random
from typing import Generic

from meshproxy.upstream.balancer.api import H, Host, PickContext, untried


def weight_when_busy(host: Host, bias: float) -> float:
    """What the weight of `host` counts with the requests it has under way."""
    weight = host.endpoint.weight
    if bias == 1.0:
        return weight / (host.active_requests + 1)
    return float(weight * (host.active_requests + 1) ** -bias)


class LeastRequest(Generic[H]):
    """Equal weights."""

    __slots__ = ("_choices", "_random", "_usable")

    def __init__(self, hosts: Sequence[H], rng: Random, choice_count: int = 2) -> None:
        self._usable: Sequence[H] = tuple(host for host in hosts if host.endpoint.weight)
        self._random = rng.random
        self._choices = choice_count

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`. Drawn with replacement, as Envoy does; the first of equals stays."""
        hosts = untried(self._usable, exclude) if exclude else self._usable
        count = len(hosts)
        if not count:
            return None
        random = self._random
        best = hosts[int(random() * count)]
        for _ in range(self._choices - 1):
            other = hosts[int(random() * count)]
            if other.active_requests < best.active_requests:
                best = other
        return best
