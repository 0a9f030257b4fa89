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


@pytest.mark.parametrize(
    ("current", "wanted", "fields"),
    [
        (None, pod(), []),
        (pod(), pod(nodeName="node-0"), []),
        (pod(nodeName="node-0"), pod(nodeName="node-0"), []),
        (pod(nodeName="node-0"), pod(nodeName="node-1"), ["spec"]),
        (pod(nodeName="node-0"), pod(), ["spec"]),
        (pod(), pod(nodeName="node-0", hostname="a"), []),
        (pod(nodeName="node-0"), pod(nodeName="node-0", hostname="a"), ["spec"]),
        (service("10.96.0.20"), service("10.96.0.20"), []),
        (service("10.96.0.20"), service("10.96.0.21"), ["spec.clusterIPs[0]"]),
        (deployment("v1"), deployment("v1"), []),
        (deployment("v1"), deployment("v2"), ["spec.selector"]),
    ],
)
def test_immutable_fields(current: Manifest | None, wanted: Manifest, fields: list[str]) -> None:
    before = None if current is None else parse(current)
    assert [cause.field for cause in check_immutable_fields(parse(wanted), before)] == fields
