"""What a request must look like for a route to take it (pure, frozen): Envoy's `RouteMatch`.

`meshproxy/routing` compiles these values and says how each is compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class PathMatchKind(Enum):
    """Which `RouteMatch.path_specifier` is set."""

    EXACT = "path"
    PREFIX = "prefix"
    """A plain string prefix (`/` matches all)."""
    PATH_SEPARATED_PREFIX = "path_separated_prefix"
    """A prefix of whole path elements: `/foo` matches `/foo` and `/foo/bar`, not `/foobar`."""
    REGEX = "safe_regex"
    """Must match the whole path (without query)."""


@dataclass(frozen=True, slots=True)
class PathMatch:
    kind: PathMatchKind
    value: str
    case_sensitive: bool = True
    """False compares ASCII letters without their case; it has no meaning for a regular expression."""


class StringMatchKind(Enum):
    """Which `StringMatcher.match_pattern` is set."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    CONTAINS = "contains"
    REGEX = "safe_regex"
    """RE2; must match the whole value."""


@dataclass(frozen=True, slots=True)
class StringMatch:
    """`envoy.type.matcher.v3.StringMatcher`."""

    kind: StringMatchKind
    value: str
    ignore_case: bool = False
    """ASCII letters only."""


@dataclass(frozen=True, slots=True)
class RangeMatch:
    """`Int64Range`: a whole number, base 10, from `start` up to but not including `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PresentMatch:
    """The field is there, whatever its value; or, when `present` is False, it is not."""

    present: bool = True


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """`HeaderMatcher`. Of several fields of the name, one has to match."""

    name: str
    """Lower case, or one of `:method`, `:authority`, `:path` (the last with its query)."""
    value: StringMatch | RangeMatch | PresentMatch
    invert: bool = False
    """None may match then. An absent field still does not count, unless `missing_is_empty` or `value` is a
    PresentMatch."""
    missing_is_empty: bool = False
    """`treat_missing_header_as_empty`."""


@dataclass(frozen=True, slots=True)
class QueryMatch:
    """`QueryParameterMatcher`: the first parameter of this name, neither decoded nor folded in case."""

    name: str
    value: StringMatch | PresentMatch


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """All of it must hold."""

    path: PathMatch
    headers: tuple[HeaderMatch, ...] = ()
    query: tuple[QueryMatch, ...] = ()


EVERY_PATH = RouteMatch(PathMatch(PathMatchKind.PREFIX, "/"))
"""Takes every request in origin form."""
