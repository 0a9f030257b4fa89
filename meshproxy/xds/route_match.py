"""RouteMatch, HeaderMatcher, QueryParameterMatcher -> their values in the model (pure)."""

from __future__ import annotations

from typing import Final

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.api.envoy.type.matcher.v3.string_pb2 import StringMatcher
from meshproxy.config.route_match import (
    HeaderMatch,
    PathMatch,
    PathMatchKind,
    PresentMatch,
    QueryMatch,
    RangeMatch,
    RouteMatch,
    StringMatch,
    StringMatchKind,
)
from meshproxy.errors import ConfigError
from meshproxy.http.syntax import is_token
from meshproxy.xds.strict import require

_PATH_KINDS: Final = {kind.value: kind for kind in PathMatchKind}
_STRING_KINDS: Final = {kind.value: kind for kind in StringMatchKind}
_PSEUDO: Final = frozenset({":method", ":authority", ":path"})
_MAX_QUERY_NAME: Final = 1024
"""Bytes; Envoy's limit."""


def translate_route_match(match: components.RouteMatch, path: str) -> RouteMatch:
    """`match` has passed the strict check. Raises ConfigError. Regular expressions are compiled later."""
    return RouteMatch(
        _path_match(match, path),
        tuple(
            translate_header_match(header, f"{path}.headers[{index}]")
            for index, header in enumerate(match.headers)
        ),
        tuple(
            _query_match(query, f"{path}.query_parameters[{index}]")
            for index, query in enumerate(match.query_parameters)
        ),
    )


def _path_match(match: components.RouteMatch, path: str) -> PathMatch:
    field = match.WhichOneof("path_specifier")
    if field is None:
        raise ConfigError(f"{path}: one of {', '.join(_PATH_KINDS)} is needed")
    is_sensitive = not match.HasField("case_sensitive") or match.case_sensitive.value
    value = match.safe_regex.regex if field == "safe_regex" else str(getattr(match, field))
    if field in ("path", "path_separated_prefix"):
        require(value.startswith("/"), f"{path}.{field}", f"{value!r} does not start with /")
        require("?" not in value and "#" not in value, f"{path}.{field}", f"{value!r} has ? or #")
    elif field == "safe_regex":
        require(bool(value), f"{path}.safe_regex.regex", "must not be empty")
        require(is_sensitive, f"{path}.case_sensitive", "has no meaning for safe_regex: write (?i) in it")
    return PathMatch(_PATH_KINDS[field], value, is_sensitive)


def translate_header_match(
    matcher: components.HeaderMatcher, path: str, *, has_pseudo: bool = True
) -> HeaderMatch:
    """`has_pseudo`: pseudo-headers can be asked for, and not only fields. Raises ConfigError."""
    name = matcher.name.lower()
    is_pseudo = has_pseudo and name in _PSEUDO
    require(
        is_pseudo or is_token(name.encode()),
        f"{path}.name",
        f"{matcher.name!r} is no header name, nor, in a route match, one of {', '.join(sorted(_PSEUDO))}",
    )
    value = _header_value(matcher, path)
    is_plain = not (isinstance(value, PresentMatch) and matcher.treat_missing_header_as_empty)
    require(is_plain, f"{path}.treat_missing_header_as_empty", "has no meaning for present_match")
    return HeaderMatch(name, value, matcher.invert_match, matcher.treat_missing_header_as_empty)


def _header_value(matcher: components.HeaderMatcher, path: str) -> StringMatch | RangeMatch | PresentMatch:
    field = matcher.WhichOneof("header_match_specifier")
    if field == "string_match":
        return translate_string_match(matcher.string_match, f"{path}.string_match")
    if field == "range_match":
        bounds = matcher.range_match
        require(bounds.start < bounds.end, f"{path}.range_match", "start must be below end")
        return RangeMatch(bounds.start, bounds.end)
    return PresentMatch(field is None or matcher.present_match)  # without one Envoy asks for presence


def translate_string_match(matcher: StringMatcher, path: str) -> StringMatch:
    """Raises ConfigError, also for an empty pattern where it would match everything."""
    field = matcher.WhichOneof("match_pattern")
    if field is None:
        raise ConfigError(f"{path}: one of {', '.join(_STRING_KINDS)} is needed")
    kind = _STRING_KINDS[field]
    value = matcher.safe_regex.regex if field == "safe_regex" else str(getattr(matcher, field))
    require(bool(value) or kind is StringMatchKind.EXACT, f"{path}.{field}", "must not be empty")
    is_foldable = kind is not StringMatchKind.REGEX or not matcher.ignore_case
    require(is_foldable, f"{path}.ignore_case", "has no meaning for safe_regex: write (?i) in it")
    return StringMatch(kind, value, matcher.ignore_case)


def _query_match(matcher: components.QueryParameterMatcher, path: str) -> QueryMatch:
    length = len(matcher.name.encode())
    require(1 <= length <= _MAX_QUERY_NAME, f"{path}.name", f"must have 1 to {_MAX_QUERY_NAME} bytes")
    if matcher.WhichOneof("query_parameter_match_specifier") == "string_match":
        return QueryMatch(matcher.name, translate_string_match(matcher.string_match, f"{path}.string_match"))
    has_field = matcher.HasField("present_match")
    return QueryMatch(matcher.name, PresentMatch(not has_field or matcher.present_match))
