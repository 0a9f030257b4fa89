"""Rows as users of kubectl know them."""

import pytest

from control_plane.apiserver.table.document import SHAPES
from control_plane.apiserver.table.shape import human_duration, seconds_of, selector_text, since
from control_plane.resources.registry import BY_KIND

NOW = 1_700_000_000.0
CREATED = "2023-11-14T22:12:20Z"  # a minute ago


def cells(kind: str, **fields: object) -> list[object]:
    manifest = {"metadata": {"name": "x", "creationTimestamp": CREATED}, **fields}
    return SHAPES[kind].row(manifest, NOW)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (9 * 3600, "9h"),
        (47 * 3600, "47h"),
        (2 * 86400, "2d"),
        (2 * 86400 + 3600, "2d1h"),
        (9 * 86400, "9d"),
        (2 * 365 * 86400, "2y"),
        (3 * 365 * 86400 + 86400, "3y1d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_durations(seconds: float, shown: str):
    assert human_duration(seconds) == shown


def test_times():
    assert seconds_of("2023-11-14T22:13:20.500000Z") == NOW + 0.5
    assert (seconds_of("yesterday"), since(None, NOW), since(CREATED, NOW)) == (None, "<unknown>", "60s")


@pytest.mark.parametrize("kind", SHAPES)
def test_each_row_has_a_cell_for_each_column(kind: str):
    assert kind in BY_KIND
    assert len(SHAPES[kind].definitions()) == len(cells(kind))


RUNNING = {"running": {}}
CRASHED = {"waiting": {"reason": "CrashLoopBackOff"}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}


def container(name: str, state: dict, *, ready: bool = False, restarts: int = 0, **more: object) -> dict:
    return {"name": name, "state": state, "ready": ready, "restartCount": restarts, **more}


@pytest.mark.parametrize(
    ("status", "spec", "shown"),
    [
        ({"phase": "Pending"}, {}, ["0/2", "Pending", "0"]),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    container("a", RUNNING, ready=True),
                    container("b", CRASHED, restarts=3),
                ],
            },
            {},
            ["1/2", "CrashLoopBackOff", "3"],
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    container(
                        "a",
                        RUNNING,
                        ready=True,
                        restarts=1,
                        lastState={"terminated": {"finishedAt": CREATED}},
                    ),
                    container("b", {"terminated": {"exitCode": 1}}),
                ],
            },
            {},
            ["1/2", "ExitCode:1", "1 (60s ago)"],
        ),
        (
            {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [container("a", DONE), container("b", RUNNING, ready=True)],
            },
            {},
            ["1/2", "Running", "0"],
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    container("proxy", RUNNING, ready=True, started=True, restarts=2),
                    container("second", {"waiting": {"reason": "PodInitializing"}}),
                ],
            },
            {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}, {"name": "second"}]},
            ["1/3", "Init:1/2", "2"],
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [container("i", {"terminated": {"exitCode": 3, "signal": 9}})],
            },
            {"initContainers": [{"name": "i"}]},
            ["0/2", "Init:Signal:9", "0"],
        ),
        (
            {"phase": "Succeeded", "containerStatuses": [container("a", DONE), container("b", DONE)]},
            {},
            ["0/2", "Completed", "0"],
        ),
        ({"phase": "Failed", "reason": "Evicted"}, {}, ["0/2", "Evicted", "0"]),
    ],
)
def test_pods(status: dict, spec: dict, shown: list[str]):
    found = cells("Pod", spec={"containers": [{"name": "a"}, {"name": "b"}], **spec}, status=status)
    assert found[1:4] == shown


def test_a_pod_that_is_deleted():
    meta = {"name": "x", "creationTimestamp": CREATED, "deletionTimestamp": CREATED}
    for status, word in (
        ({"phase": "Running"}, "Terminating"),
        ({"phase": "Running", "reason": "NodeLost"}, "Unknown"),
        ({"phase": "Failed"}, "Failed"),
    ):
        assert SHAPES["Pod"].row({"metadata": meta, "status": status}, NOW)[2] == word


def test_services():
    ports = [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]
    spec = {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "ports": ports, "selector": {"b": "1", "a": "2"}}
    shown = ["x", "LoadBalancer", "10.0.0.1", "<pending>", "80:30080/TCP,53/UDP", "60s", "a=2,b=1"]
    assert cells("Service", spec=spec) == shown
    balancer = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    assert cells("Service", spec=spec, status=balancer)[3] == "192.0.2.1"
    other = cells("Service", spec={"type": "ExternalName", "externalName": "db.example.com"})
    assert other[1:5] == ["ExternalName", "<none>", "db.example.com", "<none>"]


def test_workloads():
    template = {"spec": {"containers": [{"name": "app", "image": "shop:1"}]}}
    selector = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "x", "operator": "Exists"},
            {"key": "y", "operator": "DoesNotExist"},
        ],
    }
    spec = {"template": template, "selector": selector}
    assert selector_text(spec) == "app=web,tier in (a,b),x,!y"
    status = {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}
    found = cells("Deployment", spec=spec, status=status)
    assert found[:7] == ["x", "1/1", 2, 1, "60s", "app", "shop:1"]
    assert cells("ReplicaSet", spec={**spec, "replicas": 3})[1:4] == [3, 0, 0]


@pytest.mark.parametrize(
    ("spec", "status", "shown"),
    [
        ({"completions": 3}, {"startTime": CREATED, "succeeded": 1}, ["Running", "1/3", "60s"]),
        ({"parallelism": 2}, {}, ["Running", "0/1 of 2", ""]),
        (
            {},
            {
                "startTime": CREATED,
                "completionTime": "2023-11-14T22:12:25Z",
                "succeeded": 1,
                "conditions": [{"type": "Complete", "status": "True"}],
            },
            ["Complete", "1/1", "5s"],
        ),
        ({}, {"conditions": [{"type": "FailureTarget", "status": "True"}]}, ["FailureTarget", "0/1", ""]),
    ],
)
def test_jobs(spec: dict, status: dict, shown: list[str]):
    assert cells("Job", spec=spec, status=status)[1:4] == shown


def test_nodes():
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [
            {"type": "InternalIP", "address": "10.0.0.2"},
            {"type": "InternalIP", "address": "fd00::2"},
        ],
        "nodeInfo": {"kubeletVersion": "v1.33.0"},
    }
    shown = ["x", "Ready", "<none>", "60s", "v1.33.0", "10.0.0.2", "<none>"]
    assert cells("Node", status=status)[:7] == shown
    assert cells("Node", spec={"unschedulable": True}, status=status)[1] == "Ready,SchedulingDisabled"
    assert cells("Node")[1] == "Unknown"


def test_events():
    event = {
        "type": "Warning",
        "reason": "BackOff",
        "message": "again\n",
        "lastTimestamp": CREATED,
        "count": 4,
        "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{app}"},
        "source": {"component": "kubelet", "host": "node-0"},
    }
    shown = ["60s", "Warning", "BackOff", "pod/web", "spec.containers{app}", "kubelet, node-0", "again"]
    found = cells("Event", **event)
    assert found[:7] == shown
    assert found[8:] == [4, "x"]


def test_endpoints_and_ingresses():
    endpoints = [{"addresses": [f"10.0.0.{number}"]} for number in range(5)]
    found = cells("EndpointSlice", addressType="IPv4", ports=[{"port": 8080}], endpoints=endpoints)
    assert found[1:4] == ["IPv4", "8080", "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more..."]
    assert cells("EndpointSlice", addressType="IPv4")[2:4] == ["<unset>", "<unset>"]
    ingress = {"ingressClassName": "mesh", "rules": [{"host": "a.example"}, {}], "tls": [{}]}
    assert cells("Ingress", spec=ingress)[1:5] == ["mesh", "a.example,*", "", "80, 443"]
    parameters = {"apiGroup": "g", "kind": "K", "name": "n"}
    assert cells("IngressClass", spec={"controller": "c", "parameters": parameters})[1:3] == ["c", "K.g/n"]


def test_kinds_of_the_mesh():
    targets = {"targetRefs": [{"kind": "Service", "name": "web"}]}
    accepted = {"conditions": [{"type": "Accepted", "status": "True"}]}
    refused = {"conditions": [{"type": "Accepted", "status": "False", "reason": "Conflicted"}]}
    for ancestors, word in (([], "Unknown"), ([accepted], "True"), ([accepted, refused], "Conflicted")):
        found = cells("TrafficPolicy", spec=targets, status={"ancestors": ancestors})
        assert found[1:3] == ["Service/web", word]
    assert cells("HTTPRoute", spec={"hostnames": ["a", "b"]})[1] == '["a","b"]'
    assert cells("PeerAuthentication", spec={"mtls": {"mode": "STRICT"}}, status=accepted)[1:3] == [
        "STRICT",
        "True",
    ]
    assert cells("ServiceEntry", spec={"hosts": ["a"], "resolution": "DNS"}, status=accepted)[1:5] == [
        "a",
        "MESH_EXTERNAL",
        "DNS",
        "True",
    ]
