"""Cross-origin requests of browsers (`envoy.filters.http.cors`; Fetch standard, section "HTTP-CORS
protocol"). [4]

A preflight (OPTIONS with `origin` and `access-control-request-method`) is answered here, also for an origin
that is not allowed, unless those go to the upstream; such an answer does not name the origin, and the browser
refuses. Answers to an allowed origin say so, whatever the upstream said. The fields, and when each is sent,
are Envoy's: the origin is always named, never `*`, so credentials need nothing further; `*` for methods or
headers sends what was asked for. Requests that the route redirects or answers itself are left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from meshproxy.config.http_filter import CorsSettings
from meshproxy.filters.api import Answer, FilteredRequest, LocalReply
from meshproxy.filters.message_field import joined_value, with_field
from meshproxy.http.events import Headers
from meshproxy.routing.value_match import BytesPredicate, compile_string_match

_ORIGIN: Final = b"origin"
_ASKED_METHOD: Final = b"access-control-request-method"
_ASKED_HEADERS: Final = b"access-control-request-headers"
_ASKED_PRIVATE: Final = b"access-control-request-private-network"
_ALLOW_ORIGIN: Final = b"access-control-allow-origin"
_EXPOSE: Final = b"access-control-expose-headers"
_CREDENTIALS: Final = (b"access-control-allow-credentials", b"true")
_PRIVATE: Final = (b"access-control-allow-private-network", b"true")


class Cors:
    """One policy."""

    __slots__ = (
        "__weakref__",
        "_allow_headers",
        "_allow_methods",
        "_allow_private",
        "_draw",
        "_exposed",
        "_forwards_others",
        "_has_credentials",
        "_matches",
        "_max_age",
        "_share",
    )

    def __init__(self, settings: CorsSettings, rng: Random) -> None:
        """Raises ConfigError for a regular expression that RE2 does not take."""
        matches = tuple(compile_string_match(match) for match in settings.allow_origins)
        self._matches = _with_star(matches)
        self._allow_methods = settings.allow_methods.encode()
        self._allow_headers = settings.allow_headers.encode()
        self._exposed = settings.expose_headers.encode()
        self._max_age = settings.max_age.encode()
        self._has_credentials = bool(settings.allow_credentials)
        self._allow_private = bool(settings.allow_private_network)
        self._forwards_others = settings.forward_not_matching_preflights is not False
        self._share = settings.enabled.share
        self._draw: Callable[[], float] = rng.random

    def on_request(self, request: FilteredRequest) -> LocalReply | None:
        headers = request.head.headers
        origin = joined_value(headers, _ORIGIN)
        if not origin or not request.is_forwarded or (self._share < 1.0 and self._draw() >= self._share):
            return None
        is_allowed = any(matches(origin) for matches in self._matches)
        asked = joined_value(headers, _ASKED_METHOD) if request.head.method == b"OPTIONS" else b""
        if asked and (is_allowed or not self._forwards_others):
            return LocalReply(200, headers=self._preflight(headers, origin if is_allowed else b"", asked))
        if is_allowed:
            request.after(partial(self._mark, origin))
        return None

    def _preflight(self, headers: Headers, origin: bytes, method: bytes) -> Headers:
        """`origin` is empty when it is not allowed."""
        fields = [(_ALLOW_ORIGIN, origin)] if origin else []
        if self._has_credentials:
            fields.append(_CREDENTIALS)
        if self._allow_methods:
            allowed = method if self._allow_methods == b"*" else self._allow_methods
            fields.append((b"access-control-allow-methods", allowed))
        if self._allow_headers:
            is_any = self._allow_headers == b"*"
            allowed = joined_value(headers, _ASKED_HEADERS) if is_any else self._allow_headers
            fields.append((b"access-control-allow-headers", allowed))
        if self._max_age:
            fields.append((b"access-control-max-age", self._max_age))
        if self._allow_private and joined_value(headers, _ASKED_PRIVATE) == b"true":
            fields.append(_PRIVATE)
        if origin and self._exposed:
            fields.append((_EXPOSE, self._exposed))
        return tuple(fields)

    def _mark(self, origin: bytes, answer: Answer) -> None:
        """The answer to an allowed origin; the upstream's own words give way."""
        answer.forward = with_field(answer.forward, _ALLOW_ORIGIN, origin)
        if self._has_credentials:
            answer.forward = with_field(answer.forward, *_CREDENTIALS)
        if self._exposed:
            answer.forward = with_field(answer.forward, _EXPOSE, self._exposed)


def _with_star(matches: tuple[BytesPredicate, ...]) -> tuple[BytesPredicate, ...]:
    """As in Envoy, a pattern that takes the text `*` takes every origin."""
    if any(matches_text(b"*") for matches_text in matches):
        return (lambda origin: True,)
    return matches
