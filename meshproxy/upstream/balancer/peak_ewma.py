"""Peak EWMA (pure): of two endpoints drawn by weight, the one with less latency times requests under way.

The latency is each endpoint's `LatencyEstimate`, to which the exchange reports every attempt; a failure
counts as a long one, so that an endpoint that fails fast does not attract traffic. Drawing by weight keeps
weights in force where latencies are alike.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random
from typing import Generic

from meshproxy.config.load_balancing import LoadBalancing
from meshproxy.policy.latency import LatencyEstimate
from meshproxy.upstream.balancer import slow_start
from meshproxy.upstream.balancer.api import H, PickContext
from meshproxy.upstream.balancer.random_choice import RandomChoice

_ATTEMPTS = 4
"""Draws to find a second endpoint; with very different weights the heavy one may come every time."""


class PeakEwma(Generic[H]):
    """Gives every endpoint that has none an estimate."""

    __slots__ = ("_choice", "_grown_at", "_slow_start")

    def __init__(self, hosts: Sequence[H], rng: Random, settings: LoadBalancing, now: float) -> None:
        self._choice = RandomChoice(hosts, rng)
        self._slow_start = settings.slow_start
        self._grown_at = slow_start.ends_at(settings.slow_start, hosts) if settings.slow_start else 0.0
        for host in self._choice.hosts:
            if host.latency is None:
                host.latency = LatencyEstimate(settings.latency_decay, settings.default_latency, now)
            host.latency.decay = settings.latency_decay

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`."""
        if exclude:
            return self._pick_untried(exclude, now)
        choice = self._choice
        hosts = choice.hosts
        if len(hosts) < 2:
            return hosts[0] if hosts else None
        index = choice.draw()
        first = hosts[index]
        for _ in range(_ATTEMPTS):
            second = hosts[choice.draw()]
            if second is not first:
                break
        else:
            second = hosts[index - 1]
        return second if self.cost(second, now) < self.cost(first, now) else first

    def cost(self, host: H, now: float) -> float:
        """Seconds a request would take there, by guess: its latency, for each request before and for it."""
        latency = host.latency
        assert latency is not None
        cost = latency.seconds(now) * (host.active_requests + 1)
        if now < self._grown_at:
            assert self._slow_start is not None
            cost /= slow_start.factor(self._slow_start, host, now)
        return cost

    def _pick_untried(self, exclude: Collection[int], now: float) -> H | None:
        """A retry takes the best of the untried: it has waited enough."""
        hosts = self._choice.hosts
        others = [host for host in hosts if id(host) not in exclude] or hosts
        return min(others, key=lambda host: self.cost(host, now), default=None)
