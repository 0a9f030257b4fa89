"""RE2 from configuration: matching, literal starts, substitutions, and what is refused."""

import sys

import pytest

from meshproxy.config.head_edit import RegexSubstitution
from meshproxy.errors import ConfigError
from meshproxy.routing.regex import Regex, Substitution


def test_a_pattern_that_backtracks_elsewhere_is_linear_here() -> None:
    """Python's `re` would need 2^1000 steps for it."""
    assert not Regex("(a+)+b").matches(b"a" * 1000)


def test_texts_are_utf8() -> None:
    dot = Regex(".")
    assert dot.matches("é".encode())
    assert not dot.matches(b"\xff")


@pytest.mark.parametrize(
    ("pattern", "start"),
    [
        ("/v[0-9]+", b"/v"),
        ("/api/(a|b)/x", b"/api/"),
        ("/a|/b", b"/"),
        ("a|b", b""),
        ("(?i)/foo", b"/"),
        (".*x", b""),
        ("^/foo$", b"/foo"),
        ("/foo(bar)?", b"/foo"),
    ],
)
def test_the_literal_start_is_what_every_match_starts_with(pattern: str, start: bytes) -> None:
    assert Regex(pattern).literal_start == start


def test_a_long_literal_is_a_start_as_far_as_it_goes() -> None:
    start = Regex("/" + "x" * 200).literal_start
    assert ("/" + "x" * 200).encode().startswith(start)
    assert len(start) > 32


@pytest.mark.parametrize(
    ("pattern", "substitution", "text", "expected"),
    [
        ("^/service/([^/]+)(/.*)$", r"\2/instance/\1", b"/service/foo/v1/api", b"/v1/api/instance/foo"),
        ("one", "two", b"/xxx/one/yyy/one/zzz", b"/xxx/two/yyy/two/zzz"),
        ("^(.*?)one(.*)$", r"\1two\2", b"/xxx/one/yyy/one/zzz", b"/xxx/two/yyy/one/zzz"),
        ("(?i)/xxx/", "/yyy/", b"/aaa/XxX/bbb", b"/aaa/yyy/bbb"),
        ("a*", "x", b"baac", b"xbxcx"),
        ("(a)|(b)", r"<\0\2>", b"ab", b"<a><bb>"),
        ("a", r"\\", b"a", b"\\"),
        ("z", "y", b"a", b"a"),
    ],
)
def test_substitution(pattern: str, substitution: str, text: bytes, expected: bytes) -> None:
    """The first four are the examples of Envoy's documentation."""
    assert Substitution(RegexSubstitution(pattern, substitution)).apply(text) == expected


@pytest.mark.parametrize("substitution", [r"\2", r"\x", "\\"])
def test_a_substitution_that_names_no_group_is_refused(substitution: str) -> None:
    with pytest.raises(ConfigError, match="has 1"):
        Substitution(RegexSubstitution("(a)", substitution))


def test_without_the_wheel_a_pattern_is_refused_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ConfigError, match=r"'a'.*install meshproxy\[sidecar\]"):
        Regex("a")
