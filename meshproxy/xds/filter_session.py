"""StatefulSession -> its value in the model (pure)."""

from __future__ import annotations

from typing import Final

from control_plane.api.envoy.extensions.filters.http.stateful_session.v3.stateful_session_pb2 import (
    StatefulSession,
    StatefulSessionPerRoute,
)
from control_plane.api.envoy.extensions.http.stateful_session.cookie.v3.cookie_pb2 import (
    CookieBasedSessionState,
)
from control_plane.api.envoy.extensions.http.stateful_session.header.v3.header_pb2 import (
    HeaderBasedSessionState,
)
from control_plane.api.envoy.type.http.v3.cookie_pb2 import Cookie
from meshproxy.config.http_filter import CookieSession, HeaderSession, SessionSettings
from meshproxy.http.syntax import is_token
from meshproxy.xds.head_edit import field_name
from meshproxy.xds.strict import require, seconds, type_name, unpack

_HEADER: Final = HeaderBasedSessionState.DESCRIPTOR.full_name


def translate_route_session(
    session: StatefulSessionPerRoute, path: str, place: str
) -> SessionSettings | None:
    """None switches it off. Raises ConfigError."""
    kind = session.WhichOneof("override")
    require(kind is not None, path, "disabled or stateful_session is needed")
    if kind == "disabled":
        require(session.disabled, f"{path}.disabled", "can only be true")
        return None
    return translate_session(session.stateful_session, f"{path}.stateful_session", place)


def translate_session(session: StatefulSession, path: str, place: str) -> SessionSettings | None:
    """None without a state. Raises ConfigError."""
    if not session.HasField("session_state"):
        return None
    packed = session.session_state.typed_config
    path = f"{path}.session_state.typed_config"
    if type_name(packed) == _HEADER:
        name = unpack(packed, HeaderBasedSessionState, path).name
        return SessionSettings(HeaderSession(field_name(name, f"{path}.name")), session.strict)
    cookie = unpack(packed, CookieBasedSessionState, path).cookie
    return SessionSettings(_cookie(cookie, f"{path}.cookie"), session.strict)


def _cookie(cookie: Cookie, path: str) -> CookieSession:
    require(is_token(cookie.name.encode()), f"{path}.name", f"{cookie.name!r} is no cookie name")
    _check_attribute(cookie.path, f"{path}.path")
    for index, attribute in enumerate(cookie.attributes):
        where = f"{path}.attributes[{index}]"
        require(is_token(attribute.name.encode()), f"{where}.name", f"{attribute.name!r} is no name")
        _check_attribute(attribute.value, f"{where}.value")
    return CookieSession(
        cookie.name,
        ttl=int(seconds(cookie.ttl, f"{path}.ttl")),  # whole ones: Envoy leaves the rest out
        path=cookie.path,
        attributes=tuple((attribute.name, attribute.value) for attribute in cookie.attributes),
    )


def _check_attribute(value: str, path: str) -> None:
    """RFC 6265 section 4.1.1: no control characters, no semicolon."""
    is_clean = value.isascii() and (value.isprintable() or not value) and ";" not in value
    require(is_clean, path, f"{value!r} cannot be an attribute of a cookie")
