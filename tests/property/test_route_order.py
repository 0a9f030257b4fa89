"""The compiled virtual host picks what a plain scan in list order picks, whatever the routes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from meshproxy.config.route import DirectResponse, Route, RouteTable, VirtualHost
from meshproxy.config.route_match import (
    HeaderMatch,
    PathMatch,
    PathMatchKind,
    PresentMatch,
    QueryMatch,
    RouteMatch,
    StringMatch,
    StringMatchKind,
)
from meshproxy.http.events import RequestHead
from meshproxy.routing.match import CompiledRoute
from meshproxy.routing.table import CompiledRouteTable
from tests.unit.meshproxy.routing.request import request

_ELEMENTS = st.sampled_from(["a", "A", "b", "ab", "abc"])
_PATHS = st.lists(_ELEMENTS, max_size=3).map(lambda parts: "/" + "/".join(parts))
_REGEXES = st.sampled_from(["/a.*", "/(a|b)/?.*", "/ab[a-c]?", ".*/b", "/a/b", "(?i)/ab"])
_VALUES = st.sampled_from(["1", "2", "3"])
_HEADERS = st.builds(
    HeaderMatch,
    st.sampled_from(["x-a", "x-b"]),
    st.one_of(
        st.builds(StringMatch, st.just(StringMatchKind.EXACT), _VALUES),
        st.just(PresentMatch()),
    ),
    invert=st.booleans(),
) | st.builds(
    HeaderMatch,
    st.just(":method"),
    st.builds(StringMatch, st.just(StringMatchKind.EXACT), st.sampled_from(["GET", "PUT"])),
)
_QUERIES = st.builds(
    QueryMatch, st.just("q"), st.builds(StringMatch, st.just(StringMatchKind.EXACT), _VALUES)
)
_PATH_MATCHES = st.one_of(
    st.builds(
        PathMatch,
        st.sampled_from([PathMatchKind.EXACT, PathMatchKind.PREFIX, PathMatchKind.PATH_SEPARATED_PREFIX]),
        _PATHS,
        st.booleans(),
    ),
    st.builds(PathMatch, st.just(PathMatchKind.REGEX), _REGEXES),
)
_MATCHES = st.builds(
    RouteMatch,
    _PATH_MATCHES,
    st.lists(_HEADERS, max_size=2).map(tuple),
    st.lists(_QUERIES, max_size=1).map(tuple),
)
_REQUESTS = st.builds(
    lambda path, query, a, b, method: request(path + query, *a, *b, method=method),
    _PATHS,
    st.sampled_from(["", "?q=1", "?q=2&q=1", "?p&q=3"]),
    st.lists(_VALUES.map(lambda value: f"x-a: {value}"), max_size=2),
    st.lists(_VALUES.map(lambda value: f"X-B: {value}"), max_size=1),
    st.sampled_from(["GET", "PUT", "POST"]),
)


def _takes_path(match: PathMatch, route: CompiledRoute, path: str) -> bool:
    """The definition of each kind, without an index."""
    if match.kind is PathMatchKind.REGEX:
        return route.accepts_path(path)
    value = match.value
    if not match.case_sensitive:
        value, path = value.lower(), path.lower()
    if match.kind is PathMatchKind.EXACT:
        return path == value
    if match.kind is PathMatchKind.PREFIX:
        return path.startswith(value)
    element = value.rstrip("/")
    return path == element or path.startswith(element + "/")


def _scan(routes: tuple[Route, ...], head: RequestHead) -> str | None:
    for route in routes:
        compiled = CompiledRoute(route)
        if _takes_path(route.match.path, compiled, head.path) and compiled.accepts(head):
            return route.name
    return None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(_MATCHES, max_size=24), st.lists(_REQUESTS, min_size=1, max_size=8))
def test_the_first_match_in_list_order_wins(matches: list[RouteMatch], heads: list[RequestHead]) -> None:
    routes = tuple(Route(f"r{index}", match, DirectResponse(200)) for index, match in enumerate(matches))
    table = CompiledRouteTable(RouteTable("t", (VirtualHost("h", ("*",), routes),)))
    for head in heads * 2:  # the second time from memory
        found = table.match(head)
        assert (found.name if found else None) == _scan(routes, head)
