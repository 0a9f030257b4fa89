"""`pods/binding`, graceful deletion and eviction over the application."""

from http import HTTPStatus

import pytest

from control_plane.resources.manifest import Manifest, metadata, objects, section
from tests.unit.control_plane.apiserver.conftest import Api

PODS = "/api/v1/namespaces/default/pods"


def pod(name: str = "a", **spec: object) -> Manifest:
    meta: Manifest = {"name": name, "namespace": "default"}
    containers = [{"name": "app", "image": "app:1"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers, **spec}}


def binding(**fields: object) -> Manifest:
    target = {"apiVersion": "v1", "kind": "Node", "name": "node-1"}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"}, "target": target, **fields}


async def test_a_pod_is_bound_once(api: Api) -> None:
    await api.call("POST", PODS, pod())
    path = f"{PODS}/a/binding"
    assert (await api.call("POST", path, binding(), dryRun="All"))[0] == HTTPStatus.CREATED
    assert "nodeName" not in section((await api.call("GET", f"{PODS}/a"))[1], "spec")
    code, answer = await api.call("POST", path, binding(metadata={"annotations": {"x.io/why": "free"}}))
    assert (code, answer["kind"], answer["status"]) == (HTTPStatus.CREATED, "Status", "Success")
    _, found = await api.call("GET", f"{PODS}/a")
    assert section(found, "spec")["nodeName"] == "node-1"
    assert metadata(found)["annotations"] == {"x.io/why": "free"}
    (condition,) = objects(section(found, "status"), "conditions")
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    code, refusal = await api.call("POST", path, binding())
    assert (code, refusal["reason"]) == (HTTPStatus.CONFLICT, "Conflict")
    assert refusal["message"] == (
        'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "node-1"'
    )


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"metadata": {"name": "b"}}, 400, "does not match the name on the URL"),
        ({"metadata": {"uid": "other"}}, 409, "Precondition failed: UID"),
        ({"metadata": {"resourceVersion": "1"}}, 409, "the object has been modified"),
        ({"target": {"kind": "Pod", "name": "x"}}, 422, "must be Node"),
        ({"target": {}}, 422, "target.name"),
        ({"extra": 1}, 422, "unknown field"),
    ],
)
async def test_a_binding_that_does_not_fit_is_refused(
    api: Api, fields: Manifest, code: int, message: str
) -> None:
    await api.call("POST", PODS, pod())
    found, answer = await api.call("POST", f"{PODS}/a/binding", binding(**fields))
    assert found == code
    assert message in str(answer["message"])


async def test_a_pod_on_a_node_is_deleted_by_its_kubelet(api: Api) -> None:
    _, created = await api.call("POST", PODS, pod(terminationGracePeriodSeconds=4))
    await api.call("POST", f"{PODS}/a/binding", binding())
    code, marked = await api.call("DELETE", f"{PODS}/a")
    assert (code, marked["kind"], metadata(marked)["deletionGracePeriodSeconds"]) == (200, "Pod", 4)
    other = {"gracePeriodSeconds": 0, "preconditions": {"uid": "other"}}
    code, refusal = await api.call("DELETE", f"{PODS}/a", other)
    assert (code, refusal["reason"]) == (HTTPStatus.CONFLICT, "Conflict")
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata(created)["uid"]}}
    assert (await api.call("DELETE", f"{PODS}/a", options))[0] == HTTPStatus.OK
    assert (await api.call("GET", f"{PODS}/a"))[0] == HTTPStatus.NOT_FOUND


async def test_a_pod_without_a_node_is_gone_at_once_and_cannot_be_bound_while_it_is_held(api: Api) -> None:
    await api.call("POST", PODS, pod())
    assert (await api.call("DELETE", f"{PODS}/a", gracePeriodSeconds="60"))[0] == HTTPStatus.OK
    assert (await api.call("GET", f"{PODS}/a"))[0] == HTTPStatus.NOT_FOUND
    held = pod()
    metadata(held)["finalizers"] = ["x.io/hold"]
    await api.call("POST", PODS, held)
    await api.call("DELETE", f"{PODS}/a")
    code, refusal = await api.call("POST", f"{PODS}/a/binding", binding())
    assert (code, "is being deleted" in str(refusal["message"])) == (HTTPStatus.CONFLICT, True)


async def test_an_eviction_deletes(api: Api) -> None:
    await api.call("POST", PODS, pod())
    body: Manifest = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "b"}}
    assert (await api.call("POST", f"{PODS}/a/eviction", body))[0] == HTTPStatus.BAD_REQUEST
    assert (await api.call("POST", f"{PODS}/a/eviction", {**body, "why": 1}))[0] == HTTPStatus.BAD_REQUEST
    body["metadata"] = {"name": "a"}
    assert (await api.call("POST", f"{PODS}/a/eviction", body, dryRun="All"))[0] == HTTPStatus.CREATED
    assert (await api.call("POST", f"{PODS}/a/eviction", body))[0] == HTTPStatus.CREATED
    assert (await api.call("GET", f"{PODS}/a"))[0] == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gracePeriodSeconds": "x"}, "gracePeriodSeconds"),
        ({"propagationPolicy": "Sideways"}, "propagationPolicy"),
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, "cannot be both set"),
        ({"bogus": 1}, "unknown field"),
    ],
)
async def test_options_of_a_deletion_are_checked(api: Api, options: Manifest, message: str) -> None:
    await api.call("POST", PODS, pod())
    code, refusal = await api.call("DELETE", f"{PODS}/a", options)
    assert (code, message in str(refusal["message"])) == (HTTPStatus.UNPROCESSABLE_ENTITY, True)
