"""Subsets (pure): only endpoints with the labels that a request asks for, as Envoy's `lb_subset_config`.

A request's labels select a subset when a selector has exactly their keys. Where they do not, or nobody
carries the values, the selector's fallback decides, else the cluster's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Generic

from meshproxy.config.load_balancing import SubsetFallback, Subsets
from meshproxy.upstream.balancer.api import Balancer, H, PickContext

Labels = tuple[tuple[str, str], ...]


class SubsetBalancer(Generic[H]):
    """One balancer for each subset, made when it is first asked for."""

    __slots__ = ("_balancers", "_hosts", "_make", "_selectors", "_settings")

    def __init__(
        self, settings: Subsets, hosts: Sequence[H], make: Callable[[Sequence[H]], Balancer[H]]
    ) -> None:
        """`make` builds the balancer of some of `hosts`."""
        self._settings = settings
        self._make = make
        self._hosts: dict[Labels, list[H]] = {}
        self._balancers: dict[Labels, Balancer[H]] = {(): make(hosts)}
        self._selectors = {selector.keys: selector for selector in settings.selectors}
        for host in hosts:
            for keys in self._selectors:
                labels = tuple(label for label in host.endpoint.labels if label[0] in keys)
                if len(labels) == len(keys):
                    self._hosts.setdefault(labels, []).append(host)
        default = settings.default_subset
        self._hosts[default] = [one for one in hosts if set(one.endpoint.labels).issuperset(default)]

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H | None:
        """See `Balancer.pick`."""
        balancer = self._find(context.labels if context is not None else ())
        return balancer.pick(context, exclude, now) if balancer is not None else None

    def _find(self, labels: Labels) -> Balancer[H] | None:
        selector = self._selectors.get(frozenset(key for key, _ in labels)) if labels else None
        if selector is not None and self._hosts.get(labels):
            return self._of(labels)
        fallback = self._settings.fallback
        if selector is not None and selector.fallback is not None:
            fallback = selector.fallback
        if fallback is SubsetFallback.NO_FALLBACK:
            return None
        return self._of(self._settings.default_subset if fallback is SubsetFallback.DEFAULT_SUBSET else ())

    def _of(self, labels: Labels) -> Balancer[H]:
        balancer = self._balancers.get(labels)
        if balancer is None:
            balancer = self._balancers[labels] = self._make(self._hosts[labels])
        return balancer
