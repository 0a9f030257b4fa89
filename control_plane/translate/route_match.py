"""HTTPRoute matches as `RouteMatch` (pure)."""

import re

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.api.envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from control_plane.api.envoy.type.matcher.v3.string_pb2 import StringMatcher
from control_plane.discovery.route import PathMatch, PathMatchKind, RequestMatch, ValueMatch

_PSEUDO = {"host": ":authority"}
"""xDS knows Host under HTTP/2's name."""


def route_match(match: RequestMatch) -> components.RouteMatch:
    built = _path_match(match.path)
    if match.method:
        built.headers.append(_header(ValueMatch(":method", match.method)))
    built.headers.extend(_header(header) for header in match.headers)
    built.query_parameters.extend(
        components.QueryParameterMatcher(name=one.name, string_match=_string(one)) for one in match.query
    )
    return built


def _path_match(path: PathMatch) -> components.RouteMatch:
    if path.kind is PathMatchKind.EXACT:
        return components.RouteMatch(path=path.value)
    if path.kind is PathMatchKind.REGEX:
        return components.RouteMatch(safe_regex=RegexMatcher(regex=path.value))
    prefix = path.value.rstrip("/")  # Gateway API: a trailing slash means the same
    return (
        components.RouteMatch(path_separated_prefix=prefix) if prefix else components.RouteMatch(prefix="/")
    )


def _header(match: ValueMatch) -> components.HeaderMatcher:
    return components.HeaderMatcher(name=_PSEUDO.get(match.name, match.name), string_match=_string(match))


def _string(match: ValueMatch) -> StringMatcher:
    return regex_match(match.value) if match.is_regex else StringMatcher(exact=match.value)


def regex_match(pattern: str) -> StringMatcher:
    """RE2 over the whole value."""
    return StringMatcher(safe_regex=RegexMatcher(regex=pattern))


def quoted(text: str) -> str:
    """`text` as an RE2 pattern that matches nothing else."""
    return re.sub(r"([^-A-Za-z0-9_/~!&',;=:@%])", r"\\\1", text)
