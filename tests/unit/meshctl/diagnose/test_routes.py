"""Routes of any kind: whether they are attached, and where they lead."""

import pytest

from meshctl.diagnose.routes import Rule, Target, is_for, route_of
from tests.unit.meshctl.diagnose.world import route, service


def attached(**ref: object) -> dict[str, object]:
    refs = [{"group": "", "kind": "Service", "name": "catalog", **ref}]
    return {"kind": "TCPRoute", "metadata": {"name": "r", "namespace": "shop"}, "spec": {"parentRefs": refs}}


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ({}, True),
        ({"namespace": "shop"}, True),
        ({"namespace": "prod"}, False),
        ({"port": 8080}, True),
        ({"port": 80}, False),
        ({"sectionName": "http"}, True),
        ({"sectionName": "grpc"}, False),
        ({"name": "inventory"}, False),
        ({"kind": "Gateway"}, False),
    ],
)
def test_whether_a_route_is_attached_to_the_port(ref: dict[str, object], expected: bool) -> None:
    assert is_for(attached(**ref), service(), 8080) is expected


def test_where_rules_lead() -> None:
    refs = [
        {"name": "v1", "port": 80},
        {"name": "v2", "namespace": "prod", "port": 80, "weight": 0},
        {"kind": "Bucket", "name": "files"},
    ]
    rules = route({"backendRefs": refs}, {"filters": [{"type": "RequestRedirect"}]}, {}).rules
    assert rules[0] == Rule((Target("shop", "v1", 80, 1), Target("prod", "v2", 80, 0)))
    assert [rule.leads_nowhere for rule in rules] == [False, False, True]


def test_an_object_without_rules_leads_nowhere_at_all() -> None:
    assert route_of(attached()).rules == ()
