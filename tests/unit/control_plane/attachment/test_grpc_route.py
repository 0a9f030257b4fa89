"""What GRPCRoutes, and HTTPRoutes that meet them, are told about their parents."""

import pytest

from control_plane.attachment.condition import RouteCondition
from control_plane.index import Index
from control_plane.resources.manifest import Manifest, ObjectKey, key_of
from control_plane.status import parent_statuses
from tests import gateway_mesh as gw
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.attachment.routes import index_of

V1 = build.service("v1", {"name": "grpc", "port": 8080}, vip="10.96.0.11")
RULE = build.call_rule(build.backend("v1"))
GATEWAY: list[Manifest] = [{"name": "gw", "namespace": "edge"}]


def told(index: Index, route: Manifest) -> dict[str, RouteCondition]:
    parsed = index.registry.routes.get(key_of(route))
    assert parsed is not None
    return {one.type: one for one in parent_statuses(parsed, index.registry)[0]}


def verdict(index: Index, route: Manifest) -> tuple[bool, str]:
    found = told(index, route)["Accepted"]
    return found.status, found.reason


def test_a_port_that_declares_http_takes_calls() -> None:
    route = build.grpc_route("r", RULE, parents=[build.service_parent(port=8080)])
    found = told(index_of(V1, route), route)
    assert found["Accepted"].status
    assert found["ResolvedRefs"].status


@pytest.mark.parametrize("port", [7000, 9000])
def test_calls_on_other_ports_are_not_looked_at(port: int) -> None:
    route = build.grpc_route("r", RULE, parents=[build.service_parent(port=port)])
    found = told(index_of(V1, route), route)["Accepted"]
    assert (found.status, found.reason) == (False, "NoMatchingParent")
    assert "name it grpc" in found.message


def test_a_backend_must_declare_http2() -> None:
    route = build.grpc_route("r", build.call_rule(build.backend("catalog")))
    found = told(index_of(route), route)["ResolvedRefs"]
    assert (found.status, found.reason) == (False, "UnsupportedProtocol")
    assert "is not declared HTTP/2: name it grpc" in found.message
    assert found.message.endswith("their share of calls answers UNAVAILABLE")


def test_an_http_route_of_the_same_port_yields_and_is_told() -> None:
    parents = [build.service_parent(port=8080)]
    http = build.route("http", parents=parents)
    call = build.grpc_route("call", RULE, created=build.LATE, parents=parents)
    index = index_of(V1, http, call)
    assert verdict(index, http) == (False, "Conflicted")
    assert verdict(index, call) == (True, "Accepted")
    assert "GRPCRoute shop/call" in told(index, http)["Accepted"].message


def test_an_http_route_that_can_do_nothing_is_told_that() -> None:
    bad = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["te"]}}
    http = build.route("http", {**build.rule(build.backend("v1")), "filters": [bad]})
    other = build.route("other", build.rule(build.backend("v1")))
    assert verdict(index_of(V1, http, other), http) == (False, "UnsupportedValue")


# --- at a gateway -------------------------------------------------------------------------------------------


def at_gateway(*routes: Manifest) -> Index:
    return gw.index_of(gw.gateway(gw.listener("web", 80)), V1, *routes)


def http(name: str, host: str, created: str = build.EARLY) -> Manifest:
    made = build.route(name, build.rule(build.backend("v1")), parents=GATEWAY, created=created)
    made["spec"]["hostnames"] = [host]  # type: ignore[index]
    return made


def call(name: str, host: str, created: str = build.EARLY) -> Manifest:
    return build.grpc_route(name, RULE, parents=GATEWAY, hostnames=[host], created=created)


def test_of_two_kinds_with_a_host_in_common_the_older_is_attached() -> None:
    old, new = call("old", "*.example.com"), http("new", "a.example.com", build.LATE)
    index = at_gateway(old, new)
    assert verdict(index, old) == (True, "Accepted")
    assert verdict(index, new) == (False, "Conflicted")
    assert "GRPCRoute shop/old is older" in told(index, new)["Accepted"].message
    assert verdict(at_gateway(http("a", "x.y"), call("b", "x.y")), call("b", "x.y")) == (False, "Conflicted")


def test_kinds_without_a_host_in_common_are_both_attached() -> None:
    one, other = call("one", "a.example.com"), http("other", "b.example.com", build.LATE)
    index = at_gateway(one, other)
    assert verdict(index, one) == verdict(index, other) == (True, "Accepted")


def test_who_is_not_attached_takes_no_host() -> None:
    first = http("first", "a.example.com")
    second = call("second", "*.example.com", "2026-01-15T00:00:00Z")
    third = http("third", "b.example.com", build.LATE)
    index = at_gateway(first, second, third)
    assert [verdict(index, one)[0] for one in (first, second, third)] == [True, False, True]


def test_all_of_them_are_judged_again_when_one_goes() -> None:
    first, second = http("first", "a.example.com"), call("second", "*.example.com", build.LATE)
    index = at_gateway(first, second)
    change = index.delete("HTTPRoute", "shop", "first")
    assert ObjectKey("GRPCRoute", "shop", "second") in change.routes
    assert verdict(index, second) == (True, "Accepted")
