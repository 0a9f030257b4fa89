"""Roles: who may do what, and how it is refused."""

import httpx
import pytest

from control_plane.apiserver.app import create_app
from control_plane.apiserver.authorization import is_allowed, rules_of
from control_plane.apiserver.identity import Role, current_user
from control_plane.apiserver.request_attributes import attributes_of
from tests.unit.control_plane.apiserver.conftest import ADMIN_TOKEN, Api

ALL, EDITORS, ADMIN = set(Role), {Role.ADMIN, Role.EDITOR}, {Role.ADMIN}


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("GET /api/v1/namespaces/shop/pods", ALL),
        ("GET /api/v1/pods?watch=true", ALL),
        ("GET /api/v1/nodes", ALL),
        ("GET /api/v1/namespaces/shop/pods/web/log", ALL),
        ("GET /api/v1/namespaces/shop/pods/web/status", ALL),
        ("GET /apis/apps/v1/namespaces/shop/deployments/web/scale", ALL),
        ("GET /openapi/v3/api/v1", ALL),
        ("GET /debug/syncz", ALL),
        ("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", ALL),
        ("GET /api/v1/namespaces/shop/secrets/key", EDITORS),
        ("POST /api/v1/namespaces/shop/pods", EDITORS),
        ("GET /api/v1/namespaces/shop/pods/web/exec", EDITORS),
        ("PATCH /apis/apps/v1/namespaces/shop/deployments/web/scale", EDITORS),
        ("DELETE /apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/split", EDITORS),
        ("DELETE /apis/meshproxy.io/v1alpha1/namespaces/shop/faultpolicies", EDITORS),
        ("POST /api/v1/namespaces", ADMIN),
        ("DELETE /api/v1/namespaces/shop", ADMIN),
        ("PUT /api/v1/namespaces/shop/pods/web/status", ADMIN),
        ("POST /api/v1/namespaces/shop/pods/web/binding", ADMIN),
        ("PATCH /api/v1/nodes/node-0", ADMIN),
        ("POST /apis/authentication.k8s.io/v1/tokenreviews", ADMIN),
        ("GET /metrics", ADMIN),
    ],
)
def test_who_may(line: str, allowed: set[Role]):
    method, _, target = line.partition(" ")
    url = httpx.URL(f"http://api{target}")
    attributes = attributes_of(method, url.path, dict(url.params))
    assert {role for role in Role if is_allowed(role, attributes)} == allowed


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("GET /api/v1/pods", ("list", "", "pods", "", "")),
        ("GET /api/v1/pods?watch=1", ("watch", "", "pods", "", "")),
        ("GET /api/v1/namespaces/shop", ("get", "", "namespaces", "shop", "shop")),
        ("PUT /api/v1/namespaces/shop/status", ("update", "", "namespaces/status", "shop", "shop")),
        ("GET /api/v1/namespaces/shop/pods?fieldSelector=metadata.name=a", ("list", "", "pods", "shop", "a")),
        (
            "DELETE /apis/apps/v1/namespaces/shop/deployments",
            ("deletecollection", "apps", "deployments", "shop", ""),
        ),
        (
            "PATCH /apis/apps/v1/namespaces/s/deployments/web/scale",
            ("patch", "apps", "deployments/scale", "s", "web"),
        ),
        ("POST /api/v1/namespaces/s/pods/web/exec", ("create", "", "pods/exec", "s", "web")),
    ],
)
def test_what_a_request_is_about(line: str, found: tuple[str, ...]):
    method, _, target = line.partition(" ")
    url = httpx.URL(f"http://api{target}")
    one = attributes_of(method, url.path, dict(url.params))
    assert (one.verb, one.group, one.full_resource, one.namespace, one.name) == found


@pytest.fixture
async def viewer(api: Api):
    tokens = {Role.ADMIN: ADMIN_TOKEN, Role.VIEWER: "of-a-viewer"}
    app = create_app(
        api.store, admin_token=ADMIN_TOKEN, role_tokens=tokens, token_minter=api.minter, now=lambda: 0.0
    )
    headers = {"Authorization": "bearer of-a-viewer"}
    transport = httpx.ASGITransport(app.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as http:
        yield http


async def test_a_refusal_names_user_verb_resource_and_place(viewer: httpx.AsyncClient):
    path = "/apis/apps/v1/namespaces/shop/deployments"
    answer = await viewer.delete(f"{path}/web")
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert answer.json()["message"] == (
        'deployments.apps "web" is forbidden: User "viewer" cannot delete resource "deployments" '
        'in API group "apps" in the namespace "shop"'
    )
    assert answer.json()["details"] == {"group": "apps", "kind": "deployments", "name": "web"}
    answer = await viewer.post("/api/v1/namespaces", json={})
    assert answer.json()["message"] == (
        'namespaces is forbidden: User "viewer" cannot create resource "namespaces" in API group "" at the '
        "cluster scope"
    )
    answer = await viewer.get("/secret-place")
    assert answer.json()["message"] == 'forbidden: User "viewer" cannot get path "/secret-place"'
    assert (await viewer.get("/api/v1/pods")).status_code == 200


async def ask(http: httpx.AsyncClient, group: str, plural: str, spec: dict) -> dict:
    answer = await http.post(f"/apis/{group}/v1/{plural}", json={"spec": spec})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_what_users_may_ask_about_themselves(viewer: httpx.AsyncClient):
    told = await ask(viewer, "authentication.k8s.io", "selfsubjectreviews", {})
    assert told["status"]["userInfo"]["username"] == "viewer"
    for verb, resource, allowed in (("get", "pods", True), ("delete", "pods", False), ("*", "*", False)):
        wanted = {"resourceAttributes": {"verb": verb, "resource": resource, "namespace": "shop"}}
        told = await ask(viewer, "authorization.k8s.io", "selfsubjectaccessreviews", wanted)
        assert (told["kind"], told["status"]["allowed"]) == ("SelfSubjectAccessReview", allowed)
    path = {"nonResourceAttributes": {"verb": "get", "path": "/apis/apps"}}
    told = await ask(viewer, "authorization.k8s.io", "selfsubjectaccessreviews", path)
    assert told["status"]["allowed"]
    rules = await ask(viewer, "authorization.k8s.io", "selfsubjectrulesreviews", {"namespace": "shop"})
    assert len(rules["status"]["resourceRules"]) == sum(not rule.paths for rule in rules_of(Role.VIEWER))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"spec": {}}, 422),
        ({"spec": {"resourceAttributes": {"verbs": "get"}}}, 422),
        ({"kind": "Pod", "spec": {}}, 400),
        ({"spec": {}, "more": 1}, 422),
    ],
)
async def test_reviews_that_are_refused(api: Api, body: dict, code: int):
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await api.call("POST", path, body))[0] == code


def test_outside_of_a_request_the_server_acts():
    assert current_user().role is Role.ADMIN
