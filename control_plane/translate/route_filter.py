"""HTTPRoute filters as fields of `Route`, `RouteAction`, `RedirectAction` and per-filter settings (pure)."""

from collections.abc import Iterable

from google.protobuf.wrappers_pb2 import BoolValue

from control_plane.api.envoy.config.core.v3.base_pb2 import (
    HeaderValue,
    HeaderValueOption,
    RuntimeFractionalPercent,
)
from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.api.envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy
from control_plane.api.envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute, RegexMatcher
from control_plane.api.envoy.type.matcher.v3.string_pb2 import StringMatcher
from control_plane.api.envoy.type.v3.percent_pb2 import FractionalPercent
from control_plane.discovery.route import Cors, HeaderChange, Mirror, PathReplacement, Redirect
from control_plane.translate.route_match import quoted, regex_match

HEADER_MUTATIONS = components.Route | components.WeightedCluster.ClusterWeight
"""Messages with the four fields of header mutations."""

_MILLION = 1_000_000
_REDIRECT_CODES = {
    301: components.RedirectAction.MOVED_PERMANENTLY,
    302: components.RedirectAction.FOUND,
    303: components.RedirectAction.SEE_OTHER,
    307: components.RedirectAction.TEMPORARY_REDIRECT,
    308: components.RedirectAction.PERMANENT_REDIRECT,
}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EVERY_METHOD = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")


# --- headers ------------------------------------------------------------------------------------------------


def add_header_changes(
    target: HEADER_MUTATIONS, request: HeaderChange | None, response: HeaderChange | None
) -> None:
    """Host is no header in xDS: `host_of` has it."""
    if request is not None:
        target.request_headers_to_add.extend(_added(request))
        target.request_headers_to_remove.extend(request.remove)
    if response is not None:
        target.response_headers_to_add.extend(_added(response))
        target.response_headers_to_remove.extend(response.remove)


def host_of(change: HeaderChange | None) -> str:
    """The Host that a header modifier sets; empty when it sets none."""
    return dict(change.set).get("host", "") if change else ""


def _added(change: HeaderChange) -> Iterable[HeaderValueOption]:
    for name, value in change.set:
        if name != "host":
            yield _option(name, value, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
    for name, value in change.add:
        yield _option(name, value, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD)


def _option(name: str, value: str, action: HeaderValueOption.HeaderAppendAction) -> HeaderValueOption:
    """In xDS, `%` begins a variable of the request; doubled it is itself."""
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value.replace("%", "%%")), append_action=action
    )


# --- paths --------------------------------------------------------------------------------------------------


def add_path_replacement(
    target: components.RouteAction | components.RedirectAction, replacement: PathReplacement, matched: str
) -> None:
    """Replace the path, or the `matched` prefix of it with Gateway API's rules for slashes."""
    if not replacement.only_prefix:
        _replace_all(target, _rooted(replacement.value))
        return
    prefix, new = matched.rstrip("/"), _rooted(replacement.value).rstrip("/")
    if prefix == new:
        return
    if not prefix:  # everything goes below `new`
        _substitute(target, "^/", f"{new}/")
    elif not new:  # what is left begins with exactly one slash
        _substitute(target, f"^{quoted(prefix)}/*", "/")
    else:
        target.prefix_rewrite = new


def _rooted(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _replace_all(target: components.RouteAction | components.RedirectAction, path: str) -> None:
    if isinstance(target, components.RedirectAction):
        target.path_redirect = path
    else:
        _substitute(target, "^/.*$", path)


def _substitute(
    target: components.RouteAction | components.RedirectAction, pattern: str, replacement: str
) -> None:
    target.regex_rewrite.CopyFrom(
        RegexMatchAndSubstitute(
            pattern=RegexMatcher(regex=pattern), substitution=replacement.replace("\\", "\\\\")
        )
    )


# --- redirects ----------------------------------------------------------------------------------------------


def redirect_action(redirect: Redirect, matched: str, asked_port: int) -> components.RedirectAction:
    """`asked_port`: the port that plain HTTP requests came to; without scheme and port it stays.

    A port that is its scheme's own is left out of `Location`, unless the Host names another that it replaces.
    """
    action = components.RedirectAction(
        host_redirect=redirect.host, response_code=_REDIRECT_CODES[redirect.status]
    )
    if redirect.scheme:
        action.scheme_redirect = redirect.scheme
    wanted = redirect.port or _DEFAULT_PORTS.get(redirect.scheme, asked_port)
    shown_by_host = _DEFAULT_PORTS["http"] if redirect.host else asked_port
    if wanted != _DEFAULT_PORTS[redirect.scheme or "http"]:
        action.port_redirect = wanted if redirect.host or wanted != asked_port or redirect.scheme else 0
    elif shown_by_host != _DEFAULT_PORTS["http"]:
        action.port_redirect = wanted
    if redirect.path is not None:
        add_path_replacement(action, redirect.path, matched)
    return action


# --- mirrors ------------------------------------------------------------------------------------------------


def mirror_policy(mirror: Mirror, cluster: str) -> components.RouteAction.RequestMirrorPolicy:
    """In millionths, the finest share xDS has."""
    policy = components.RouteAction.RequestMirrorPolicy(cluster=cluster)
    if mirror.numerator != mirror.denominator:
        share = FractionalPercent(
            numerator=round(mirror.numerator * _MILLION / mirror.denominator),
            denominator=FractionalPercent.MILLION,
        )
        policy.runtime_fraction.CopyFrom(RuntimeFractionalPercent(default_value=share))
    return policy


# --- CORS ---------------------------------------------------------------------------------------------------


def cors_policy(cors: Cors, *, is_envoy: bool) -> CorsPolicy:
    """A preflight of an origin that is not allowed is answered without CORS fields, not sent on.

    A browser takes `*` literally when credentials are sent. Our filter answers such requests with what they
    ask for; stock Envoy would send the star, so it gets all methods by name.
    """
    methods = cors.allow_methods
    if is_envoy and cors.allow_credentials and methods == ("*",):
        methods = _EVERY_METHOD
    return CorsPolicy(
        allow_origin_string_match=[_origin(origin) for origin in cors.allow_origins],
        allow_methods=", ".join(methods),
        allow_headers=", ".join(cors.allow_headers),
        expose_headers=", ".join(cors.expose_headers),
        max_age=str(cors.max_age),
        allow_credentials=BoolValue(value=True) if cors.allow_credentials else None,
        forward_not_matching_preflights=BoolValue(value=False),
    )


def _origin(origin: str) -> StringMatcher:
    """`*` stands for any number of labels at its left."""
    if origin == "*":
        return regex_match(".*")
    if "*" in origin:
        return regex_match(".+".join(quoted(part) for part in origin.split("*")))
    return StringMatcher(exact=origin)
