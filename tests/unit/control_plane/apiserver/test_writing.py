"""Writing over the application: managers, patches, apply, scale, collections, dry runs."""

import asyncio
import json
from http import HTTPStatus

import pytest

from control_plane.resources.manifest import Manifest, metadata, name_of, objects, section
from tests.unit.control_plane.apiserver.conftest import Api

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
APPLY, JSON_PATCH, MERGE, STRATEGIC = (
    f"application/{name}"
    for name in ("apply-patch+yaml", "json-patch+json", "merge-patch+json", "strategic-merge-patch+json")
)


def config_map(name: str = "a", **labels: str) -> Manifest:
    meta = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"key": "1"}}


def deployment(replicas: int = 2) -> Manifest:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "a:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


async def patch(api: Api, path: str, kind: str, body: object, **params: str) -> tuple[int, Manifest]:
    content = body if isinstance(body, str) else json.dumps(body)
    answer = await api.http.patch(path, content=content, params=params, headers={"Content-Type": kind})
    return answer.status_code, answer.json()


def managers(manifest: Manifest) -> list[tuple[object, object]]:
    return [(one["manager"], one["operation"]) for one in objects(metadata(manifest), "managedFields")]


async def test_managers_are_named_by_the_query_or_the_client(api: Api) -> None:
    _, created = await api.call("POST", MAPS, config_map(), fieldManager="me")
    assert managers(created) == [("me", "Update")]
    _, changed = await api.call("PUT", f"{MAPS}/a", config_map(app="web"))
    assert managers(changed) == [("me", "Update"), ("python-httpx", "Update")]
    code, refusal = await api.call("POST", MAPS, config_map("b"), fieldManager="x" * 129)
    assert (code, "fieldManager" in str(refusal["message"])) == (HTTPStatus.UNPROCESSABLE_ENTITY, True)
    assert (await api.call("POST", MAPS, config_map("b"), dryRun="Some"))[0] == HTTPStatus.BAD_REQUEST


async def test_an_apply_creates_and_owns(api: Api) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {key: 2026-01-01}\n"
    refused = await patch(api, f"{MAPS}/a", APPLY, text)
    assert (refused[0], "fieldManager: Required" in str(refused[1]["message"])) == (422, True)
    code, created = await patch(api, f"{MAPS}/a", APPLY, text, fieldManager="me")
    assert (code, created["data"], managers(created)) == (201, {"key": "2026-01-01"}, [("me", "Apply")])
    code, again = await patch(api, f"{MAPS}/a", APPLY, text, fieldManager="me")
    assert (code, again) == (200, created)
    other = text.replace("2026-01-01", "other")
    code, refusal = await patch(api, f"{MAPS}/a", APPLY, other, fieldManager="you")
    assert (code, refusal["reason"]) == (409, "Conflict")
    assert refusal["message"] == 'Apply failed with 1 conflict: conflict with "me": .data.key'
    code, shown = await patch(api, f"{MAPS}/a", APPLY, other, fieldManager="you", force="true", dryRun="All")
    assert (code, shown["data"]) == (200, {"key": "other"})
    assert (await api.call("GET", f"{MAPS}/a"))[1] == created


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("kind: ConfigMap\nmetadata: {name: a}", "apiVersion must be set"),
        ("{: x", "error decoding YAML"),
        ("{apiVersion: v1, kind: ConfigMap, data: 1}", "data: "),
        ("- a", "must be a JSON object"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}", "the request's path says 'a'"),
    ],
)
async def test_an_apply_that_cannot_be_read_is_refused(api: Api, body: str, message: str) -> None:
    code, refusal = await patch(api, f"{MAPS}/a", APPLY, body, fieldManager="me")
    expected = 422 if message == "data: " else 400
    assert (code, message in str(refusal["message"])) == (expected, True), refusal


async def test_status_is_applied_apart(api: Api) -> None:
    await api.call("POST", DEPLOYMENTS, deployment(), fieldManager="me")
    body = {**deployment(9), "status": {"replicas": 3}}
    code, applied = await patch(api, f"{DEPLOYMENTS}/web/status", APPLY, body, fieldManager="counter")
    assert (code, section(applied, "status")["replicas"]) == (200, 3)
    assert section(applied, "spec")["replicas"] == 2
    assert ("counter", "Apply") in managers(applied)
    missing = f"{DEPLOYMENTS}/none/status"
    body["metadata"] = {"name": "none"}
    assert (await patch(api, missing, APPLY, body, fieldManager="counter"))[0] == HTTPStatus.NOT_FOUND


async def test_patches(api: Api) -> None:
    await api.call("POST", MAPS, config_map())
    path = f"{MAPS}/a"
    code, changed = await patch(api, path, JSON_PATCH, [{"op": "add", "path": "/data/b", "value": "2"}])
    assert (code, changed["data"]) == (200, {"key": "1", "b": "2"})
    code, changed = await patch(api, path, STRATEGIC, {"data": {"b": None}})
    assert (code, changed["data"]) == (200, {"key": "1"})
    stale = {"metadata": {"resourceVersion": "1"}}
    code, refusal = await patch(api, path, MERGE, stale)
    assert (code, "the object has been modified" in str(refusal["message"])) == (409, True)
    for kind, body, expected in (
        (JSON_PATCH, [{"op": "remove", "path": "/none"}], 422),
        (JSON_PATCH, {}, 400),
        (JSON_PATCH, [{"op": "replace", "path": "", "value": 1}], 400),
        (STRATEGIC, {"$patch": "no"}, 400),
        (MERGE, {"metadata": {"name": "b"}}, 400),
        (MERGE, {"bogus": 1}, 422),
        ("application/json", {}, 415),
    ):
        assert (await patch(api, path, kind, body))[0] == expected
    code, refusal = await patch(api, path, MERGE, {}, force="true")
    assert (code, "force: Forbidden" in str(refusal["message"])) == (422, True)
    assert (await patch(api, f"{MAPS}/none", MERGE, {}))[0] == HTTPStatus.NOT_FOUND


async def test_scale(api: Api) -> None:
    await api.call("POST", DEPLOYMENTS, deployment())
    path = f"{DEPLOYMENTS}/web/scale"
    _, scale = await api.call("GET", path)
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})
    assert scale["status"] == {"replicas": 0, "selector": "app=web"}
    code, changed = await api.call("PUT", path, {**scale, "spec": {"replicas": 5}}, fieldManager="hpa")
    assert (code, changed["spec"]) == (200, {"replicas": 5})
    _, found = await api.call("GET", f"{DEPLOYMENTS}/web")
    assert (section(found, "spec")["replicas"], metadata(found)["generation"]) == (5, 2)
    assert [one.get("subresource") for one in objects(metadata(found), "managedFields")] == ["scale", None]
    assert (await api.call("PUT", path, {**scale, "spec": {"replicas": 6}}))[0] == HTTPStatus.CONFLICT
    code, refusal = await patch(api, path, MERGE, {"spec": {"replicas": -1}})
    assert (code, "spec.replicas" in str(refusal["message"])) == (422, True)
    assert (await patch(api, path, MERGE, {"metadata": {"name": "x"}}))[0] == HTTPStatus.BAD_REQUEST
    assert (await patch(api, path, APPLY, {}, fieldManager="me"))[0] == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


async def test_a_collection_is_deleted_by_its_labels(api: Api) -> None:
    for name, app in (("a", "web"), ("b", "web"), ("c", "db")):
        await api.call("POST", MAPS, config_map(name, app=app))
    _, shown = await api.call("DELETE", MAPS, labelSelector="app=web", dryRun="All")
    assert [name_of(item) for item in objects(shown, "items")] == ["a", "b"]
    code, gone = await api.call("DELETE", MAPS, labelSelector="app=web")
    assert (code, gone["kind"], len(objects(gone, "items"))) == (200, "ConfigMapList", 2)
    _, left = await api.call("GET", MAPS)
    assert [name_of(item) for item in objects(left, "items")] == ["c"]


async def test_a_finalizer_holds_until_it_is_taken_away(api: Api) -> None:
    held = config_map()
    metadata(held)["finalizers"] = ["x.io/hold"]
    await api.call("POST", MAPS, held)
    code, marked = await api.call("DELETE", f"{MAPS}/a", {"propagationPolicy": "Foreground"})
    assert (code, marked["kind"]) == (HTTPStatus.ACCEPTED, "ConfigMap")
    more = {"metadata": {"finalizers": ["x.io/hold", "foregroundDeletion", "x.io/new"]}}
    code, refusal = await patch(api, f"{MAPS}/a", MERGE, more)
    assert (code, "no new finalizers can be added" in str(refusal["message"])) == (422, True)
    assert (await patch(api, f"{MAPS}/a", MERGE, {"metadata": {"finalizers": None}}))[0] == HTTPStatus.OK
    assert (await api.call("GET", f"{MAPS}/a"))[0] == HTTPStatus.NOT_FOUND


async def test_two_that_apply_the_same_new_object_both_own_it(api: Api) -> None:
    head = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n"
    texts = [f"{head}data: {{{key}: x}}" for key in "bcd"]
    writes = (patch(api, f"{MAPS}/a", APPLY, text, fieldManager=f"m{n}") for n, text in enumerate(texts))
    answers = await asyncio.gather(*writes)
    assert sorted(code for code, _ in answers) == [200, 200, 201]
    _, found = await api.call("GET", f"{MAPS}/a")
    assert found["data"] == {"b": "x", "c": "x", "d": "x"}
    assert len(managers(found)) == 3


@pytest.mark.parametrize("field", ["apiVersion", "kind"])
async def test_a_patch_that_makes_an_object_of_no_kind_at_all_is_refused(api: Api, field: str) -> None:
    await api.call("POST", MAPS, config_map())
    change = [{"op": "replace", "path": f"/{field}", "value": {"a": 1}}]
    code, refusal = await patch(api, f"{MAPS}/a", JSON_PATCH, change)
    assert (code, str(refusal["message"]).startswith(f"{field} is {{'a': 1}}")) == (400, True)
