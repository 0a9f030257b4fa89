"""Path predicates and weighted choice."""

import pytest

from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import DirectResponse, Route, RouteAction, WeightedCluster
from meshproxy.config.route_match import EVERY_PATH, PathMatch, PathMatchKind, RouteMatch
from meshproxy.errors import ConfigError
from meshproxy.routing.cluster_choice import ClusterChoice
from meshproxy.routing.match import CompiledRoute, matches_every_path
from meshproxy.routing.path_index import PathIndex

EXACT, PREFIX = PathMatchKind.EXACT, PathMatchKind.PREFIX
ELEMENTS, REGEX = PathMatchKind.PATH_SEPARATED_PREFIX, PathMatchKind.REGEX


@pytest.mark.parametrize(
    ("kind", "value", "path", "expected"),
    [
        (EXACT, "/foo", "/foo", True),
        (EXACT, "/foo", "/foo/", False),
        (PREFIX, "/foo", "/foobar", True),
        (PREFIX, "/foo", "/fo", False),
        (PREFIX, "/", "/anything", True),
        (ELEMENTS, "/foo", "/foo", True),
        (ELEMENTS, "/foo", "/foo/bar", True),
        (ELEMENTS, "/foo", "/foo/", True),
        (ELEMENTS, "/foo", "/foobar", False),
        (ELEMENTS, "/foo/", "/foo", True),
        (ELEMENTS, "/foo/", "/foobar", False),
        (ELEMENTS, "/", "/foo", True),
        (REGEX, "/v[0-9]+", "/v12", True),
        (REGEX, "/v[0-9]+", "/v12/x", False),
        (REGEX, "/v[0-9]+", "/v12\n", False),
    ],
)
def test_path_match(kind: PathMatchKind, value: str, path: str, expected: bool) -> None:
    route = CompiledRoute(Route("r", RouteMatch(PathMatch(kind, value)), DirectResponse(200)))
    found = PathIndex([(PathMatch(kind, value), route.path_start)]).candidates(path)
    assert (bool(found) and route.accepts_path(path)) is expected


@pytest.mark.parametrize("kind", [EXACT, PREFIX, ELEMENTS])
def test_case_is_folded_where_it_does_not_count(kind: PathMatchKind) -> None:
    index = PathIndex([(PathMatch(kind, "/Foo", case_sensitive=False), ""), (PathMatch(kind, "/foo"), "")])
    assert [index.candidates(path) for path in ("/fOO", "/foo", "/bar")] == [[0], [0, 1], []]


def test_a_regular_expression_that_does_not_compile_is_refused_with_its_text() -> None:
    with pytest.raises(ConfigError, match=r"'/\(' *:"):
        CompiledRoute(Route("r", RouteMatch(PathMatch(REGEX, "/(")), DirectResponse(200)))


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (PREFIX, "/", True),
        (PREFIX, "", True),
        (ELEMENTS, "/", True),
        (PREFIX, "/a", False),
        (EXACT, "/", False),
        (REGEX, "/", False),
    ],
)
def test_only_a_root_prefix_takes_every_path(kind: PathMatchKind, value: str, expected: bool) -> None:
    assert matches_every_path(PathMatch(kind, value)) is expected


def _choice(*weights: int) -> ClusterChoice:
    return ClusterChoice(WeightedCluster(f"c{index}", weight) for index, weight in enumerate(weights))


@pytest.mark.parametrize(
    ("weights", "value", "expected"),
    [
        ((90, 10), 0.0, "c0"),
        ((90, 10), 0.8999, "c0"),
        ((90, 10), 0.9, "c1"),
        ((90, 10), 1 - 2**-53, "c1"),
        ((0, 5, 0), 0.0, "c1"),
        ((0, 5, 0), 1 - 2**-53, "c1"),
        ((0, 1, 0, 1), 0.5, "c3"),
        ((3, 3, 3), 1 - 2**-53, "c2"),
        ((0, 0), 0.5, None),
        ((), 0.5, None),
    ],
)
def test_weighted_choice(weights: tuple[int, ...], value: float, expected: str | None) -> None:
    assert _choice(*weights).pick(value) == expected


def test_a_route_that_forwards_carries_its_split_timeout_and_retry_policy() -> None:
    action = RouteAction(
        (WeightedCluster("a", 1), WeightedCluster("b", 1)), 3.0, RetrySettings(frozenset({"reset"}))
    )
    route = CompiledRoute(Route("r", EVERY_PATH, action))
    assert (route.name, route.action, route.direct_response, route.timeout) == ("r", action, None, 3.0)
    assert route.retry is not None
    assert (route.pick_cluster(0.1), route.pick_cluster(0.9)) == ("a", "b")


def test_a_route_without_retry_settings_has_no_retry_policy() -> None:
    action = RouteAction((WeightedCluster("a", 1),))
    assert CompiledRoute(Route("r", EVERY_PATH, action)).retry is None


def test_a_direct_response_has_no_cluster() -> None:
    answer = DirectResponse(404)
    route = CompiledRoute(Route("r", EVERY_PATH, answer))
    assert (route.direct_response, route.action, route.retry, route.timeout) == (answer, None, None, 0.0)
    assert route.pick_cluster(0.5) is None
