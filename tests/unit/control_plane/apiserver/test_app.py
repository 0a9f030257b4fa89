"""The REST API as a client sees it: verbs, errors, selectors, dry runs, tokens."""

import asyncio

import httpx
import pytest

from control_plane.apiserver.app import create_app
from control_plane.apiserver.identity import Role, TokenUsers
from control_plane.apiserver.request_body import MAX_BODY
from control_plane.apiserver.system_object import ensure_system_objects
from control_plane.resources.manifest import Manifest, metadata, name_of, resource_version_of, section, uid_of
from control_plane.store.api import Store
from tests.unit.control_plane.apiserver.conftest import Api

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes"


def pod(name: str, account: str = "default", **labels: str) -> Manifest:
    spec = {"containers": [{"name": "app"}], "serviceAccountName": account}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def service(name: str, address: str = "") -> Manifest:
    spec: Manifest = {"ports": [{"port": 80}]}
    if address:
        spec["clusterIP"] = address
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def config_map(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def route(weight: int) -> Manifest:
    spec = {
        "parentRefs": [{"group": "", "kind": "Service", "name": "catalog"}],
        "rules": [{"backendRefs": [{"name": "v1", "port": 80, "weight": weight}]}],
    }
    meta = {"name": "split"}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": meta, "spec": spec}


def names(listing: Manifest) -> list[str]:
    items = listing["items"]
    assert isinstance(items, list)
    return [name_of(item) for item in items]


async def address_of(api: Api, name: str) -> object:
    _, found = await api.call("GET", f"{SERVICES}/{name}")
    return section(found, "spec")["clusterIP"]


# --- who may call, and what is public
# -------------------------------------------------------------------------


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer \xe4"}])
async def test_without_the_token_nothing_is_shown(api: Api, header: dict[str, str]) -> None:
    transport = httpx.ASGITransport(api.app.asgi)
    encoded = {name.encode(): value.encode("latin-1") for name, value in header.items()}
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=encoded) as stranger:
        for path in ("/api/v1/pods", "/apis", "/nowhere"):
            answer = await stranger.get(path)
            assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/healthz", "/livez", "/readyz"):
            assert (await stranger.get(path)).text == "ok"
        assert (await stranger.get("/version")).json()["gitVersion"].startswith("v1.")


async def test_not_ready_and_not_without_a_token(api: Api) -> None:
    app = create_app(
        api.store, admin_token="x", token_minter=api.minter, now=lambda: 0.0, is_ready=lambda: False
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://api") as http:
        answer = await http.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not ready")
    with pytest.raises(ValueError, match="must not be empty"):
        TokenUsers({Role.ADMIN: ""})


async def test_discovery_names_every_path_that_exists(api: Api) -> None:
    _, groups = await api.call("GET", "/apis")
    listed = groups["groups"]
    assert isinstance(listed, list)
    versions = ["/api/v1"] + [f"/apis/{group['preferredVersion']['groupVersion']}" for group in listed]
    for version in versions:
        _, document = await api.call("GET", version)
        resources = document["resources"]
        assert isinstance(resources, list)
        for resource in resources:
            if "list" in resource["verbs"]:
                assert (await api.call("GET", f"{version}/{resource['name']}"))[0] == 200
    assert (await api.call("GET", "/apis/apps"))[1]["name"] == "apps"
    assert (await api.call("GET", "/api"))[1]["versions"] == ["v1"]


async def test_unknown_paths_and_methods_are_statuses(api: Api) -> None:
    code, status = await api.call("GET", "/api/v1/widgets")
    assert (code, status["reason"]) == (404, "NotFound")
    code, status = await api.call("PUT", PODS)
    assert (code, status["reason"]) == (405, "MethodNotAllowed")


# --- the verbs
# --------------------------------------------------------------------------------------------------


async def test_create_get_list_update_delete(api: Api) -> None:
    code, created = await api.call("POST", CONFIG_MAPS, config_map("a", k="1"))
    assert code == 201
    assert metadata(created)["namespace"] == "default"
    assert await api.call("GET", f"{CONFIG_MAPS}/a") == (200, created)
    code, updated = await api.call("PUT", f"{CONFIG_MAPS}/a", {**created, "data": {"k": "2"}})
    assert (code, metadata(updated)["generation"]) == (200, 2)
    code, listing = await api.call("GET", CONFIG_MAPS)
    assert (listing["kind"], listing["items"]) == ("ConfigMapList", [updated])
    assert resource_version_of(listing) == str(api.store.resource_version)
    assert (await api.call("GET", "/api/v1/configmaps"))[1]["items"] == [updated]
    code, status = await api.call("DELETE", f"{CONFIG_MAPS}/a")
    assert (code, status["status"]) == (200, "Success")
    code, status = await api.call("GET", f"{CONFIG_MAPS}/a")
    assert (code, status["reason"], status["message"]) == (404, "NotFound", 'configmaps "a" not found')


async def test_create_fills_in_kind_and_version_from_the_path(api: Api) -> None:
    code, created = await api.call("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})
    assert (code, created["kind"], created["apiVersion"]) == (201, "ConfigMap", "v1")


async def test_create_makes_a_name_from_its_prefix(api: Api) -> None:
    body = {"metadata": {"generateName": "pod-"}, "spec": pod("x")["spec"]}
    made = {name_of((await api.call("POST", PODS, body))[1]) for _ in range(3)}
    assert len(made) == 3
    assert all(name.startswith("pod-") and len(name) == 9 for name in made)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"kind": "Pod", "metadata": {"name": "a"}}, "kind is 'Pod'"),
        ({"apiVersion": "v2", "metadata": {"name": "a"}}, "apiVersion is 'v2'"),
        ({"metadata": {"name": "a", "namespace": "other"}}, "metadata.namespace is 'other'"),
        ({"metadata": {"name": "a", "resourceVersion": "1"}}, "must not be set on a new object"),
    ],
)
async def test_create_refuses_what_contradicts_the_path(api: Api, body: Manifest, message: str) -> None:
    code, status = await api.call("POST", CONFIG_MAPS, body)
    assert code == 400
    assert message in str(status["message"])


async def test_create_twice_and_create_nowhere(api: Api) -> None:
    await api.call("POST", CONFIG_MAPS, config_map("a"))
    code, status = await api.call("POST", CONFIG_MAPS, config_map("a"))
    assert (code, status["reason"]) == (409, "AlreadyExists")
    code, status = await api.call("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("a"))
    assert (code, status["message"]) == (404, 'namespaces "nowhere" not found')


async def test_a_refused_object_names_each_field(api: Api) -> None:
    code, status = await api.call("POST", ROUTES, {**route(-1), "colour": "red"})
    assert (code, status["reason"]) == (422, "Invalid")
    causes = section(status, "details")["causes"]
    assert isinstance(causes, list)
    assert {cause["field"] for cause in causes} == {"colour", "spec.rules[0].backendRefs[0].weight"}


async def test_admission_checks_refuse_with_the_field(api: Api) -> None:
    code, status = await api.call("POST", CONFIG_MAPS, config_map("forbidden"))
    assert code == 422
    assert "metadata.name: is forbidden here" in str(status["message"])


async def test_metadata_of_a_wrong_type_is_refused(api: Api) -> None:
    await api.call("POST", CONFIG_MAPS, config_map("a"))
    code, status = await api.call("PUT", f"{CONFIG_MAPS}/a", {"metadata": "a"})
    assert code == 422
    assert "metadata: must be an object" in str(status["message"])


async def test_update_of_a_stale_version_conflicts(api: Api) -> None:
    _, created = await api.call("POST", CONFIG_MAPS, config_map("a"))
    await api.call("PUT", f"{CONFIG_MAPS}/a", config_map("a", k="2"))
    code, status = await api.call("PUT", f"{CONFIG_MAPS}/a", created)
    assert (code, status["reason"]) == (409, "Conflict")
    code, status = await api.call("PUT", f"{CONFIG_MAPS}/b", config_map("a"))
    assert code == 400
    code, _ = await api.call("PUT", f"{CONFIG_MAPS}/b", config_map("b"))
    assert code == 404


async def test_patches_that_race_all_arrive(api: Api) -> None:
    await api.call("POST", CONFIG_MAPS, config_map("a"))
    patches = [
        api.http.patch(
            f"{CONFIG_MAPS}/a",
            json={"data": {f"k{n}": "x"}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        for n in range(5)
    ]
    answers = await asyncio.gather(*patches)
    assert {answer.status_code for answer in answers} == {200}
    _, merged = await api.call("GET", f"{CONFIG_MAPS}/a")
    assert section(merged, "data").keys() == {"k0", "k1", "k2", "k3", "k4"}


async def test_patch_removes_by_null_and_respects_versions(api: Api) -> None:
    merge = {"Content-Type": "application/merge-patch+json"}
    await api.call("POST", CONFIG_MAPS, config_map("a", x="1", y="2"))
    answer = await api.http.patch(f"{CONFIG_MAPS}/a", json={"data": {"x": None}}, headers=merge)
    assert answer.json()["data"] == {"y": "2"}
    stale = {"metadata": {"resourceVersion": "1"}, "data": {"x": "1"}}
    assert (await api.http.patch(f"{CONFIG_MAPS}/a", json=stale, headers=merge)).status_code == 409
    rename = {"metadata": {"name": "b"}}
    assert (await api.http.patch(f"{CONFIG_MAPS}/a", json=rename, headers=merge)).status_code == 400
    assert (await api.call("PATCH", f"{CONFIG_MAPS}/a", {}))[0] == 415


# --- status
# -----------------------------------------------------------------------------------------------------


async def test_status_is_written_only_through_its_subresource(api: Api) -> None:
    _, created = await api.call("POST", PODS, {**pod("a"), "status": {"phase": "Running"}})
    assert created["status"] == {"phase": "Pending"}
    running = {**created, "status": {"phase": "Running", "podIP": "10.244.0.2"}, "spec": {"ignored": True}}
    code, updated = await api.call("PUT", f"{PODS}/a/status", running)
    assert (code, updated["status"], updated["spec"]) == (200, running["status"], created["spec"])
    _, updated = await api.call(
        "PUT", f"{PODS}/a", {**created, "metadata": {"name": "a", "labels": {"x": "y"}}}
    )
    assert section(updated, "status")["phase"] == "Running"
    assert (await api.call("GET", f"{PODS}/a/status"))[1] == updated


async def test_status_is_validated_and_checked_for_versions(api: Api) -> None:
    _, created = await api.call("POST", PODS, pod("a"))
    code, status = await api.call("PUT", f"{PODS}/a/status", {"status": {"phase": "Dreaming"}})
    assert code == 422
    assert "status.phase" in str(status["message"])
    await api.call("PUT", f"{PODS}/a/status", {"status": {"phase": "Running"}})
    code, _ = await api.call("PUT", f"{PODS}/a/status", {**created, "status": {"phase": "Failed"}})
    assert code == 409
    assert (await api.call("GET", f"{CONFIG_MAPS}/a/status"))[0] == 404


async def test_status_can_be_patched_and_removed(api: Api) -> None:
    merge = {"Content-Type": "application/merge-patch+json"}
    await api.call("POST", PODS, pod("a"))
    patch = {"status": {"podIP": "10.244.0.2"}, "metadata": {"labels": {"not": "touched"}}}
    answer = await api.http.patch(f"{PODS}/a/status", json=patch, headers=merge)
    assert answer.json()["status"] == {"phase": "Pending", "podIP": "10.244.0.2"}
    assert "labels" not in answer.json()["metadata"]
    _, emptied = await api.call("PUT", f"{PODS}/a/status", {})
    assert "status" not in emptied


# --- dry runs
# ---------------------------------------------------------------------------------------------------


async def test_dry_runs_answer_and_change_nothing(api: Api) -> None:
    await api.call("POST", CONFIG_MAPS, config_map("a"))
    await api.call("POST", PODS, pod("p"))
    version = api.store.resource_version
    assert (await api.call("POST", CONFIG_MAPS, config_map("b"), dryRun="All"))[0] == 201
    assert (await api.call("POST", CONFIG_MAPS, config_map("a"), dryRun="All"))[0] == 409
    assert (await api.call("POST", "/api/v1/namespaces/x/configmaps", config_map("a"), dryRun="All"))[
        0
    ] == 404
    assert (await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "new"}}, dryRun="All"))[
        0
    ] == 201
    code, preview = await api.call("PUT", f"{CONFIG_MAPS}/a", config_map("a", k="2"), dryRun="All")
    assert (code, preview["data"], metadata(preview)["generation"]) == (200, {"k": "2"}, 2)
    code, preview = await api.call("PUT", f"{PODS}/p/status", {"status": {"phase": "Failed"}}, dryRun="All")
    assert (code, preview["status"]) == (200, {"phase": "Failed"})
    assert (await api.call("DELETE", f"{CONFIG_MAPS}/a", dryRun="All"))[0] == 200
    answer = await api.http.request("DELETE", f"{CONFIG_MAPS}/a", json={"dryRun": ["All"]})
    assert answer.status_code == 200
    code, status = await api.call("POST", CONFIG_MAPS, config_map("b"), dryRun="Some")
    assert (code, status["reason"]) == (400, "BadRequest")
    assert api.store.resource_version == version


# --- lists
# ------------------------------------------------------------------------------------------------------


async def test_lists_can_be_limited(api: Api) -> None:
    for name, app in (("a", "web"), ("b", "db"), ("c", "web")):
        await api.call("POST", PODS, pod(name, app=app))
    assert names((await api.call("GET", PODS, labelSelector="app=web"))[1]) == ["a", "c"]
    assert names(
        (await api.call("GET", PODS, labelSelector="app in (db)", fieldSelector="metadata.name=b"))[1]
    ) == ["b"]
    assert names((await api.call("GET", "/api/v1/namespaces/kube-system/pods"))[1]) == []
    code, status = await api.call("GET", PODS, labelSelector="app=(")
    assert (code, status["reason"]) == (400, "BadRequest")


# --- bodies
# -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"{", 400, "not valid JSON"),
        (b"[]", 400, "must be a JSON object, not list"),
        (b'{"a": 1, "a": 2}', 400, "'a' appears twice"),
        (b'{"a": NaN}', 400, "NaN is not a JSON number"),
        (b'{"a":' * 100_000, 400, "not valid JSON"),
        (b'{"spec":' * 900 + b"1" + b"}" * 900, 400, "nested too deeply"),
        (b"\xff", 400, "not valid JSON"),
        (b" " * (MAX_BODY + 1), 413, "larger than"),
    ],
)
async def test_bodies_that_are_refused(api: Api, content: bytes, code: int, message: str) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = await api.http.post(CONFIG_MAPS, content=content, headers=headers)
    assert answer.status_code == code
    assert message in answer.json()["message"]


async def test_other_media_types_are_refused(api: Api) -> None:
    for media_type, message in (
        ("application/vnd.kubernetes.protobuf", "does not begin as Kubernetes' protobuf does"),
        ("application/cbor", "the body must be application/json, not application/cbor"),
    ):
        headers = {"Content-Type": media_type}
        answer = await api.http.post(CONFIG_MAPS, content=b"k8s", headers=headers)
        assert answer.status_code == 415
        assert message in answer.json()["message"]


async def test_a_bug_is_a_status_without_details(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("inside")

    monkeypatch.setattr(api.store, "get", broken)
    code, status = await api.call("GET", f"{PODS}/a")
    assert (code, status["reason"]) == (500, "InternalError")
    assert "inside" not in str(status)


# --- Services
# ---------------------------------------------------------------------------------------------------


async def test_services_get_addresses_of_their_own(api: Api) -> None:
    await asyncio.gather(*(api.call("POST", SERVICES, service(f"s{n}")) for n in range(5)))
    given = {await address_of(api, f"s{n}") for n in range(5)}
    assert given == {f"10.96.0.{last}" for last in range(11, 16)}


async def test_an_address_can_be_asked_for_once(api: Api) -> None:
    code, created = await api.call("POST", SERVICES, service("dns", "10.96.0.10"))
    assert (code, section(created, "spec")["clusterIPs"]) == (201, ["10.96.0.10"])
    code, status = await api.call("POST", SERVICES, service("other", "10.96.0.10"))
    assert code == 422
    assert "spec.clusterIP: 10.96.0.10 is already allocated" in str(status["message"])
    assert (await api.call("POST", SERVICES, service("far", "192.168.0.1")))[0] == 422


async def test_headless_services_have_no_address(api: Api) -> None:
    await api.call("POST", SERVICES, service("a", "None"))
    await api.call("POST", SERVICES, service("b", "None"))
    assert await address_of(api, "b") == "None"


async def test_a_service_keeps_its_address(api: Api) -> None:
    await api.call("POST", SERVICES, service("a"))
    changed = {**service("a"), "spec": {"ports": [{"port": 81}]}}
    code, updated = await api.call("PUT", f"{SERVICES}/a", changed)
    assert (code, section(updated, "spec")["clusterIP"]) == (200, "10.96.0.11")
    code, status = await api.call("PUT", f"{SERVICES}/a", service("a", "10.96.0.99"))
    assert code == 422
    assert "spec.clusterIPs[0]: may not change once set" in str(status["message"])


async def test_the_address_of_a_deleted_service_is_free_again(api: Api) -> None:
    await api.call("POST", SERVICES, service("a", "10.96.0.10"))
    await api.call("DELETE", f"{SERVICES}/a")
    assert (await api.call("POST", SERVICES, service("b", "10.96.0.10")))[0] == 201


# --- Namespaces
# -------------------------------------------------------------------------------------------------


async def test_a_namespace_comes_with_an_account_and_takes_all_with_it(api: Api) -> None:
    _, created = await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    assert created["status"] == {"phase": "Active"}
    assert (await api.call("GET", "/api/v1/namespaces/shop/serviceaccounts/default"))[0] == 200
    await api.call("POST", "/api/v1/namespaces/shop/pods", pod("a"))
    assert (await api.call("DELETE", "/api/v1/namespaces/shop"))[0] == 200
    assert names((await api.call("GET", "/api/v1/pods"))[1]) == []
    assert "shop" not in names((await api.call("GET", "/api/v1/namespaces"))[1])


@pytest.mark.parametrize("name", ["default", "kube-system", "meshproxy-system"])
async def test_the_systems_namespaces_stay(api: Api, name: str) -> None:
    assert (await api.call("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default"))[0] == 200
    code, status = await api.call("DELETE", f"/api/v1/namespaces/{name}")
    assert (code, status["reason"]) == (403, "Forbidden")


async def test_delete_checks_its_preconditions(api: Api) -> None:
    _, created = await api.call("POST", CONFIG_MAPS, config_map("a"))
    wrong = {"preconditions": {"uid": "other"}}
    assert (await api.call("DELETE", f"{CONFIG_MAPS}/a", wrong))[0] == 409
    assert (await api.call("DELETE", f"{CONFIG_MAPS}/a", wrong, dryRun="All"))[0] == 409
    right = {
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid_of(created)},
        "propagationPolicy": "Background",
    }
    assert (await api.call("DELETE", f"{CONFIG_MAPS}/a", right))[0] == 200


# --- tokens
# -----------------------------------------------------------------------------------------------------

TOKEN = "/api/v1/namespaces/default/serviceaccounts/default/token"


def token_request(pod_name: str, uid: str, **spec: object) -> Manifest:
    bound = {"kind": "Pod", "apiVersion": "v1", "name": pod_name, "uid": uid}
    return {"spec": {"audiences": ["meshproxy-ca"], "boundObjectRef": bound, **spec}}


async def test_a_token_is_minted_for_a_pod_that_exists(api: Api) -> None:
    _, created = await api.call("POST", PODS, pod("a"))
    code, answer = await api.call("POST", TOKEN, token_request("a", uid_of(created), expirationSeconds=600))
    assert code == 201
    assert answer["status"] == {"token": "signed", "expirationTimestamp": "1970-01-01T00:26:40Z"}
    who = {"who": "default/default", "pod": "a", "audiences": ["meshproxy-ca"], "ttl": 600.0}
    assert api.minter.asked == [{**who, "uid": uid_of(created)}]


async def test_a_token_for_the_pod_of_a_name_is_bound_to_its_uid(api: Api) -> None:
    _, created = await api.call("POST", PODS, pod("a"))
    asked = token_request("a", "")
    del section(section(asked, "spec"), "boundObjectRef")["uid"]
    assert (await api.call("POST", TOKEN, asked))[0] == 201
    assert [one["uid"] for one in api.minter.asked] == [uid_of(created)]


async def test_tokens_are_refused_for_anything_else(api: Api) -> None:
    _, created = await api.call("POST", PODS, pod("a"))
    uid = uid_of(created)
    _, foreign = await api.call("POST", PODS, pod("b", account="other"))
    assert (await api.call("POST", TOKEN, token_request("nobody", uid)))[0] == 404
    assert (await api.call("POST", TOKEN, token_request("a", "older")))[0] == 409
    assert (await api.call("POST", TOKEN, token_request("b", uid_of(foreign))))[0] == 422
    other = TOKEN.replace("serviceaccounts/default", "serviceaccounts/nobody")
    assert (await api.call("POST", other, token_request("a", uid)))[0] == 404
    code, status = await api.call("POST", TOKEN, token_request("a", uid, audiences=[], expirationSeconds=1))
    assert code == 422
    assert str(status["message"]).startswith('TokenRequest "default" is invalid: spec.audiences')
    assert "spec.expirationSeconds" in str(status["message"])
    assert api.minter.asked == []


async def test_the_systems_objects_are_completed_at_start(api: Api) -> None:
    store: Store = api.store
    await store.delete("ServiceAccount", "default", "default")
    version = store.resource_version
    await ensure_system_objects(store)
    assert store.resource_version == version + 1
