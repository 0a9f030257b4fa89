"""Which match is tried first: Gateway API's order, whatever order the routes arrived in."""

from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.attachment.precedence import ordered_entries, precedence
from control_plane.discovery.model import ObjectName
from control_plane.discovery.route import (
    HttpRoute,
    PathMatch,
    PathMatchKind,
    RequestMatch,
    RouteRule,
    ValueMatch,
)
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.attachment.routes import http

EXACT, PREFIX, REGEX = PathMatchKind.EXACT, PathMatchKind.PREFIX, PathMatchKind.REGEX
paths = st.builds(
    PathMatch, st.sampled_from(PathMatchKind), st.sampled_from(("/", "/a", "/a/", "/a/b", "/longer/path"))
)
values = st.lists(st.builds(ValueMatch, st.sampled_from("abc"), st.just("1")), max_size=2).map(tuple)
matches = st.builds(RequestMatch, paths, values, values, st.sampled_from(("", "GET", "POST")))
rules = st.builds(RouteRule, st.lists(matches, min_size=1, max_size=3).map(tuple), st.just(()))
keys = st.builds(ObjectName, st.sampled_from(("shop", "other")), st.sampled_from("abc"))
routes = st.lists(
    st.builds(
        HttpRoute,
        keys,
        st.sampled_from((build.EARLY, build.LATE)),
        st.just(1),
        st.just(()),
        st.lists(rules, min_size=1, max_size=3).map(tuple),
    ),
    max_size=5,
    unique_by=lambda route: route.key,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(routes, st.randoms(use_true_random=False))
def test_the_order_of_arrival_plays_no_part(given_routes: list[HttpRoute], random: st.DataObject) -> None:
    shuffled = random.sample(given_routes, len(given_routes))  # type: ignore[attr-defined]
    assert ordered_entries(given_routes) == ordered_entries(shuffled)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(routes)
def test_no_two_entries_tie(given_routes: list[HttpRoute]) -> None:
    found = [precedence(entry) for entry in ordered_entries(given_routes)]
    assert len(set(found)) == len(found)


def _in_order(*wanted: RequestMatch) -> list[RequestMatch]:
    route = HttpRoute(ObjectName("shop", "r"), build.EARLY, 1, (), (RouteRule(tuple(reversed(wanted)), ()),))
    return [entry.match for entry in ordered_entries([route])]


def test_more_specific_matches_come_first() -> None:
    one, two = ValueMatch("a", "1"), ValueMatch("b", "1")
    wanted = [
        RequestMatch(PathMatch(EXACT, "/a")),
        RequestMatch(PathMatch(PREFIX, "/a/b")),
        RequestMatch(PathMatch(PREFIX, "/a"), method="GET"),
        RequestMatch(PathMatch(PREFIX, "/a"), headers=(one, two)),
        RequestMatch(PathMatch(PREFIX, "/a"), headers=(one,), query=(one, two)),
        RequestMatch(PathMatch(PREFIX, "/a"), headers=(one,), query=(one,)),
        RequestMatch(PathMatch(PREFIX, "/a"), query=(one,)),
        RequestMatch(PathMatch(PREFIX, "/a")),
        RequestMatch(PathMatch(REGEX, "/longer.*")),
        RequestMatch(PathMatch(REGEX, "/l.*")),
        RequestMatch(PathMatch(PREFIX, "/"), method="GET"),
        RequestMatch(PathMatch(PREFIX, "/")),
    ]
    assert _in_order(*wanted) == wanted


def test_a_rule_that_cannot_be_done_is_left_out() -> None:
    bad = {
        **build.rule(build.backend("v1")),
        "sessionPersistence": {"idleTimeout": "1m"},
    }
    entries = ordered_entries([http(build.route("r", bad, build.rule(build.backend("v1"))))])
    assert [entry.rule_index for entry in entries] == [1]
