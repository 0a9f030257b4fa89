"""Fields that may not change."""

import pytest

from control_plane.apiserver.admission import check_immutable_fields
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import parse


def pod(**spec: object) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "app"}], **spec},
    }


def service(address: str) -> Manifest:
    spec = {"clusterIP": address, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": spec}


def deployment(version: str) -> Manifest:
    labels = {"app": "a", "version": version}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}


NODE = "node-0"


def bound(**spec: object) -> Manifest:
    return pod(nodeName=NODE, **spec)


def config_map(value: str, **fields: object) -> Manifest:
    data = {"a": value}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data, **fields}


def job(**spec: object) -> Manifest:
    template = {"spec": {"containers": [{"name": "app", "image": "a"}], "restartPolicy": "Never"}}
    meta = {"name": "a"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template, **spec}}


def held(deleted: bool, *finalizers: str) -> Manifest:
    meta: Manifest = {"name": "a", "finalizers": [*finalizers]}
    if deleted:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}


TOLERATION = {"key": "a", "operator": "Exists"}


@pytest.mark.parametrize(
    ("current", "wanted", "fields"),
    [
        (None, pod(), []),
        (pod(), pod(nodeName="node-0"), ["spec"]),
        (pod(schedulingGates=[{"name": "a"}]), pod(), []),
        (pod(), pod(schedulingGates=[{"name": "a"}]), ["spec.schedulingGates"]),
        (pod(nodeName="node-0"), pod(nodeName="node-0"), []),
        (pod(nodeName="node-0"), pod(nodeName="node-1"), ["spec"]),
        (pod(nodeName="node-0"), pod(), ["spec"]),
        (pod(), pod(hostname="a"), ["spec"]),
        (pod(nodeName="node-0"), pod(nodeName="node-0", hostname="a"), ["spec"]),
        (service("10.96.0.20"), service("10.96.0.20"), []),
        (service("10.96.0.20"), service("10.96.0.21"), ["spec.clusterIPs[0]"]),
        (deployment("v1"), deployment("v1"), []),
        (deployment("v1"), deployment("v2"), ["spec.selector"]),
        (bound(), bound(containers=[{"name": "app", "image": "new"}]), []),
        (bound(), bound(containers=[{"name": "other"}]), ["spec.containers"]),
        (bound(), bound(initContainers=[{"name": "more"}]), ["spec.initContainers"]),
        (bound(), bound(containers=[{"name": "app", "command": ["x"]}]), ["spec"]),
        (bound(), bound(activeDeadlineSeconds=9), []),
        (bound(activeDeadlineSeconds=9), bound(activeDeadlineSeconds=8), []),
        (bound(activeDeadlineSeconds=9), bound(activeDeadlineSeconds=10), ["spec.activeDeadlineSeconds"]),
        (bound(activeDeadlineSeconds=9), bound(), ["spec.activeDeadlineSeconds"]),
        (bound(), bound(tolerations=[TOLERATION]), []),
        (bound(tolerations=[TOLERATION]), bound(), ["spec.tolerations"]),
        (config_map("1"), config_map("2", immutable=True), []),
        (config_map("1", immutable=True), config_map("1", immutable=True), []),
        (config_map("1", immutable=True), config_map("2"), ["immutable", "data"]),
        (job(), job(parallelism=2), []),
        (
            job(),
            job(completions=2, selector={"matchLabels": {"a": "b"}}),
            ["spec.completions", "spec.selector"],
        ),
        (held(False), held(False, "x.io/a"), []),
        (held(True, "x.io/a"), held(True), []),
        (held(True, "x.io/a"), held(True, "x.io/b"), ["metadata.finalizers"]),
    ],
)
def test_immutable_fields(current: Manifest | None, wanted: Manifest, fields: list[str]) -> None:
    before = None if current is None else parse(current)
    assert [cause.field for cause in check_immutable_fields(parse(wanted), before)] == fields
