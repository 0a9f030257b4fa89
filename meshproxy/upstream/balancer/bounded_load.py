"""Consistent hashing with bounded loads (pure): a key whose endpoint is too busy goes to another one.

Mirrors Envoy's `hash_balance_factor`: an endpoint may have the given percentage of its part of all requests
under way. Where a key overflows to, the same each time, is a shuffle drawn from its hash, so that not all
of it falls onto the neighbour (the order is not Envoy's, which uses another generator).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil
from random import Random
from typing import Generic

from meshproxy.upstream.balancer.api import Balancer, H, PickContext
from meshproxy.upstream.balancer.consistent_hash import number_for


class BoundedLoad(Generic[H]):
    """Around a ring or a table."""

    __slots__ = ("_balancer", "_getrandbits", "_hosts", "_percent", "_shares")

    def __init__(
        self, balancer: Balancer[H], hosts: Sequence[H], weights: Sequence[float], rng: Random, percent: int
    ) -> None:
        self._balancer = balancer
        self._getrandbits = rng.getrandbits
        self._percent = percent
        total = sum(weights) or 1
        self._hosts = [host for host, weight in zip(hosts, weights, strict=True) if weight > 0]
        self._shares = {
            id(host): weight / total for host, weight in zip(hosts, weights, strict=True) if weight > 0
        }

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`. O(n): the load of all is summed."""
        context = PickContext(number_for(context.hash if context else None, self._getrandbits))
        host = self._balancer.pick(context, exclude, now)
        if host is None:
            return None
        slots = (sum(one.active_requests for one in self._hosts) + 1) * self._percent / 100
        if self._load(host, slots) <= 1.0:
            return host
        return self._least_loaded(host, context.hash, exclude, slots)

    def _load(self, host: H, slots: float) -> float:
        """Above 1: it has, with one request more, more than its bound."""
        return (host.active_requests + 1) / max(ceil(slots * self._shares[id(host)]), 1)

    def _least_loaded(self, host: H, seed: int | None, exclude: Collection[int], slots: float) -> H:
        """The first of the key's order that has room, else the one nearest to its bound."""
        order = [one for one in self._hosts if id(one) not in exclude] or self._hosts
        best, least = host, self._load(host, slots)
        for other in Random(seed).sample(order, len(order)):
            load = self._load(other, slots)
            if load <= 1.0:
                return other
            if load < least:
                best, least = other, load
        return best
