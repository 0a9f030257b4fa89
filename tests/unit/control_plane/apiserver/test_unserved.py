"""What is not served is told so that a person knows what to do, and kubectl what it is."""

import pytest

from tests.unit.control_plane.apiserver.conftest import Api

POD = "/api/v1/namespaces/default/pods/web"


@pytest.mark.parametrize(
    "path", ["/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", "/nowhere"]
)
async def test_a_kind_that_is_not_served(api: Api, path: str) -> None:
    code, answer = await api.call("POST", path, {})
    assert (code, answer["reason"], answer["details"]) == (404, "NotFound", {})
    assert answer["message"] == f"the server could not find the requested resource (POST {path})"


@pytest.mark.parametrize(
    ("subresource", "instead"),
    [("attach", "kubectl logs -f"), ("portforward", "kubectl exec"), ("ephemeralcontainers", "kubectl exec")],
)
async def test_subresources_that_are_absent_by_decision(api: Api, subresource: str, instead: str) -> None:
    code, answer = await api.call("PATCH", f"{POD}/{subresource}", {})
    assert (code, answer["details"]) == (404, {})
    assert str(answer["message"]).startswith(f"pods/{subresource} is not served: ")
    assert instead in str(answer["message"])


@pytest.mark.parametrize("header", ["Impersonate-User", "Impersonate-Group", "Impersonate-Extra-scopes"])
async def test_nobody_acts_as_somebody_else(api: Api, header: str) -> None:
    discovery = await api.http.get("/apis", headers={header: "viewer"})
    assert discovery.status_code == 200
    answer = await api.http.get("/api/v1/pods", headers={header: "viewer"})
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert 'User "admin" cannot impersonate' in answer.json()["message"]


async def test_openapi_v2_is_there_and_tells_nothing(api: Api) -> None:
    answer = await api.http.get("/openapi/v2")
    assert answer.json() == {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": {},
        "definitions": {},
    }


@pytest.mark.parametrize("version", ["v2@v1.0", "v2.v1.0"])
async def test_openapi_v2_in_protobuf(api: Api, version: str) -> None:
    prefix = "application/com.github.proto-openapi.spec."
    answer = await api.http.get("/openapi/v2", headers={"Accept": f"{prefix}{version}+protobuf"})
    assert answer.headers["content-type"] == f"{prefix}v2.v1.0+protobuf"
    assert answer.content == b"\x0a\x032.0\x12\x19\x0a\x0aKubernetes\x12\x0bunversioned\x42\x00\x4a\x00"
