"""HTTPRoute: a Service as parent, path matches, weighted backends."""

import pytest

from control_plane.resources.http_route import HttpRoute
from tests.unit.control_plane.resources.refusal import causes, manifest, with_spec

ROUTE = manifest("""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: catalog, port: 8080}]
  rules:
  - matches: [{path: {type: Exact, value: /items}}, {path: {value: /shop/}}]
    backendRefs: [{name: catalog-v1, port: 8080, weight: 0}, {name: catalog-v2, port: 8080}]
  - name: rest
    backendRefs: [{group: "", kind: Service, name: catalog, port: 8080, namespace: other, weight: 1000000}]
""")
PARENT = {"group": "", "kind": "Service", "name": "catalog"}


def test_defaults() -> None:
    first, second = HttpRoute.parse(ROUTE).spec.rules
    assert [match.path.type for match in first.matches] == ["Exact", "PathPrefix"]
    assert [backend.weight for backend in first.backend_refs] == [0, 1]
    assert [(match.path.type, match.path.value) for match in second.matches] == [("PathPrefix", "/")]


def test_status_of_any_parent_is_accepted() -> None:
    parent = {"parentRef": {"name": "catalog"}, "controllerName": "meshproxy.io/controller"}
    condition = {"type": "Accepted", "status": "True", "reason": "Accepted", "observedGeneration": 1}
    status = {"parents": [{**parent, "conditions": [condition]}]}
    assert causes({**ROUTE, "status": status}) == {}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"hostnames": ["a"]}, "spec.hostnames", "not supported yet"),
        ({"parentRefs": [{"name": "gw"}]}, "spec.parentRefs[0].group", "required"),
        ({"parentRefs": [{**PARENT, "kind": "Gateway"}]}, "spec.parentRefs[0].kind", "only kind Service"),
        ({"parentRefs": [{**PARENT, "group": "g"}]}, "spec.parentRefs[0].group", "only group"),
        ({"parentRefs": [{**PARENT, "sectionName": "x"}]}, "spec.parentRefs[0].sectionName", "not supported"),
        ({"parentRefs": []}, "spec.parentRefs", "at least 1"),
        ({"parentRefs": [PARENT] * 33}, "spec.parentRefs", "at most 32"),
        ({"rules": []}, "spec.rules", "at least 1"),
        ({"rules": [{"timeouts": {}}]}, "spec.rules[0].timeouts", "not supported yet"),
        ({"rules": [{"filters": []}]}, "spec.rules[0].filters", "not supported yet"),
    ],
)
def test_refuses(spec: dict[str, object], field: str, message: str) -> None:
    assert message in causes(with_spec(ROUTE, **spec))[field]


@pytest.mark.parametrize(
    ("match", "field"),
    [
        ({"headers": []}, "headers"),
        ({"method": "GET"}, "method"),
        ({"path": {"type": "RegularExpression", "value": "/.*"}}, "path.type"),
        ({"path": {"type": "Prefix"}}, "path.type"),
        ({"path": {"value": "items"}}, "path.value"),
        ({"path": {"value": "/a//b"}}, "path.value"),
        ({"path": {"value": "/a/.."}}, "path.value"),
        ({"path": {"value": "/a?b"}}, "path.value"),
        ({"path": {"value": "/" + "a" * 1024}}, "path.value"),
    ],
)
def test_refuses_matches(match: dict[str, object], field: str) -> None:
    assert causes(with_spec(ROUTE, rules=[{"matches": [match]}])).keys() == {
        f"spec.rules[0].matches[0].{field}"
    }


@pytest.mark.parametrize(
    ("backend", "field"),
    [
        ({"weight": -1}, "weight"),
        ({"weight": 1_000_001}, "weight"),
        ({"weight": "1"}, "weight"),
        ({"kind": "ServiceImport"}, "kind"),
        ({"group": "multicluster.x-k8s.io"}, "group"),
        ({"port": None}, "port"),
        ({"filters": []}, "filters"),
        ({"name": "1"}, "name"),
    ],
)
def test_refuses_backends(backend: dict[str, object], field: str) -> None:
    changed = with_spec(ROUTE, rules=[{"backendRefs": [{"name": "a", "port": 1, **backend}]}])
    assert causes(changed).keys() == {f"spec.rules[0].backendRefs[0].{field}"}
