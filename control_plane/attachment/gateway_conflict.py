"""HTTPRoutes and GRPCRoutes that meet on a listener of a Gateway (pure).

The two kinds are never merged: of two with a host in common the older holds, then the first by
namespace/name, and the other is not attached there (`GRPCRouteSpec.hostnames`). Who is not attached takes no
host from anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from control_plane.attachment.hostname import intersection
from control_plane.attachment.service_parent import is_executable
from control_plane.discovery.route import HttpRoute

Hosts = Mapping[str, tuple[str, ...]]
"""Listener -> hosts of a route that it takes."""


class RouteConflicts:
    """Of one Gateway, as it is now."""

    def __init__(self, routes: Iterable[HttpRoute], hosts_of: Callable[[HttpRoute], Hosts]) -> None:
        """`hosts_of`: what listeners take of a route, as if it were alone."""
        self._routes = sorted(filter(is_executable, routes), key=lambda route: route.age)
        self._is_mixed = len({route.kind for route in self._routes}) > 1
        self._hosts_of = hosts_of
        self._hosts: dict[int, Hosts] = {}
        self._holders: dict[tuple[int, str], HttpRoute | None] = {}

    def holder(self, route: HttpRoute, listener: str) -> HttpRoute | None:
        """The route of the other kind that keeps this one off the listener; None: it is attached."""
        if not self._is_mixed:
            return None
        key = id(route), listener
        if key not in self._holders:
            self._holders[key] = self._find(route, listener)
        return self._holders[key]

    def _find(self, route: HttpRoute, listener: str) -> HttpRoute | None:
        for other in self._routes:
            if other.age >= route.age:
                return None
            is_other = other.kind != route.kind and self._meet(route, other, listener)
            if is_other and self.holder(other, listener) is None:
                return other
        return None

    def _meet(self, route: HttpRoute, other: HttpRoute, listener: str) -> bool:
        theirs = self._known_hosts(other).get(listener, ())
        return any(
            intersection(one, another) is not None
            for one in self._known_hosts(route).get(listener, ())
            for another in theirs
        )

    def _known_hosts(self, route: HttpRoute) -> Hosts:
        found = self._hosts.get(id(route))
        if found is None:
            found = self._hosts[id(route)] = self._hosts_of(route)
        return found
