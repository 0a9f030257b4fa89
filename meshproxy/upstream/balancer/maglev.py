"""Maglev (pure): a table of prime size in which each endpoint has its share; a key's place is its remainder.

Mirrors Envoy's MAGLEV, place for place: endpoints in the order of their keys fill the table in turns, each
along its own permutation, the lighter ones less often. Evener shares than a ring and one look-up; in
exchange a little more than the keys of an endpoint that leaves move.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from random import Random
from typing import Generic

from meshproxy.config.load_balancing import LoadBalancing
from meshproxy.upstream.balancer.api import H, PickContext, key_of
from meshproxy.upstream.balancer.consistent_hash import load_digest, number_for


class Maglev(Generic[H]):
    """The table holds positions in `_hosts`."""

    __slots__ = ("_getrandbits", "_hosts", "_table")

    def __init__(
        self, hosts: Sequence[H], weights: Sequence[float], rng: Random, settings: LoadBalancing
    ) -> None:
        self._getrandbits = rng.getrandbits
        entries = sorted(
            ((key_of(host.endpoint), index) for index, host in enumerate(hosts) if weights[index] > 0)
        )
        self._hosts = [hosts[index] for _, index in entries]
        keys = [key.encode() for key, _ in entries]
        self._table = fill(keys, [weights[index] for _, index in entries], settings.table_size)

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`. O(1). A retry goes to the next in the table that was not tried."""
        hosts = self._hosts
        if not hosts:
            return None
        number = number_for(context.hash if context is not None else None, self._getrandbits)
        place = number % len(self._table)
        host = hosts[self._table[place]]
        if exclude and id(host) in exclude:
            return self._next_untried(place, exclude) or host
        return host

    def _next_untried(self, place: int, exclude: Collection[int]) -> H | None:
        left = {index for index, host in enumerate(self._hosts) if id(host) not in exclude}
        table = self._table
        for step in range(len(table) if left else 0):
            index = table[(place + step) % len(table)]
            if index in left:
                return self._hosts[index]
        return None


def fill(keys: Sequence[bytes], weights: Sequence[float], size: int) -> array[int]:
    """The table: `size` positions in `keys`; empty without keys."""
    if not keys:
        return array("l")
    if len(keys) == 1:
        return array("l", bytes(array("l").itemsize * size))
    digest = load_digest()
    places = [digest(key) % size for key in keys]
    steps = [digest(key, 1) % (size - 1) + 1 for key in keys]
    heaviest = max(weights)
    due = [0.0] * len(keys)
    table = array("l", [-1]) * size
    left, turn = size, 0
    while True:
        turn += 1
        for index, weight in enumerate(weights):
            if turn * weight < due[index]:
                continue
            due[index] += heaviest
            place, step = places[index], steps[index]
            while table[place] >= 0:
                place += step
                if place >= size:
                    place -= size
            table[place] = index
            place += step
            places[index] = place if place < size else place - size
            left -= 1
            if not left:
                return table
