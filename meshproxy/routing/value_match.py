"""Matching the values of headers and query parameters (pure): each match compiled to one call.

Comparison is Envoy's (`HeaderMatcher`, `QueryParameterMatcher`): all fields of a name joined by commas, ASCII
case folding, and an absent field matches nothing, not even inverted, unless it counts as empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from meshproxy.config.route_match import (
    HeaderMatch,
    PresentMatch,
    QueryMatch,
    RangeMatch,
    StringMatch,
    StringMatchKind,
)
from meshproxy.http.events import Headers, RequestHead
from meshproxy.routing.regex import Regex
from meshproxy.routing.request_facts import header_value, query_value, request_value

BytesPredicate = Callable[[bytes], bool]
Constraint = Callable[[RequestHead], bool]
"""Whether a request meets one condition of a route besides its path."""
_Lookup = Callable[[], bytes | None]

_MAX_INTEGER_LENGTH: Final = 20
"""A sign and the digits of 2^63: what is longer is in no range (and costly to read)."""


def compile_string_match(match: StringMatch) -> BytesPredicate:
    """Raises ConfigError for a regular expression that RE2 does not take."""
    if match.kind is StringMatchKind.REGEX:
        return Regex(match.value).matches
    wanted = match.value.encode()
    if not match.ignore_case:
        return _COMPARISONS[match.kind](wanted)
    predicate = _COMPARISONS[match.kind](wanted.lower())
    return lambda value: predicate(value.lower())


_COMPARISONS: Final[dict[StringMatchKind, Callable[[bytes], BytesPredicate]]] = {
    StringMatchKind.EXACT: lambda wanted: lambda value: value == wanted,
    StringMatchKind.PREFIX: lambda wanted: lambda value: value.startswith(wanted),
    StringMatchKind.SUFFIX: lambda wanted: lambda value: value.endswith(wanted),
    StringMatchKind.CONTAINS: lambda wanted: lambda value: wanted in value,
}


def _range_predicate(match: RangeMatch) -> BytesPredicate:
    start, end = match.start, match.end

    def is_inside(value: bytes) -> bool:
        digits = value[1:] if value[:1] in (b"+", b"-") else value
        return digits.isdigit() and len(value) <= _MAX_INTEGER_LENGTH and start <= int(value) < end

    return is_inside


def _optional_predicate(match: HeaderMatch) -> Callable[[bytes | None], bool]:
    """What `match` says of a value, or of its absence."""
    condition = match.value
    if isinstance(condition, PresentMatch):
        wanted = condition.present is not match.invert
        return lambda value: (value is not None) is wanted
    predicate = (
        _range_predicate(condition) if isinstance(condition, RangeMatch) else compile_string_match(condition)
    )
    expected = not match.invert
    if match.missing_is_empty:
        return lambda value: predicate(value or b"") is expected
    return lambda value: value is not None and predicate(value) is expected


def compile_header_match(match: HeaderMatch) -> Constraint:
    """Of a request. Raises ConfigError for a regular expression that RE2 does not take."""
    name, holds = match.name.encode(), _optional_predicate(match)
    if name == b":method":
        return lambda head: holds(head.method)
    if name.startswith(b":"):
        return lambda head: holds(request_value(head, name))
    return lambda head: holds(header_value(head.headers, name))


def compile_field_match(match: HeaderMatch) -> Callable[[Headers], bool]:
    """Of the fields of any head: a response's, for `retriable_headers`."""
    name, holds = match.name.encode(), _optional_predicate(match)
    return lambda headers: holds(header_value(headers, name))


def compile_query_match(match: QueryMatch) -> Constraint:
    """Raises ConfigError for a regular expression that RE2 does not take."""
    name = match.name.encode()
    if isinstance(match.value, PresentMatch):
        wanted = match.value.present
        return lambda head: (query_value(head.target, name) is not None) is wanted
    predicate = compile_string_match(match.value)

    def holds(head: RequestHead) -> bool:
        value = query_value(head.target, name)
        return value is not None and predicate(value)

    return holds
