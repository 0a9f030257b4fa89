"""RedirectAction, DirectResponseAction -> their values in the model (pure)."""

from __future__ import annotations

from typing import Final

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from meshproxy.config.route import DirectResponse, Redirect
from meshproxy.xds.data_source import inline
from meshproxy.xds.head_edit import check_host, check_target, translate_path_rewrite
from meshproxy.xds.strict import require

_Redirect = components.RedirectAction
_SCHEMES: Final = ("http", "https")
_STATUS: Final = {
    _Redirect.MOVED_PERMANENTLY: 301,
    _Redirect.FOUND: 302,
    _Redirect.SEE_OTHER: 303,
    _Redirect.TEMPORARY_REDIRECT: 307,
    _Redirect.PERMANENT_REDIRECT: 308,
}


def translate_redirect(action: _Redirect, path: str) -> Redirect:
    """`action` has passed the strict check. Raises ConfigError."""
    require(action.port_redirect <= 65535, f"{path}.port_redirect", f"{action.port_redirect} is no port")
    if action.path_redirect:
        check_target(action.path_redirect, f"{path}.path_redirect")
    host = action.host_redirect
    return Redirect(
        status=_STATUS[action.response_code],
        scheme=_scheme(action, f"{path}.scheme_redirect"),
        host=check_host(host, f"{path}.host_redirect") if host else "",
        port=action.port_redirect,
        path=action.path_redirect,
        rewrite=translate_path_rewrite(action, action.HasField("regex_rewrite"), path),
        strip_query=action.strip_query,
    )


def _scheme(action: _Redirect, path: str) -> str:
    if action.https_redirect:
        return "https"
    scheme = action.scheme_redirect
    require(not scheme or scheme in _SCHEMES, path, f"{scheme!r} is neither http nor https")
    return scheme


def translate_direct_response(response: components.DirectResponseAction, path: str) -> DirectResponse:
    """`response` has passed the strict check. Raises ConfigError."""
    require(200 <= response.status <= 599, f"{path}.status", f"{response.status} is not from 200 to 599")
    return DirectResponse(response.status, inline(response.body, f"{path}.body"))
