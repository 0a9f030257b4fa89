"""What a rule may ask for that cannot be done (pure): such a rule is dropped, and the status says why.

The schema has refused what contradicts itself; here is what xDS has no words for, or what must not change.
"""

from collections.abc import Iterator
from typing import NamedTuple

from control_plane.discovery.route import Backend, Filters, HeaderChange, RouteRule

_FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields that say where a message ends, or belong to one connection (RFC 9110 section 7.6.1)."""


class Problem(NamedTuple):
    """Why something is not done."""

    reason: str
    """In the Gateway API's words, e.g. `UnsupportedValue`."""
    message: str
    """Begins with the field, relative to where the problem was looked for."""


def rule_problem(rule: RouteRule) -> Problem | None:
    """The first thing in a rule that cannot be done; None when all can."""
    return next(_rule_problems(rule), None)


def _rule_problems(rule: RouteRule) -> Iterator[Problem]:
    yield from _header_problems("filters", rule.filters)
    for number, backend in enumerate(rule.backends):
        yield from _header_problems(f"backendRefs[{number}].filters", backend.filters)
        yield from _backend_filter_problems(f"backendRefs[{number}].filters", rule, backend)
    session = rule.session
    if session is None:
        return
    if session.idle_timeout is not None:
        yield Problem("UnsupportedValue", "sessionPersistence.idleTimeout: is not kept track of")
    if session.absolute_timeout is not None and not session.is_permanent:
        yield Problem(
            "UnsupportedValue",
            "sessionPersistence.absoluteTimeout: needs cookieConfig.lifetimeType Permanent; nothing else is "
            "kept track of",
        )


def _header_problems(field: str, filters: Filters) -> Iterator[Problem]:
    changes = (("request", filters.request_headers), ("response", filters.response_headers))
    for direction, change in changes:
        if change is None:
            continue
        for name in _changed_names(change):
            if name in _FRAMING:
                yield Problem("UnsupportedValue", f"{field}: {direction} header {name!r} is the proxy's own")
            if name == "host" and not (direction == "request" and dict(change.set).get("host")):
                yield Problem("UnsupportedValue", f"{field}: {direction} header 'host' can only be set")


def _changed_names(change: HeaderChange) -> Iterator[str]:
    yield from (name for name, _ in (*change.set, *change.add))
    yield from change.remove


def _backend_filter_problems(field: str, rule: RouteRule, backend: Backend) -> Iterator[Problem]:
    """A whole request has one path, one redirect and one set of mirrors: they hold for one backend only."""
    own = backend.filters
    changes_path = own.rewrite is not None and own.rewrite.path is not None
    if not (own.redirect or own.mirrors or changes_path):
        return
    if len(rule.backends) > 1:
        what = (
            "RequestRedirect" if own.redirect else "RequestMirror" if own.mirrors else "URLRewrite of a path"
        )
        yield Problem(
            "IncompatibleFilters", f"{field}: {what} is only possible when the rule has no other backend"
        )
    elif (own.redirect and rule.filters.rewrite) or (changes_path and rule.filters.rewrite):
        yield Problem("IncompatibleFilters", f"{field}: the rule's own filters rewrite the URL already")
