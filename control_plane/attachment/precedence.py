"""In which order the matches of routes are tried (pure): Gateway API's precedence, as one sort key.

Exact paths, then prefixes, longest first; then a method, more headers, more query parameters; then the older
route, namespace/name, and the order of rules and matches in the route. Regular expressions, which the
standard leaves open, stand after every prefix but `/`, longest first: behind `/` none would be reached.

Of GRPCRoutes: longer services, then longer methods, then more headers; then as above. Regular expressions
stand after exact names, and both before "every one". The two kinds are never merged.
"""

from collections.abc import Iterable
from typing import NamedTuple

from control_plane.attachment.support import rule_problem
from control_plane.discovery.model import ObjectName
from control_plane.discovery.route import (
    CallMatch,
    HttpRoute,
    PathMatch,
    PathMatchKind,
    RequestMatch,
    RouteRule,
)

_EXACT, _PREFIX, _REGEX, _EVERYTHING = range(4)

_Rank = tuple[int, int, int, int, int]
Key = tuple[int, int, int, int, int, str, ObjectName, int, int]


class Entry(NamedTuple):
    """One match of one rule of one route: what precedence orders."""

    match: RequestMatch
    route: HttpRoute
    rule_index: int
    match_index: int

    @property
    def rule(self) -> RouteRule:
        return self.route.rules[self.rule_index]

    @property
    def rule_name(self) -> str:
        """Among all rules of routes of its kind."""
        return f"{self.route.key}/{self.rule_index}"


def ordered_entries(routes: Iterable[HttpRoute]) -> list[Entry]:
    """Every match of every rule that can be acted on, first to be tried first; the same whatever order the
    routes come in."""
    entries = [
        Entry(match, route, rule_index, match_index)
        for route in routes
        for rule_index, rule in enumerate(route.rules)
        if rule_problem(rule) is None
        for match_index, match in enumerate(rule.matches)
    ]
    return sorted(entries, key=precedence)


def precedence(entry: Entry) -> Key:
    """Smaller is tried earlier. No two entries of different routes have the same."""
    match, route = entry.match, entry.route
    return (
        *(_request_rank(match) if match.call is None else _call_rank(match.call, len(match.headers))),
        route.created_at,
        route.key,
        entry.rule_index,
        entry.match_index,
    )


def _request_rank(match: RequestMatch) -> _Rank:
    path_class, length = _path_rank(match.path)
    return path_class, -length, not match.method, -len(match.headers), -len(match.query)


def _call_rank(call: CallMatch, headers: int) -> _Rank:
    service, method = call.service, call.method
    return (
        _name_class(service, is_regex=call.is_regex),
        -len(service),
        _name_class(method, is_regex=call.is_regex),
        -len(method),
        -headers,
    )


def _name_class(name: str, *, is_regex: bool) -> int:
    if not name:
        return _EVERYTHING
    return _REGEX if is_regex else _EXACT


def _path_rank(path: PathMatch) -> tuple[int, int]:
    if path.kind is PathMatchKind.EXACT:
        return _EXACT, 0
    if path.kind is PathMatchKind.REGEX:
        return _REGEX, len(path.value)
    length = len(path.value.rstrip("/"))
    return (_PREFIX, length) if length else (_EVERYTHING, 0)
