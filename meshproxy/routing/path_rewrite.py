"""Giving a request another path (pure): `prefix_rewrite` and `regex_rewrite`. The query stays as it is."""

from __future__ import annotations

from collections.abc import Callable

from meshproxy.config.head_edit import PathRewrite
from meshproxy.config.route_match import PathMatch, PathMatchKind
from meshproxy.routing.regex import Substitution

TargetRewrite = Callable[[bytes], bytes]
"""Request target (with its query) -> another one."""


def compile_path_rewrite(rewrite: PathRewrite, match: PathMatch) -> TargetRewrite:
    """`match` is the route's own, which says how much of the path a prefix takes. Raises ConfigError for a
    bad regular expression or substitution.
    """
    change = Substitution(rewrite.regex).apply if rewrite.regex else _prefix_change(rewrite.prefix, match)

    def rewritten(target: bytes) -> bytes:
        if target == b"*":
            return target
        path, mark, query = target.partition(b"?")
        path = change(path)
        if path[:1] != b"/":  # RFC 9112 section 3.2.1: a path in origin form starts so
            path = b"/" + path
        return path + mark + query

    return rewritten


def _prefix_change(prefix: str, match: PathMatch) -> Callable[[bytes], bytes]:
    replacement = prefix.encode()
    if match.kind in (PathMatchKind.EXACT, PathMatchKind.REGEX):
        return lambda path: replacement
    is_elements = match.kind is PathMatchKind.PATH_SEPARATED_PREFIX
    length = len(match.value.rstrip("/") if is_elements else match.value)
    return lambda path: replacement + path[length:]
