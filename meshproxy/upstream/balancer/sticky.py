"""Session affinity (pure): the endpoint a session is bound to, while it is fit or degraded.

Mirrors Envoy's `stateful_session` with `common_lb_config.override_host_status` at its default. A retry does
not come back to it, unless the session is strict: then it is that endpoint or none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Generic

from meshproxy.upstream.balancer.api import Balancer, Fitness, H, PickContext, address_of

_SERVING = (Fitness.FIT, Fitness.DEGRADED)


class Sticky(Generic[H]):
    """Around any balancer, for requests with a `PickContext`. Its table is made for the first session."""

    __slots__ = ("_balancer", "_by_address", "_hosts")

    def __init__(self, balancer: Balancer[H], hosts: Sequence[H]) -> None:
        self._balancer = balancer
        self._hosts = hosts
        self._by_address: dict[str, H] | None = None

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`."""
        if context is None or not context.override:
            return self._balancer.pick(context, exclude, now)
        host = self._find(context.override)
        if context.is_strict or (host is not None and id(host) not in exclude):
            return host
        return self._balancer.pick(context, exclude, now)

    def _find(self, address: str) -> H | None:
        if self._by_address is None:
            self._by_address = {address_of(host.endpoint): host for host in self._hosts}
        host = self._by_address.get(address)
        return host if host is not None and host.fitness in _SERVING else None
