"""What routes need from the layers above routing, compiled once for each connection manager. [4, 6]"""

from __future__ import annotations

from collections.abc import Callable

from meshproxy.config.route import FilterConfigs
from meshproxy.filters.api import HttpFilter
from meshproxy.proxy.direction import HashPolicies
from meshproxy.routing.match import CompiledRoute

FilterCompiler = Callable[[FilterConfigs], tuple[HttpFilter, ...]]
"""The filters that apply to a route with these settings of its own, in the chain's order."""


class RouteParts:
    """Found by identity; what a configuration no longer has is dropped with `forget`. Entries are as many as
    the configuration has routes and clusters of routes."""

    __slots__ = ("_compile", "_filters", "_hashing")

    def __init__(self, compile_filters: FilterCompiler) -> None:
        self._compile = compile_filters
        self._filters: dict[int, tuple[FilterConfigs, tuple[HttpFilter, ...]]] = {}
        self._hashing: dict[int, tuple[CompiledRoute, HashPolicies | None]] = {}

    def filters(self, configs: FilterConfigs) -> tuple[HttpFilter, ...]:
        """Filters of a route with these settings."""
        found = self._filters.get(id(configs))
        if found is None:
            found = self._filters[id(configs)] = (configs, self._compile(configs))
        return found[1]

    def hashing(self, route: CompiledRoute) -> HashPolicies | None:
        """The route's hash policies; None without any."""
        found = self._hashing.get(id(route))
        if found is None:
            policies = route.action.hash_policy if route.action is not None else ()
            found = self._hashing[id(route)] = (route, HashPolicies(policies) if policies else None)
        return found[1]

    def forget(self) -> None:
        """The routes have changed."""
        self._filters.clear()
        self._hashing.clear()
