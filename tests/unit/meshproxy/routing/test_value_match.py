"""Header and query matches. The expectations are what stock Envoy 1.40 does."""

import pytest

from meshproxy.config.route_match import (
    HeaderMatch,
    PresentMatch,
    QueryMatch,
    RangeMatch,
    StringMatch,
    StringMatchKind,
)
from meshproxy.errors import ConfigError
from meshproxy.routing.value_match import compile_field_match, compile_header_match, compile_query_match
from tests.unit.meshproxy.routing.request import request

EXACT, PREFIX, SUFFIX = StringMatchKind.EXACT, StringMatchKind.PREFIX, StringMatchKind.SUFFIX
CONTAINS, REGEX = StringMatchKind.CONTAINS, StringMatchKind.REGEX


@pytest.mark.parametrize(
    ("match", "matching", "other"),
    [
        (StringMatch(EXACT, "ab"), "ab", "aB"),
        (StringMatch(EXACT, "aB", ignore_case=True), "Ab", "abc"),
        (StringMatch(PREFIX, "ab"), "abc", "cab"),
        (StringMatch(SUFFIX, "ab"), "cab", "abc"),
        (StringMatch(CONTAINS, "ab"), "cabc", "acb"),
        (StringMatch(CONTAINS, "AB", ignore_case=True), "caBc", "acb"),
        (StringMatch(REGEX, "a[0-9]+"), "a12", "a12b"),
        (RangeMatch(-5, 10), "-5", "10"),
        (RangeMatch(-5, 10), "+3", "3x"),
        (RangeMatch(-5, 10), "9", "3.0"),
        (RangeMatch(-5, 10), "0", "9" * 5000),
    ],
)
def test_values(match: StringMatch | RangeMatch, matching: str, other: str) -> None:
    holds = compile_header_match(HeaderMatch("x-a", match))
    inverted = compile_header_match(HeaderMatch("x-a", match, invert=True))
    for value, expected in ((matching, True), (other, False)):
        head = request("/", f"X-A: {value}")
        assert (holds(head), inverted(head)) == (expected, not expected)
    assert not holds(request())
    assert not inverted(request())


def test_an_absent_field_may_count_as_empty() -> None:
    exact = HeaderMatch("x-a", StringMatch(EXACT, "a"), invert=True, missing_is_empty=True)
    assert compile_header_match(exact)(request())
    empty = HeaderMatch("x-a", StringMatch(REGEX, ""), missing_is_empty=True)
    assert compile_header_match(empty)(request())
    assert not compile_header_match(empty)(request("/", "x-a: a"))


@pytest.mark.parametrize(
    ("present", "invert", "expected"),
    [(True, False, True), (False, False, False), (True, True, False), (False, True, True)],
)
def test_presence(present: bool, invert: bool, expected: bool) -> None:
    holds = compile_header_match(HeaderMatch("x-a", PresentMatch(present), invert))
    assert holds(request("/", "x-a:")) is expected
    assert holds(request("/", "x-b: 1")) is not expected


def test_one_field_of_a_repeated_name_is_enough_and_none_may_match_inverted() -> None:
    twice = request("/", "x-a: 1", "x-a: 2")
    for value, expected in (("1", True), ("2", True), ("1,2", False)):
        match = StringMatch(EXACT, value)
        assert compile_header_match(HeaderMatch("x-a", match))(twice) is expected
        assert compile_header_match(HeaderMatch("x-a", match, invert=True))(twice) is not expected


def test_pseudo_headers() -> None:
    head = request("/p?q=1", host="Shop.Example:80", method="PUT")
    for name, value in ((":method", "PUT"), (":path", "/p?q=1"), (":authority", "Shop.Example:80")):
        assert compile_header_match(HeaderMatch(name, StringMatch(EXACT, value)))(head)
        assert not compile_header_match(HeaderMatch(name, StringMatch(EXACT, "other")))(head)
        assert compile_header_match(HeaderMatch(name, StringMatch(EXACT, "other"), invert=True))(head)
        assert compile_header_match(HeaderMatch(name, PresentMatch()))(head)
        assert not compile_header_match(HeaderMatch(name, PresentMatch(False)))(head)
    absolute = request("http://other/p", host="other")
    assert compile_header_match(HeaderMatch(":authority", StringMatch(EXACT, "other")))(absolute)


def test_fields_of_a_response() -> None:
    holds = compile_field_match(HeaderMatch("x-retry", StringMatch(EXACT, "yes")))
    assert holds(((b"a", b"b"), (b"x-retry", b"yes")))
    assert not holds(((b"a", b"yes"),))


@pytest.mark.parametrize(
    ("match", "target", "expected"),
    [
        (QueryMatch("a", StringMatch(EXACT, "1")), "/?a=1", True),
        (QueryMatch("a", StringMatch(EXACT, "1")), "/?b=2&a=1&a=3", True),
        (QueryMatch("a", StringMatch(EXACT, "1")), "/?a=2&a=1", False),
        (QueryMatch("a", StringMatch(EXACT, "1")), "/?A=1", False),
        (QueryMatch("a", StringMatch(EXACT, "1")), "/", False),
        (QueryMatch("a", StringMatch(EXACT, "x y")), "/?a=x%20y", False),
        (QueryMatch("a", StringMatch(EXACT, "x=y")), "/?a=x=y", True),
        (QueryMatch("a", StringMatch(EXACT, "")), "/?a", True),
        (QueryMatch("a", StringMatch(REGEX, "[0-9]+")), "/?a=12", True),
        (QueryMatch("a", PresentMatch()), "/?a", True),
        (QueryMatch("a", PresentMatch()), "/?b&&", False),
        (QueryMatch("a", PresentMatch(False)), "/?b", True),
        (QueryMatch("a", PresentMatch(False)), "/?a=", False),
    ],
)
def test_query_parameters(match: QueryMatch, target: str, expected: bool) -> None:
    assert compile_query_match(match)(request(target)) is expected


def test_a_regular_expression_that_re2_refuses_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'\(\?=a\)'.*look-around"):
        compile_header_match(HeaderMatch("x-a", StringMatch(REGEX, "(?=a)")))
