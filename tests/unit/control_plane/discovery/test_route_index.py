"""Routes and grants by what they refer to."""

from dataclasses import replace

from control_plane.discovery.model import ObjectName
from control_plane.discovery.parse_route import parse_route, reference_grant
from control_plane.discovery.registry import Registry
from control_plane.discovery.route import Backend, HttpRoute, ObjectRef, RouteRule
from control_plane.discovery.route_index import key_of
from control_plane.resources.manifest import Manifest, ObjectKey
from control_plane.resources.reference_grant import ReferenceGrant
from tests.unit.control_plane import manifest_builder as build

CATALOG = ObjectName("shop", "catalog")
V1 = ObjectName("shop", "v1")


def _http(manifest: Manifest) -> HttpRoute:
    route, _ = parse_route(manifest)
    assert isinstance(route, HttpRoute)
    return route


def test_routes_are_found_by_parent_and_by_backend() -> None:
    registry = Registry()
    one = _http(build.route("one", build.rule(build.backend("v1"))))
    registry.routes.put(one)
    assert registry.routes_attached_to(CATALOG) == (one,)
    assert registry.routes.referring_to(V1) == {key_of(one)}
    moved = _http(build.route("one", parent="web"))
    registry.routes.put(moved)
    assert registry.routes_attached_to(CATALOG) == ()
    assert registry.routes.referring_to(V1) == frozenset()
    registry.routes.remove(key_of(moved))
    registry.routes.remove(key_of(moved))
    assert registry.routes.get(key_of(moved)) is None
    assert registry.routes_attached_to(ObjectName("shop", "web")) == ()


def test_every_change_of_a_route_is_a_new_revision() -> None:
    registry = Registry()
    before = registry.revision
    registry.routes.put(_http(build.route("one")))
    assert registry.revision > before


def test_references_to_other_kinds_attach_nowhere() -> None:
    registry = Registry()
    parsed = _http(build.route("one"))
    foreign = ObjectRef("example.com", "Bucket", CATALOG)
    rule = RouteRule(parsed.rules[0].matches, (Backend(foreign, 1),))
    registry.routes.put(replace(parsed, parents=(foreign,), rules=(rule,)))
    assert registry.routes_attached_to(CATALOG) == ()
    assert registry.routes.referring_to(CATALOG) == frozenset()
    registry.routes.remove(key_of(parsed))
    assert registry.routes.get(key_of(parsed)) is None


def test_routes_of_gateways_are_found_by_gateway() -> None:
    registry = Registry()
    route = _http(build.route("one", parents=[{"name": "gw", "namespace": "infra"}]))
    registry.routes.put(route)
    assert registry.routes.attached_to_gateway(ObjectName("infra", "gw")) == (route,)
    assert registry.routes_attached_to(ObjectName("infra", "gw")) == ()


def test_mirrors_are_backends_too() -> None:
    registry = Registry()
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "v1", "port": 8080}}}
    in_rule = build.route("rule", {**build.rule(build.backend("catalog")), "filters": [mirror]})
    in_backend = build.route("backend", build.rule({**build.backend("catalog"), "filters": [mirror]}))
    for manifest in (in_rule, in_backend):
        registry.routes.put(_http(manifest))
    assert {key.name for key in registry.routes.referring_to(V1)} == {"rule", "backend"}


def test_grants_belong_to_their_namespace_and_concern_routes_that_cross_into_it() -> None:
    registry = Registry()
    manifest = build.reference_grant("let", namespace="other", from_namespace="shop")
    grant = reference_grant(ReferenceGrant.parse(manifest))
    registry.routes.put_grant(grant)
    registry.routes.put(_http(build.route("crossing", build.rule(build.backend("v1", namespace="other")))))
    registry.routes.put(_http(build.route("staying")))
    assert registry.grants_of("other") == (grant,)
    assert registry.grants_of("shop") == ()
    assert registry.routes.crossing_into("other") == {ObjectKey("HTTPRoute", "shop", "crossing")}
    registry.routes.remove_grant(grant.key)
    assert registry.routes.grant(grant.key) is None


def test_routes_of_streams_may_displace_each_other_http_routes_yield_to_nobody() -> None:
    registry = Registry()
    http = _http(build.route("http"))
    tcp, _ = parse_route(build.stream_route("TCPRoute", "tcp", build.backend("catalog")))
    for route in (http, tcp):
        registry.routes.put(route)
    assert registry.routes.rivals_of(http) == {key_of(http), key_of(tcp)}
    assert registry.routes.rivals_of(tcp) == {key_of(tcp)}
