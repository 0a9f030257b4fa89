"""Ring hash (pure): endpoints are points on a ring; a key belongs to whose point comes next.

Mirrors Envoy's RING_HASH: point i of an endpoint is xxHash64 of `address:port_i`, a key belongs to the first
point at or after its hash. One difference: how many points an endpoint has does not depend on how many
endpoints there are. Envoy spreads `min_ring_size` over all of them, so each that leaves gives the others
more points, and keys move among those that stay. Here the lightest has half of `min_ring_size` (the ring is
as large as asked from two endpoints on), and only the keys of one that leaves move. Above `_CALM_SIZE`
points, or `max_ring_size`, everybody's number is halved until the ring fits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from random import Random
from typing import Generic

from meshproxy.config.load_balancing import LoadBalancing
from meshproxy.upstream.balancer.api import H, PickContext, key_of
from meshproxy.upstream.balancer.consistent_hash import load_digest, number_for

_CALM_SIZE = 65536
"""Points: building more would hold the loop up for long. A larger `min_ring_size` is obeyed."""


class RingHash(Generic[H]):
    """The ring: points in order, and whose each is."""

    __slots__ = ("_getrandbits", "_hosts", "_owners", "_points")

    def __init__(
        self, hosts: Sequence[H], weights: Sequence[float], rng: Random, settings: LoadBalancing
    ) -> None:
        self._getrandbits = rng.getrandbits
        self._hosts = [host for host, weight in zip(hosts, weights, strict=True) if weight > 0]
        counts = points_per_host([weight for weight in weights if weight > 0], settings)
        digest = load_digest()
        ring = sorted(
            (digest(b"%b_%d" % (key, number)), index)
            for index, (key, count) in enumerate(
                zip([key_of(host.endpoint).encode() for host in self._hosts], counts, strict=True)
            )
            for number in range(count)
        )
        self._points = [point for point, _ in ring]
        self._owners = [index for _, index in ring]

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`. O(log n). A retry goes to the next on the ring that was not tried."""
        if not self._points:
            return None
        number = number_for(context.hash if context is not None else None, self._getrandbits)
        place = bisect_left(self._points, number) % len(self._points)
        host = self._hosts[self._owners[place]]
        if exclude and id(host) in exclude:
            return self._next_untried(place, exclude) or host
        return host

    def _next_untried(self, place: int, exclude: Collection[int]) -> H | None:
        left = {index for index, host in enumerate(self._hosts) if id(host) not in exclude}
        owners = self._owners
        for step in range(len(owners) if left else 0):
            index = owners[(place + step) % len(owners)]
            if index in left:
                return self._hosts[index]
        return None


def points_per_host(weights: Sequence[float], settings: LoadBalancing) -> list[int]:
    """How many points each endpoint has; at least one."""
    if not weights:
        return []
    base = -(-settings.min_ring_size // 2) if len(weights) > 1 else settings.min_ring_size
    shares = [weight / min(weights) for weight in weights]
    limit = min(settings.max_ring_size, max(settings.min_ring_size, _CALM_SIZE))
    while base > 1 and base * sum(shares) > limit:
        base //= 2
    total = base * sum(shares)
    scale = base * min(1.0, limit / total)
    return [max(1, round(share * scale)) for share in shares]
