"""The documents by which clients learn what is served."""

from control_plane.apiserver import discovery_document
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import KINDS
from tests.unit.control_plane.apiserver.conftest import Api


def named(document: Manifest) -> dict[str, Manifest]:
    resources = document["resources"]
    assert isinstance(resources, list)
    return {resource["name"]: resource for resource in resources}


def test_core_resources() -> None:
    resources = named(discovery_document.resource_list("v1"))
    assert resources["pods"]["shortNames"] == ["po"]
    assert resources["pods"]["categories"] == ["all"]
    assert resources["namespaces"]["namespaced"] is False
    assert resources["pods/status"]["verbs"] == ["get", "patch", "update"]
    assert resources["serviceaccounts/token"]["kind"] == "TokenRequest"
    assert "deployments" not in resources
    assert "configmaps/status" not in resources


def test_kinds_without_short_names_leave_the_field_out() -> None:
    resources = named(discovery_document.resource_list("discovery.k8s.io/v1"))
    assert resources.keys() == {"endpointslices"}
    assert "shortNames" not in resources["endpointslices"]


def test_groups() -> None:
    groups = discovery_document.group_list()["groups"]
    assert isinstance(groups, list)
    names = [group["name"] for group in groups]
    reviews = {"authentication.k8s.io", "authorization.k8s.io"}
    assert names == sorted({kind.group for kind in KINDS if kind.group} | reviews)
    apps = groups[names.index("apps")]
    assert apps["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    assert discovery_document.core_versions()["versions"] == ["v1"]


def test_everything_at_once() -> None:
    core = discovery_document.aggregated([""], "apidiscovery.k8s.io/v2")
    ((version,),) = [one["versions"] for one in core["items"]]  # type: ignore[attr-defined]
    found = {one["resource"]: one for one in version["resources"]}
    assert found["pods"]["scope"] == "Namespaced"
    assert found["pods"]["responseKind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert "status" in {one["subresource"] for one in found["pods"]["subresources"]}
    (token,) = found["serviceaccounts"]["subresources"]
    assert token["responseKind"]["group"] == "authentication.k8s.io"
    (gateway,) = discovery_document.aggregated(["gateway.networking.k8s.io"], "x")["items"]  # type: ignore[misc]
    assert [one["version"] for one in gateway["versions"]] == ["v1", "v1alpha2", "v1alpha3", "v1beta1"]


async def test_both_forms_over_http(api: Api) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    for path in ("/api", "/apis"):
        answer = await api.http.get(path, headers={"Accept": accept})
        assert answer.json()["kind"] == "APIGroupDiscoveryList"
        assert "apidiscovery" in answer.headers["content-type"]
        plain = await api.http.get(path, headers={"Accept": f"application/json,{accept}"})
        assert plain.json()["kind"] in ("APIVersions", "APIGroupList")
