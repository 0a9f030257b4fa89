"""Requests above limits and amounts below zero are refused, wherever containers are declared."""

import pytest

from control_plane.apiserver.resource_amounts import check_amounts
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import parse


def pod_spec(resources: Manifest) -> Manifest:
    """Of a second container."""
    return {"containers": [{"name": "a"}, {"name": "b", "resources": resources}], "restartPolicy": "Never"}


def pod(spec: Manifest) -> Manifest:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


def causes(manifest: Manifest) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in check_amounts(parse(manifest), None)]


@pytest.mark.parametrize(
    "resources",
    [
        {},
        {"limits": {"cpu": 1}},
        {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2000m", "memory": "1024Mi"}},
        {"requests": {"cpu": 0.5, "example.com/gpu": 1}, "limits": {"cpu": "1"}},
    ],
)
def test_what_a_cluster_takes(resources: Manifest) -> None:
    assert causes(pod(pod_spec(resources))) == []


def test_a_request_above_its_limit() -> None:
    resources = {"requests": {"cpu": "2", "memory": "1Mi"}, "limits": {"cpu": "1500m", "memory": "1Mi"}}
    field = "spec.containers[1].resources.requests.cpu"
    message = "invalid value '2': must be less than or equal to the limit of 1500m"
    assert causes(pod(pod_spec(resources))) == [(field, message)]


def test_an_amount_below_zero() -> None:
    field = "spec.containers[1].resources.limits.cpu"
    expected = [(field, "invalid value '-1': must be greater than or equal to 0")]
    assert causes(pod(pod_spec({"limits": {"cpu": "-1"}}))) == expected


@pytest.mark.parametrize(
    ("api_version", "kind"), [("apps/v1", "Deployment"), ("apps/v1", "ReplicaSet"), ("batch/v1", "Job")]
)
def test_templates(api_version: str, kind: str) -> None:
    init = {"name": "i", "resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}
    restart = "Never" if kind == "Job" else "Always"
    spec = {**pod_spec({}), "initContainers": [init], "restartPolicy": restart}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    whole: Manifest = {"template": template}
    if kind != "Job":
        whole["selector"] = {"matchLabels": {"a": "b"}}
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": whole}
    [(field, _)] = causes(manifest)
    assert field == "spec.template.spec.initContainers[0].resources.requests.memory"


def test_other_kinds_have_no_containers() -> None:
    assert causes({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}) == []
