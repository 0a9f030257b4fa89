"""What a ReplicaSet needs done to its Pods."""

from control_plane.resources.manifest import Manifest, section
from control_plane.resources.pod import Pod
from control_plane.resources.timestamp import rfc3339
from lab.controllers.replica_set import least_missed, pod_manifest
from tests.unit.lab.builders import deployment_manifest
from tests.unit.lab.builders import pod_manifest as bare_pod

NOW = 1_800_000_000.0


def pod(
    name: str,
    *,
    node: str = "a",
    phase: str = "Running",
    ready: float | None = NOW,
    cost: str = "",
    restarts: int = 0,
    created: float = NOW,
) -> Pod:
    manifest = bare_pod(name, nodeName=node)
    meta = section(manifest, "metadata")
    meta["creationTimestamp"] = rfc3339(created)
    meta["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost} if cost else {}
    container = {"name": "app", "restartCount": restarts, "ready": True, "image": "", "imageID": ""}
    conditions: list[Manifest] = []
    if ready is not None:
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(ready)}]
    manifest["status"] = {"phase": phase, "conditions": conditions, "containerStatuses": [container]}
    return Pod.parse(manifest)


def order(*pods: Pod) -> list[str]:
    return [one.metadata.name for one in least_missed(pods, len(pods))]


def test_those_go_first_that_are_missed_least() -> None:
    spread = pod("good", node="b")
    assert order(spread, pod("unbound", node="")) == ["unbound", "good"]
    assert order(spread, pod("pending", node="c", phase="Pending")) == ["pending", "good"]
    assert order(spread, pod("unready", node="c", ready=None)) == ["unready", "good"]
    assert order(spread, pod("cheap", node="c", cost="-5")) == ["cheap", "good"]
    assert order(pod("dear", cost="7"), pod("plain", cost="much")) == ["plain", "dear"]
    assert order(spread, pod("one"), pod("two"))[-1] == "good"
    assert order(pod("long", ready=NOW - 90), pod("short")) == ["short", "long"]
    assert order(pod("calm"), pod("restless", restarts=3)) == ["restless", "calm"]
    assert order(pod("old", created=NOW - 90), pod("young")) == ["young", "old"]


def test_a_pod_is_made_from_the_template_with_a_name_that_fits() -> None:
    owner = {**deployment_manifest(), "kind": "ReplicaSet"}
    made = pod_manifest(owner)
    meta = section(made, "metadata")
    assert meta["generateName"] == "web-"
    assert (meta["labels"], meta["annotations"]) == ({"app": "web"}, {"note": "kept"})
    section(owner, "metadata")["name"] = "x" * 80
    assert len(str(section(pod_manifest(owner), "metadata")["generateName"])) == 58
