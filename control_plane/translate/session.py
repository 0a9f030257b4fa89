"""Session persistence as settings of `envoy.filters.http.stateful_session` (pure; GEP-1619)."""

import hashlib

from google.protobuf.duration_pb2 import Duration

from control_plane.api.envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
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
from control_plane.discovery.route import SessionPersistence
from control_plane.translate.tls import packed

_NAME_DIGITS = 8


def session_settings(session: SessionPersistence, rule: str) -> StatefulSessionPerRoute:
    """`rule` is unique in the mesh: sessions without a name are told apart by it."""
    name = session.name or f"x-mesh-session-{hashlib.sha256(rule.encode()).hexdigest()[:_NAME_DIGITS]}"
    state = _header_state(name) if session.by_header else _cookie_state(name, session)
    return StatefulSessionPerRoute(stateful_session=StatefulSession(session_state=state))


def _header_state(name: str) -> TypedExtensionConfig:
    return TypedExtensionConfig(
        name="envoy.http.stateful_session.header",
        typed_config=packed(HeaderBasedSessionState(name=name.lower())),
    )


def _cookie_state(name: str, session: SessionPersistence) -> TypedExtensionConfig:
    """A permanent cookie lives as long as the session may; one of the browser's session has no lifetime."""
    cookie = Cookie(name=name, path="/")
    if session.is_permanent and session.absolute_timeout:
        cookie.ttl.CopyFrom(Duration(seconds=max(1, session.absolute_timeout // 1000)))
    return TypedExtensionConfig(
        name="envoy.http.stateful_session.cookie",
        typed_config=packed(CookieBasedSessionState(cookie=cookie)),
    )
