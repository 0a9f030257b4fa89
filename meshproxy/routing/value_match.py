"""Matching the values of headers and query parameters (pure): each match compiled to one call.

Comparison is Envoy's (`HeaderMatcher`, `QueryParameterMatcher`): one field of a name is enough, and none may
match where the result is inverted; case folding is ASCII's; an absent field matches nothing, not even
inverted, unless it counts as empty.
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
from meshproxy.http.events import RequestHead
from meshproxy.routing.regex import Regex
from meshproxy.routing.request_facts import Fields, has_field, pseudo_value, query_value

BytesPredicate = Callable[[bytes], bool]
Constraint = Callable[[RequestHead], bool]
"""Whether a request meets one condition of a route besides its path."""
FieldsPredicate = Callable[[Fields], bool]

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


def compile_header_match(match: HeaderMatch) -> Constraint:
    """Of a request. Raises ConfigError for a regular expression that RE2 does not take."""
    if not match.name.startswith(":"):
        holds = compile_field_match(match)
        return lambda head: holds(head.headers)
    name = match.name.encode()
    if isinstance(match.value, PresentMatch):
        always = match.value.present is not match.invert
        return lambda head: always
    predicate, expected = _value_predicate(match.value), not match.invert
    return lambda head: predicate(pseudo_value(head, name)) is expected


def compile_field_match(match: HeaderMatch) -> FieldsPredicate:
    """Of the fields of any head: a response's, for `retriable_headers`. Raises ConfigError as above."""
    name = match.name.encode()
    if isinstance(match.value, PresentMatch):
        wanted = match.value.present is not match.invert
        return lambda headers: has_field(headers, name) is wanted
    return _any_field(name, _value_predicate(match.value), not match.invert, match.missing_is_empty)


def _value_predicate(match: StringMatch | RangeMatch) -> BytesPredicate:
    return _range_predicate(match) if isinstance(match, RangeMatch) else compile_string_match(match)


def _any_field(
    name: bytes, predicate: BytesPredicate, expected: bool, missing_is_empty: bool
) -> FieldsPredicate:
    """One field of the name must fulfil `predicate`; or none of them, where that is what is expected."""
    absent = predicate(b"") is expected if missing_is_empty else False

    def holds(headers: Fields) -> bool:
        is_absent = True
        for field, value in headers:
            if field == name:
                if predicate(value):
                    return expected
                is_absent = False
        return absent if is_absent else not expected

    return holds


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
