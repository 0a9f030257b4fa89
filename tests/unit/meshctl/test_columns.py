"""What `meshctl get` shows of each kind."""

from datetime import UTC, datetime

import pytest

from control_plane.resources.manifest import Manifest
from meshctl.columns import age, table

CREATED = "2026-01-01T00:00:00Z"
NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC).timestamp()


def manifest(api_version: str, kind: str, name: str = "a", **rest: object) -> Manifest:
    metadata = {"name": name, "namespace": "shop", "creationTimestamp": CREATED}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (172_799, "47h"),
        (172_800, "2d"),
    ],
)
def test_ages_are_in_the_largest_unit_that_is_not_too_coarse(seconds: int, shown: str):
    assert age(CREATED, datetime(2026, 1, 1, tzinfo=UTC).timestamp() + seconds) == shown


def test_an_age_that_is_not_known_is_said_so():
    assert age("", NOW) == "<unknown>"


def test_kinds_without_columns_show_name_and_age():
    item = manifest("v1", "ServiceAccount")
    assert table("ServiceAccount", [item], NOW, wide=False, namespaces=False) == [
        ["NAME", "AGE"],
        ["a", "5m"],
    ]
    shown = table("ServiceAccount", [item], NOW, wide=False, namespaces=True)
    assert shown == [["NAMESPACE", "NAME", "AGE"], ["shop", "a", "5m"]]


def test_pods():
    status = {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "containerStatuses": [{"name": "a", "ready": True, "restartCount": 2}],
        "initContainerStatuses": [{"name": "b", "ready": True, "restartCount": 1}],
    }
    spec = {"containers": [{"name": "a"}, {"name": "c"}], "nodeName": "node"}
    rows = table("Pod", [manifest("v1", "Pod", spec=spec, status=status)], NOW, wide=True, namespaces=False)
    assert rows[0] == ["NAME", "READY", "STATUS", "RESTARTS", "IP", "NODE", "AGE"]
    assert rows[1] == ["a", "1/2", "Running", "3", "10.0.0.1", "node", "5m"]
    narrow = table(
        "Pod", [manifest("v1", "Pod", spec=spec, status=status)], NOW, wide=False, namespaces=False
    )
    assert narrow[1] == ["a", "1/2", "Running", "3", "5m"]


def test_services():
    spec = {"selector": {"app": "a"}, "clusterIP": "10.96.0.1", "ports": [{"port": 80}]}
    rows = table("Service", [manifest("v1", "Service", spec=spec)], NOW, wide=True, namespaces=False)
    assert rows[1] == ["a", "ClusterIP", "10.96.0.1", "80/TCP", "app=a", "5m"]


def test_deployments():
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    status = {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}
    item = manifest("apps/v1", "Deployment", spec=spec, status=status)
    assert table("Deployment", [item], NOW, wide=False, namespaces=False)[1] == ["a", "1/2", "2", "1", "5m"]


def test_endpoint_slices_show_some_addresses():
    endpoints = [{"addresses": [f"10.0.0.{number}"]} for number in range(1, 6)]
    item = manifest(
        "discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4", ports=[{"port": 80}], endpoints=endpoints
    )
    rows = table("EndpointSlice", [item], NOW, wide=False, namespaces=False)
    assert rows[1] == ["a", "IPv4", "80", "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more", "5m"]


def test_config_maps():
    item = manifest("v1", "ConfigMap", data={"a": "1", "b": "2"})
    assert table("ConfigMap", [item], NOW, wide=False, namespaces=False)[1] == ["a", "2", "5m"]


def condition(kind: str, status: str, message: str) -> Manifest:
    return {"type": kind, "status": status, "reason": "R", "message": message, "lastTransitionTime": CREATED}


def test_routes_show_the_worst_of_their_conditions_and_why():
    parents = [{"group": "", "kind": "Service", "name": name} for name in ("one", "two")]
    spec = {"parentRefs": parents, "rules": [{"backendRefs": [{"name": "b", "port": 80, "weight": 9}]}]}
    statuses = [
        {
            "parentRef": parents[0],
            "controllerName": "c/d",
            "conditions": [condition("Accepted", "True", "ok"), condition("ResolvedRefs", "False", "gone")],
        },
        {
            "parentRef": parents[1],
            "controllerName": "c/d",
            "conditions": [condition("Accepted", "False", "no"), condition("ResolvedRefs", "False", "gone")],
        },
    ]
    item = manifest("gateway.networking.k8s.io/v1", "HTTPRoute", spec=spec, status={"parents": statuses})
    rows = table("HTTPRoute", [item], NOW, wide=True, namespaces=False)
    assert rows[1] == ["a", "one,two", "b:9", "False", "False", "gone; no", "5m"]
    del item["status"]
    assert table("HTTPRoute", [item], NOW, wide=False, namespaces=False)[1][3:5] == ["Unknown", "Unknown"]


def test_calls_are_routed_in_the_same_columns() -> None:
    spec = {"parentRefs": [{"name": "one"}], "rules": [{"backendRefs": [{"name": "b", "port": 1}]}]}
    item = manifest("gateway.networking.k8s.io/v1", "GRPCRoute", spec=spec)
    rows = table("GRPCRoute", [item], NOW, wide=False, namespaces=False)
    assert rows[1][:3] == ["a", "one", "b:1"]
