"""What a GRPCRoute may say."""

import pytest

from control_plane.resources.grpc_route import GrpcRoute
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest
from tests.unit.control_plane import manifest_builder as build


def _method(**fields: str) -> Manifest:
    return build.call_rule(build.backend("v1"), methods=[fields])


def _filters(*filters: Manifest) -> Manifest:
    return build.call_rule(build.backend("v1"), filters=list(filters))


SET: Manifest = {"set": [{"name": "a", "value": "b"}]}
REQUEST: Manifest = {"type": "RequestHeaderModifier", "requestHeaderModifier": SET}
RESPONSE: Manifest = {"type": "ResponseHeaderModifier", "responseHeaderModifier": SET}
MIRROR: Manifest = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "v2", "port": 8080}}}


@pytest.mark.parametrize(
    "rule",
    [
        {},
        _method(service="shop.v1.Catalog", method="List"),
        _method(service=".shop.Catalog_2"),
        _method(method="_list"),
        _method(type="RegularExpression", service=r"shop\..*", method="Get|List"),
        _filters(REQUEST, RESPONSE, MIRROR, MIRROR),
        build.call_rule({**build.backend("v1"), "filters": [REQUEST]}, name="first"),
        {"matches": [{"headers": [{"name": "a", "value": "b.*", "type": "RegularExpression"}]}]},
        build.call_rule(build.backend("v1"), sessionPersistence={}),
    ],
)
def test_accepted(rule: Manifest) -> None:
    assert GrpcRoute.parse(build.grpc_route("r", rule)).spec.rules


def test_a_route_may_have_no_rules() -> None:
    assert GrpcRoute.parse(build.grpc_route("r")).spec.rules == ()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (_method(), "one or both of service and method must be given"),
        (_method(service="", method=""), "one or both of service and method must be given"),
        (_method(service="shop/Catalog"), "must be names of letters, digits and '_', joined by '.'"),
        (_method(service="1shop"), "not beginning with a digit"),
        (_method(method="a.b"), "must be letters, digits and '_'"),
        (_method(type="Prefix", service="a"), "RegularExpression"),
        (_method(type="RegularExpression", service="("), "must be a regular expression (RE2)"),
        (_method(type="RegularExpression", service=r"\Qa"), "must be a regular expression (RE2)"),
        (_method(type="RegularExpression", method="a)(b"), "must be a regular expression (RE2)"),
        (_filters(REQUEST, REQUEST), "RequestHeaderModifier filter cannot be repeated"),
        (_filters({"type": "RequestMirror"}), "requestMirror: required when type is RequestMirror"),
        (
            _filters({**REQUEST, "responseHeaderModifier": SET}),
            "responseHeaderModifier: only allowed when type is ResponseHeaderModifier",
        ),
        (_filters({"type": "ExtensionRef"}), "ExtensionRef is not supported"),
        (_filters({"type": "URLRewrite"}), "must be one of RequestHeaderModifier"),
        (build.call_rule(methods=[{"service": "a"}] * 65), "at most 64"),
        ({"timeouts": {}}, "timeouts"),
    ],
)
def test_refused(rule: Manifest, message: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        GrpcRoute.parse(build.grpc_route("r", rule))
    assert message in str(refused.value)


def test_rules_have_names_of_their_own_and_a_limit_together() -> None:
    with pytest.raises(InvalidResource, match="rule name 'a' must be unique"):
        GrpcRoute.parse(build.grpc_route("r", {"name": "a"}, {"name": "a"}))
    many = build.call_rule(methods=[{"service": "a"}] * 43)
    with pytest.raises(InvalidResource, match="129 matches in all rules"):
        GrpcRoute.parse(build.grpc_route("r", many, many, many))
