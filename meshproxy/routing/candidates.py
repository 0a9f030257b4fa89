"""The routes that one path may take, and the choice among them by method, headers and query (pure).

Most paths have one or a few. Where many routes share a path and differ in the exact value of one header
(commonly `:method`), a dictionary on that value takes the place of asking them one after the other. The first
match in list order wins in either form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from meshproxy.http.events import RequestHead
from meshproxy.routing.match import CompiledRoute
from meshproxy.routing.request_facts import request_values

_MANY: Final = 8
"""Routes above which a dictionary is worth its look-up."""


class Candidates:
    """Routes in list order, asked one after the other."""

    __slots__ = ("_routes",)

    def __init__(self, routes: Sequence[CompiledRoute]) -> None:
        self._routes = tuple(routes)

    def first(self, head: RequestHead, before: int) -> CompiledRoute | None:
        """First route that takes `head`, if it stands before position `before`."""
        for route in self._routes:
            if route.position >= before:
                return None
            if route.accepts(head):
                return route
        return None


class SwitchedCandidates(Candidates):
    """Routes found by the value of one header; `_rest` are those that do not ask for an exact value of it."""

    __slots__ = ("_by_value", "_name", "_rest")

    def __init__(self, name: bytes, routes: Sequence[CompiledRoute], done: frozenset[bytes]) -> None:
        super().__init__(())
        self._name = name
        by_value: dict[bytes, list[CompiledRoute]] = {}
        rest = []
        for route in routes:
            value = route.exact_headers.get(name)
            if value is None:
                rest.append(route)
            else:
                by_value.setdefault(value, []).append(route)
        self._by_value = {value: arrange(group, done) for value, group in by_value.items()}
        self._rest = arrange(rest, done)

    def first(self, head: RequestHead, before: int) -> CompiledRoute | None:
        found: CompiledRoute | None = None
        for value in request_values(head, self._name):
            group = self._by_value.get(value)
            if group is not None and (better := group.first(head, before)) is not None:
                found, before = better, better.position
        return self._rest.first(head, before) or found


def arrange(routes: Sequence[CompiledRoute], done: frozenset[bytes] = frozenset()) -> Candidates:
    """The form that answers fastest; `done` are headers already looked at."""
    if len(routes) < _MANY:
        return Candidates(routes)
    values = Counter(name for route in routes for name in route.exact_headers if name not in done)
    if not values:
        return Candidates(routes)
    name, count = values.most_common(1)[0]
    if 2 * count < len(routes):
        return Candidates(routes)
    return SwitchedCandidates(name, routes, done | {name})
