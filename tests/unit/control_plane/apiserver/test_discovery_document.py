"""The documents by which clients learn what is served."""

from control_plane.apiserver import discovery_document
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import KINDS


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
    assert names == [
        "admissionregistration.k8s.io",
        "apps",
        "discovery.k8s.io",
        "gateway.networking.k8s.io",
        "meshproxy.io",
        "networking.k8s.io",
    ]
    assert groups[1]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    assert discovery_document.core_versions()["versions"] == ["v1"]
