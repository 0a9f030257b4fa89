"""OpenAPI v3: every kind in it, in Kubernetes' own field names, with what kubectl looks for."""

import json

import pytest

from control_plane.apiserver.openapi import document
from control_plane.resources.registry import KINDS
from tests.unit.control_plane.apiserver.conftest import Api

ENTRIES = [entry for kind in KINDS for entry in kind.in_every_version()]


def path_of(api_version: str) -> str:
    return f"{'apis' if '/' in api_version else 'api'}/{api_version}"


def load(api_version: str) -> dict:
    return json.loads(document.documents()[path_of(api_version)])


def schemas(api_version: str) -> dict:
    return load(api_version)["components"]["schemas"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.api_version}.{entry.kind}")
def test_each_kind_has_a_schema_and_a_patch_operation_that_validates(entry):
    gvk = {"group": entry.group, "version": entry.version, "kind": entry.kind}
    found = load(entry.api_version)
    assert any(
        one.get("x-kubernetes-group-version-kind") == [gvk] for one in found["components"]["schemas"].values()
    )
    place = "{namespace}" if entry.namespaced else ""
    patch = found["paths"][entry.path(place, "{name}")]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == gvk
    assert {one["name"] for one in patch["parameters"]} >= {"dryRun", "fieldValidation", "fieldManager"}
    strategic = "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert strategic == document.is_built_in(entry)


@pytest.mark.parametrize("path", document.documents())
def test_every_reference_leads_to_a_schema(path):
    text = document.documents()[path].decode()
    known = json.loads(text)["components"]["schemas"]
    wanted = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert wanted <= set(known)


def test_lists_are_merged_as_in_kubernetes():
    containers = schemas("v1")["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-strategy"] == "merge"
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    ports = schemas("v1")["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"]
    assert ports["x-kubernetes-patch-merge-key"] == "port"
    assert ports["x-kubernetes-list-map-keys"] == ["port", "protocol"]


def test_a_field_has_the_description_of_its_source():
    spec = schemas("v1")["io.k8s.api.core.v1.ServiceSpec"]
    assert spec["properties"]["externalName"]["description"].startswith("Of type ExternalName")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.api_version}.{entry.kind}")
def test_kubectl_explain_says_what_a_kind_is_and_its_parts(entry):
    gvk = {"group": entry.group, "version": entry.version, "kind": entry.kind}
    found = schemas(entry.api_version).values()
    [kind] = [one for one in found if one.get("x-kubernetes-group-version-kind") == [gvk]]
    assert kind["description"]
    envelope = kind["properties"].keys() & {"apiVersion", "kind", "metadata", "spec", "status"}
    assert [name for name in envelope if not kind["properties"][name].get("description")] == []


def test_every_setting_of_our_policies_is_described():
    found = schemas("meshproxy.io/v1alpha1")
    kinds = ("TrafficPolicy", "FaultPolicy", "RateLimitPolicy", "PeerAuthentication", "ServiceEntry")
    for kind in kinds:
        fields = found[f"io.meshproxy.v1alpha1.{kind}Spec"]["properties"]
        assert [name for name, field in fields.items() if not field.get("description")] == []


def test_a_field_without_words_of_its_own_has_those_of_its_type():
    status = schemas("meshproxy.io/v1alpha1")["io.meshproxy.v1alpha1.PolicyStatus"]
    assert status["properties"]["ancestors"]["description"] == "What became of the policy at one target."


async def test_the_index_leads_to_documents_that_may_be_kept(api: Api):
    _, index = await api.call("GET", "/openapi/v3")
    assert set(index["paths"]) == {path_of(entry.api_version) for entry in ENTRIES}
    address = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    answer = await api.http.get(address)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert answer.json()["openapi"] == "3.0.0"
    again = await api.http.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_an_old_address_leads_to_the_new_document(api: Api):
    answer = await api.http.get("/openapi/v3/apis/apps/v1?hash=OLD")
    assert answer.status_code == 301
    assert answer.headers["location"].endswith(document.digest("apis/apps/v1"))
    status, refusal = await api.call("GET", "/openapi/v3/apis/nonsense/v1")
    assert (status, refusal["reason"]) == (404, "NotFound")
