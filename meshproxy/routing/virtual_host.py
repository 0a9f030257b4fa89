"""One virtual host (pure): from a path to the routes that it may take. [5]"""

from __future__ import annotations

import sys
from typing import Final

from meshproxy.config.route import Route, VirtualHost
from meshproxy.errors import ConfigError
from meshproxy.routing.candidates import Candidates, arrange
from meshproxy.routing.match import CompiledRoute, HostSettings, matches_every_path
from meshproxy.routing.path_index import PathIndex

EVERY_POSITION: Final = sys.maxsize
"""For `Candidates.first`: no route is too late."""
_MAX_ARRANGED: Final = 1024
"""Sets of candidates kept. Many paths share one; a configuration has about as many as it has routes."""


class CompiledVirtualHost:
    """Routes in order, an index of their paths, and the first route when it takes every request."""

    __slots__ = ("_arranged", "_index", "name", "routes", "sole")

    def __init__(self, host: VirtualHost, settings: HostSettings) -> None:
        """Raises ConfigError for a route that cannot be compiled."""
        self.name = host.name
        self.routes = tuple(
            _compiled(host, route, position, settings) for position, route in enumerate(host.routes)
        )
        first = self.routes[0] if self.routes else None
        is_sole = first is not None and first.is_unconditional and matches_every_path(first.route.match.path)
        self.sole = first if is_sole else None
        self._index: PathIndex | None = None
        """Made when a path needs it: most virtual hosts have one route, for every path."""
        self._arranged: dict[tuple[int, ...], Candidates] = {}

    def find(self, path: str) -> CompiledRoute | Candidates | None:
        """The route for `path`; where its choice needs the rest of the request, those that come into
        question, up to the first that takes whatever is left.
        """
        if self.sole is not None and path[:1] == "/":
            return self.sole
        index = self._index
        if index is None:
            index = self._index = PathIndex(
                (route.route.match.path, route.path_start) for route in self.routes
            )
        found: list[CompiledRoute] = []
        for position in index.candidates(path):
            route = self.routes[position]
            if route.accepts_path(path):
                found.append(route)
                if route.is_unconditional:
                    break
        if not found:
            return None
        return found[0] if found[0].is_unconditional else self._candidates(found)

    def _candidates(self, routes: list[CompiledRoute]) -> Candidates:
        key = tuple(route.position for route in routes)
        candidates = self._arranged.get(key)
        if candidates is None:
            candidates = arrange(routes)
            if len(self._arranged) < _MAX_ARRANGED:
                self._arranged[key] = candidates
        return candidates


def _compiled(host: VirtualHost, route: Route, position: int, settings: HostSettings) -> CompiledRoute:
    try:
        return CompiledRoute(route, position, settings)
    except ConfigError as error:
        place = f"virtual host {host.name!r}, routes[{position}] {route.name!r}"
        raise ConfigError(f"{place}: {error}") from error
