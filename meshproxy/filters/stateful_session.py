"""Requests of a session go to the endpoint of its first one (`envoy.filters.http.stateful_session`;
Gateway API GEP-1619). [4]

Where the session is bound to stands in a cookie or a header that the client sends back. While that endpoint
is fit it gets the request, whatever the balancer would choose; when it is gone the balancer chooses, and the
answer binds the session anew, unless the settings are strict: then it is 503. The answer says where the
session is bound to only when that changed. A cookie of a path is neither read nor set on requests below other
paths.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from meshproxy.config.http_filter import CookieSession, HeaderSession, SessionSettings
from meshproxy.filters.api import Answer, FilteredRequest
from meshproxy.filters.message_field import first_value, with_field
from meshproxy.filters.session_cookie import (
    decoded_address,
    decoded_cookie,
    encoded_address,
    encoded_cookie,
)
from meshproxy.routing.request_facts import cookie_value

_BEHIND_PATH: Final = (b"/", b"?", b"#")


class HeaderSessionFilter:
    """The session is in a header."""

    __slots__ = ("__weakref__", "_name", "_strict")

    def __init__(self, state: HeaderSession, *, strict: bool) -> None:
        self._name = state.name.encode()
        self._strict = strict

    def on_request(self, request: FilteredRequest) -> None:
        value = first_value(request.head.headers, self._name)
        address = decoded_address(value) if value is not None else ""
        if address:
            request.prefer_endpoint(address, strict=self._strict)
        request.after(partial(self._bind, address))

    def _bind(self, address: str, answer: Answer) -> None:
        if answer.endpoint and answer.endpoint != address:
            answer.forward = with_field(answer.forward, self._name, encoded_address(answer.endpoint))


class CookieSessionFilter:
    """The session is in a cookie."""

    __slots__ = ("__weakref__", "_attributes", "_name", "_path", "_strict", "_ttl", "_wall")

    def __init__(self, state: CookieSession, wall: Callable[[], float], *, strict: bool) -> None:
        """`wall()` is seconds since the epoch."""
        self._name = state.name.encode()
        self._path = state.path.encode() if state.path != "/" else b""
        self._ttl = state.ttl
        self._attributes = _attributes(state)
        self._strict = strict
        self._wall = wall

    def on_request(self, request: FilteredRequest) -> None:
        head = request.head
        if self._path and not self._covers(head.target):
            return
        value = cookie_value(head.headers, self._name)
        address = decoded_cookie(value, self._wall()) if value is not None else ""
        if address:
            request.prefer_endpoint(address, strict=self._strict)
        request.after(partial(self._bind, address))

    def _covers(self, target: bytes) -> bool:
        path = self._path
        if not target.startswith(path):
            return False
        behind = target[len(path) : len(path) + 1]
        return path.endswith(b"/") or not behind or behind in _BEHIND_PATH

    def _bind(self, address: str, answer: Answer) -> None:
        if not answer.endpoint or answer.endpoint == address:
            return
        expires = int(self._wall()) + self._ttl if self._ttl else 0
        value = encoded_cookie(answer.endpoint, expires)
        answer.forward += b'set-cookie: %b="%b"%b\r\n' % (self._name, value, self._attributes)


def _attributes(state: CookieSession) -> bytes:
    """In Envoy's order. No script needs the cookie: it is always `HttpOnly`."""
    parts = [f"; Max-Age={state.ttl}"] if state.ttl else []
    if state.path:
        parts.append(f"; Path={state.path}")
    parts += [f"; {name}={value}" if value else f"; {name}" for name, value in state.attributes]
    parts.append("; HttpOnly")
    return "".join(parts).encode()


def session_filter(
    settings: SessionSettings, wall: Callable[[], float]
) -> HeaderSessionFilter | CookieSessionFilter:
    """The filter for either kind of state."""
    if isinstance(settings.state, HeaderSession):
        return HeaderSessionFilter(settings.state, strict=settings.strict)
    return CookieSessionFilter(settings.state, wall, strict=settings.strict)
