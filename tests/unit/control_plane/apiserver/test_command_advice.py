"""Who gives a container an image and no command is told at once that nothing will run."""

import pytest

from control_plane.apiserver.command_advice import advice
from control_plane.resources.base import Resource
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import parse
from tests.unit.control_plane.apiserver.conftest import Api


def manifest(kind: str, *containers: Manifest, **more: object) -> Manifest:
    spec: Manifest = {"containers": [*containers], **more}
    api_version = {"Pod": "v1", "Job": "batch/v1"}.get(kind, "apps/v1")
    if kind == "Job":
        spec["restartPolicy"] = "Never"
    if kind != "Pod":
        spec = {"template": {"metadata": {"labels": {"a": "b"}}, "spec": spec}}
    if api_version == "apps/v1":
        spec["selector"] = {"matchLabels": {"a": "b"}}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec}


def pod(*containers: Manifest, **more: object) -> Resource:
    return parse(manifest("Pod", *containers, **more))


IMAGE: Manifest = {"name": "web", "image": "nginx"}


def test_a_command_or_arguments_are_enough() -> None:
    both = ({"name": "a", "command": ["sleep"]}, {"name": "b", "args": ["sleep"]})
    assert list(advice(pod(*both), None)) == []
    assert (
        list(advice(parse({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}), None)) == []
    )


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "ReplicaSet", "Job"])
def test_an_image_alone_is_not(kind: str) -> None:
    [text] = advice(parse(manifest(kind, IMAGE)), None)
    assert text == "container 'web' will not start: a lab does not run images, give it a command"


def test_init_containers_count() -> None:
    [text] = advice(pod({"name": "a", "command": ["x"]}, initContainers=[IMAGE]), None)
    assert "'web'" in text


def test_it_is_said_once() -> None:
    assert list(advice(pod(IMAGE), pod({**IMAGE, "image": "nginx:2"}))) == []


async def test_it_travels_as_a_warning(api: Api) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    answer = await api.http.post(path, json=manifest("Deployment", IMAGE))
    assert answer.status_code == 201
    assert "container 'web' will not start" in answer.headers["warning"]
