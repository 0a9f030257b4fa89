"""Filters, timeouts, retries and sessions of HTTPRoutes in xDS."""

import re

import pytest

from control_plane.api.envoy.config.core.v3.base_pb2 import HeaderValueOption
from control_plane.api.envoy.config.route.v3.route_components_pb2 import RedirectAction, Route, RouteAction
from control_plane.api.envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy
from control_plane.api.envoy.extensions.filters.http.stateful_session.v3.stateful_session_pb2 import (
    StatefulSessionPerRoute,
)
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from control_plane.api.envoy.extensions.http.stateful_session.cookie.v3.cookie_pb2 import (
    CookieBasedSessionState,
)
from control_plane.resources.manifest import Manifest
from control_plane.translate.http_filters import CORS, ROUTER, STATEFUL_SESSION, http_filters
from control_plane.translate.settings import Node
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

V1 = build.service("v1", vip="10.96.0.11")
V2 = build.service("v2", vip="10.96.0.12")


def _route(*filters: Manifest, node: Node = mesh.WEB, prefix: str = "/", **rule: object) -> Route:
    """The xDS route of one rule that sends to `v1`, unless `rule` says otherwise."""
    wanted = {**build.rule(build.backend("v1"), paths=[("PathPrefix", prefix)]), "filters": list(filters)}
    index = mesh.shop(V1, V2, build.route("r", {**wanted, **rule}))
    return mesh.virtual_host(mesh.translate(index, node), "catalog.shop").routes[0]


def _modifier(kind: str, **change: object) -> Manifest:
    return {"type": f"{kind}HeaderModifier", f"{kind.lower()}HeaderModifier": change}


def _redirect(**fields: object) -> Manifest:
    return {"type": "RequestRedirect", "requestRedirect": fields}


def _rewrite(**fields: object) -> Manifest:
    return {"type": "URLRewrite", "urlRewrite": fields}


def _mirror(name: str = "v2", **share: object) -> Manifest:
    return {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": name, "port": 8080}, **share}}


def _added(options: object) -> list[tuple[str, str, int]]:
    return [(one.header.key, one.header.value, one.append_action) for one in options]  # type: ignore[attr-defined]


SET = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
ADD = HeaderValueOption.APPEND_IF_EXISTS_OR_ADD


def test_header_modifiers_with_a_percent_sign_that_is_no_variable() -> None:
    change = {"set": [{"name": "A", "value": "50%"}], "add": [{"name": "b", "value": "2"}], "remove": ["C"]}
    route = _route(_modifier("Request", **change), _modifier("Response", **change))
    for added, removed in (
        (route.request_headers_to_add, route.request_headers_to_remove),
        (route.response_headers_to_add, route.response_headers_to_remove),
    ):
        assert _added(added) == [("a", "50%%", SET), ("b", "2", ADD)]
        assert list(removed) == ["c"]


def test_host_is_rewritten_by_either_filter_and_the_url_rewrite_goes_first() -> None:
    host = _modifier("Request", set=[{"name": "Host", "value": "a.example.com"}])
    assert _route(host).route.host_rewrite_literal == "a.example.com"
    assert not _route(host).request_headers_to_add
    both = _route(host, _rewrite(hostname="b.example.com"))
    assert both.route.host_rewrite_literal == "b.example.com"


def test_a_backends_own_filters_are_its_shares_and_run_last() -> None:
    own = [_modifier("Response", set=[{"name": "x", "value": "1"}]), _rewrite(hostname="a.b")]
    refs = [{**build.backend("v1"), "filters": own}, build.backend("v2")]
    index = mesh.shop(V1, V2, build.route("r", {"backendRefs": refs}))
    snapshot = mesh.translate(index)
    first, second = mesh.virtual_host(snapshot, "catalog.shop").routes[0].route.weighted_clusters.clusters
    assert _added(first.response_headers_to_add) == [("x", "1", SET)]
    assert (first.host_rewrite_literal, second.host_rewrite_literal) == ("a.b", "")
    assert mesh.route_table(snapshot, 8080).most_specific_header_mutations_wins


@pytest.mark.parametrize(
    ("prefix", "replacement", "asked", "becomes"),
    [
        ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz", "/foo", "/xyz"),
        ("/foo", "/xyz", "/foo/", "/xyz/"),
        ("/foo", "", "/foo/bar", "/bar"),
        ("/foo", "", "/foo/", "/"),
        ("/foo", "", "/foo", "/"),
        ("/foo", "/", "/foo/", "/"),
        ("/foo", "/", "/foo", "/"),
        ("/f.o(", "/", "/f.o(/x", "/x"),
        ("/", "/xyz", "/", "/xyz/"),
        ("/", "/xyz", "/bar", "/xyz/bar"),
        ("/", "/", "/bar", "/bar"),
        ("/foo", "/foo/", "/foo/bar", "/foo/bar"),
    ],
)
def test_a_prefix_is_replaced_as_gateway_apis_table_says(
    prefix: str, replacement: str, asked: str, becomes: str
) -> None:
    path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": replacement}
    assert _applied(_route(_rewrite(path=path), prefix=prefix).route, prefix, asked) == becomes
    redirect = _route(_redirect(path=path), prefix=prefix, backendRefs=[]).redirect
    assert _applied(redirect, prefix, asked) == becomes


def _applied(action: RouteAction | RedirectAction, prefix: str, path: str) -> str:
    """As Envoy does it: `prefix_rewrite` swaps the matched prefix, `regex_rewrite` every match."""
    if action.regex_rewrite.pattern.regex:
        return re.sub(action.regex_rewrite.pattern.regex, action.regex_rewrite.substitution, path)
    matched = prefix.rstrip("/")
    return action.prefix_rewrite + path[len(matched) :] if action.prefix_rewrite else path


def test_a_whole_path_is_replaced() -> None:
    path = {"type": "ReplaceFullPath", "replaceFullPath": "new"}
    rewritten = _route(_rewrite(path=path)).route.regex_rewrite
    assert (rewritten.pattern.regex, rewritten.substitution) == ("^/.*$", "/new")
    assert _route(_redirect(path=path), backendRefs=[]).redirect.path_redirect == "/new"


@pytest.mark.parametrize(
    ("redirect", "scheme", "host", "port"),
    [
        ({}, "", "", 0),
        ({"port": 8080}, "", "", 0),
        ({"port": 9090}, "", "", 9090),
        ({"hostname": "a.b"}, "", "a.b", 8080),
        ({"hostname": "a.b", "scheme": "https"}, "https", "a.b", 0),
        ({"hostname": "a.b", "scheme": "https", "port": 443}, "https", "a.b", 0),
        ({"hostname": "a.b", "scheme": "https", "port": 8443}, "https", "a.b", 8443),
        ({"hostname": "a.b", "port": 80}, "", "a.b", 0),
        ({"scheme": "https"}, "https", "", 443),
        ({"port": 80}, "", "", 80),
    ],
)
def test_the_port_of_a_redirect_of_requests_to_port_8080(
    redirect: Manifest, scheme: str, host: str, port: int
) -> None:
    action = _route(_redirect(**redirect), backendRefs=[]).redirect
    assert (action.scheme_redirect, action.host_redirect, action.port_redirect) == (scheme, host, port)


def test_redirects_have_their_status() -> None:
    names = {301: "MOVED_PERMANENTLY", 302: "FOUND", 303: "SEE_OTHER"}
    names |= {307: "TEMPORARY_REDIRECT", 308: "PERMANENT_REDIRECT"}
    for status, name in names.items():
        action = _route(_redirect(statusCode=status), backendRefs=[]).redirect
        assert RedirectAction.RedirectResponseCode.Name(action.response_code) == name


def test_the_only_backends_redirect_is_the_rules() -> None:
    ref = {**build.backend("v1"), "filters": [_redirect(hostname="a.b")]}
    assert _route(backendRefs=[ref]).redirect.host_redirect == "a.b"
    gone = {**build.backend("gone"), "filters": [_redirect(hostname="a.b")]}
    assert _route(backendRefs=[gone]).direct_response.status == 500


def test_mirrors_have_their_share_and_those_that_do_not_exist_are_dropped() -> None:
    mirrors = [
        _mirror(),
        _mirror(percent=0),
        _mirror(percent=5),
        _mirror(fraction={"numerator": 1, "denominator": 3}),
        _mirror("gone"),
    ]
    policies = _route(*mirrors).route.request_mirror_policies
    assert {policy.cluster for policy in policies} == {"outbound|8080||v2.shop.svc.cluster.local"}
    assert [policy.runtime_fraction.default_value.numerator for policy in policies] == [0, 50_000, 333_333]
    assert not policies[0].HasField("runtime_fraction")


def _cors(node: Node = mesh.WEB, **fields: object) -> CorsPolicy:
    route = _route({"type": "CORS", "cors": fields}, node=node)
    return CorsPolicy.FromString(route.typed_per_filter_config[CORS].value)


def test_cors_origins_with_a_star_are_patterns() -> None:
    policy = _cors(allowOrigins=["https://a.b", "http://*.a.b:8080"], allowMethods=["GET", "PUT"])
    exact, pattern = policy.allow_origin_string_match
    assert exact.exact == "https://a.b"
    for origin, matches in {
        "http://x.a.b:8080": True,
        "http://x.y.a.b:8080": True,
        "http://xaab:8080": False,
        "http://a.b:8080": False,
    }.items():
        assert bool(re.fullmatch(pattern.safe_regex.regex, origin)) is matches, origin
    assert (policy.allow_methods, policy.max_age) == ("GET, PUT", "5")
    assert _cors(allowOrigins=["*"]).allow_origin_string_match[0].safe_regex.regex == ".*"


def test_envoy_gets_methods_by_name_where_a_browser_takes_the_star_literally() -> None:
    wanted = {"allowMethods": ["*"], "allowCredentials": True}
    assert _cors(**wanted).allow_methods == "*"
    assert _cors(mesh.ENVOY, **wanted).allow_methods.startswith("GET, HEAD, POST")


@pytest.mark.parametrize(
    ("timeouts", "whole", "one_try"),
    [
        ({}, 15.0, None),
        ({"request": "0s"}, 0.0, None),
        ({"request": "1s500ms"}, 1.5, None),
        ({"backendRequest": "2s"}, 15.0, 2.0),
        ({"backendRequest": "20s"}, 0.0, 20.0),
        ({"backendRequest": "0s"}, 0.0, None),
        ({"request": "3s", "backendRequest": "0s"}, 3.0, None),
    ],
)
def test_timeouts(timeouts: Manifest, whole: float, one_try: float | None) -> None:
    action = _route(timeouts=timeouts).route
    assert action.timeout.ToTimedelta().total_seconds() == whole
    policy = action.retry_policy
    found = policy.per_try_timeout.ToTimedelta().total_seconds()
    assert (found if policy.HasField("per_try_timeout") else None) == one_try


def test_retries() -> None:
    policy = _route(retry={"codes": [500, 503], "attempts": 4, "backoff": "50ms"}).route.retry_policy
    assert policy.retry_on == "connect-failure,refused-stream,reset,retriable-status-codes"
    assert (list(policy.retriable_status_codes), policy.num_retries.value) == ([500, 503], 4)
    assert policy.retry_back_off.base_interval.ToMilliseconds() == 50
    assert policy.retry_back_off.max_interval.ToMilliseconds() == 500
    assert _route(retry={"attempts": 0}).route.retry_policy.num_retries.value == 0
    assert _route(retry={}).route.retry_policy.num_retries.value == 2


def test_sessions_by_cookie_and_by_header() -> None:
    permanent = {"absoluteTimeout": "1h", "cookieConfig": {"lifetimeType": "Permanent"}}
    route = _route(sessionPersistence={"sessionName": "s", **permanent})
    config = route.typed_per_filter_config[STATEFUL_SESSION]
    state = StatefulSessionPerRoute.FromString(config.value).stateful_session.session_state
    cookie = CookieBasedSessionState.FromString(state.typed_config.value).cookie
    assert (cookie.name, cookie.path, cookie.ttl.seconds) == ("s", "/", 3600)
    header = _route(sessionPersistence={"type": "Header"}).typed_per_filter_config[STATEFUL_SESSION]
    state = StatefulSessionPerRoute.FromString(header.value).stateful_session.session_state
    assert state.name == "envoy.http.stateful_session.header"


def test_a_rule_that_only_changes_requests_leaves_them_with_the_service() -> None:
    route = _route(_modifier("Response", set=[{"name": "a", "value": "b"}]), backendRefs=[])
    (share,) = route.route.weighted_clusters.clusters
    assert share.name == "outbound|8080||catalog.shop.svc.cluster.local"


def test_listeners_have_the_filters_that_their_routes_use_and_no_others() -> None:
    index = mesh.shop(V1, build.route("r", {"filters": [{"type": "CORS", "cors": {}}]}, port=8080))
    snapshot = mesh.translate(index)
    for listener, names in (("0.0.0.0_8080", [CORS, ROUTER]), ("10.96.0.7_9000", [ROUTER])):
        manager = hcm.HttpConnectionManager()
        mesh.listener(snapshot, listener).filter_chains[0].filters[0].typed_config.Unpack(manager)
        assert [one.name for one in manager.http_filters] == names


def test_filters_stand_in_one_order_and_unknown_ones_are_refused() -> None:
    assert [one.name for one in http_filters({STATEFUL_SESSION, CORS})] == [CORS, STATEFUL_SESSION, ROUTER]
    with pytest.raises(KeyError):
        http_filters({"envoy.filters.http.lua"})
