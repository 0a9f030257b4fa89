"""What `meshctl get` shows of each kind."""

from datetime import UTC, datetime

from control_plane.resources.manifest import Manifest
from meshctl.columns import table

CREATED = "2026-01-01T00:00:00Z"
NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC).timestamp()


def manifest(api_version: str, kind: str, name: str = "a", **rest: object) -> Manifest:
    metadata = {"name": name, "namespace": "shop", "creationTimestamp": CREATED}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def test_kinds_without_columns_show_name_and_age():
    item = manifest("gateway.networking.k8s.io/v1", "ReferenceGrant")
    assert table("ReferenceGrant", [item], NOW, wide=False, namespaces=False) == [
        ["NAME", "AGE"],
        ["a", "5m"],
    ]
    shown = table("ReferenceGrant", [item], NOW, wide=False, namespaces=True)
    assert shown == [["NAMESPACE", "NAME", "AGE"], ["shop", "a", "5m"]]


def test_a_pod_is_shown_as_kubectl_shows_it():
    status = {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "conditions": [{"type": "Initialized", "status": "True"}],
        "containerStatuses": [{"name": "a", "ready": True, "restartCount": 2, "state": {"running": {}}}],
        "initContainerStatuses": [{"name": "b", "ready": True, "started": True, "restartCount": 1}],
    }
    spec = {
        "initContainers": [{"name": "b", "restartPolicy": "Always"}],
        "containers": [{"name": "a"}],
        "nodeName": "node",
    }
    pod = manifest("v1", "Pod", spec=spec, status=status)
    rows = table("Pod", [pod], NOW, wide=True, namespaces=False)
    assert rows[0][:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert rows[1][:7] == ["a", "2/2", "Running", "3", "5m", "10.0.0.1", "node"]
    assert table("Pod", [pod], NOW, wide=False, namespaces=False)[1] == ["a", "2/2", "Running", "3", "5m"]
    status["containerStatuses"] = [{"name": "a", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    assert table("Pod", [pod], NOW, wide=False, namespaces=False)[1][:3] == ["a", "1/2", "CrashLoopBackOff"]


def test_events_have_neither_name_nor_age():
    event = manifest("v1", "Event", type="Normal", reason="Started", message="up")
    titles = table("Event", [event], NOW, wide=False, namespaces=True)[0]
    assert titles == ["NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]


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
    assert rows[1] == ["a", "one,two", "b:9", "False", "False", "5m", "gone; no"]
    del item["status"]
    assert table("HTTPRoute", [item], NOW, wide=False, namespaces=False)[1][3:5] == ["Unknown", "Unknown"]


def test_calls_are_routed_in_the_same_columns() -> None:
    spec = {"parentRefs": [{"name": "one"}], "rules": [{"backendRefs": [{"name": "b", "port": 1}]}]}
    item = manifest("gateway.networking.k8s.io/v1", "GRPCRoute", spec=spec)
    rows = table("GRPCRoute", [item], NOW, wide=False, namespaces=False)
    assert rows[1][:3] == ["a", "one", "b:1"]
