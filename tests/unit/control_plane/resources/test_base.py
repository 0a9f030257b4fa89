"""What all models share."""

import pytest
from pydantic import ValidationError

from control_plane.resources.base import wire_name, without_nulls
from control_plane.resources.config_map import ConfigMap
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest
from control_plane.resources.service import Service
from control_plane.resources.service_entry import ServiceEntry

OBJECT: Manifest = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "shop", "creationTimestamp": None},
    "data": {"key": "value"},
}


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("name", "name"),
        ("backend_refs", "backendRefs"),
        ("pod_ip", "podIP"),
        ("host_ips", "hostIPs"),
        ("ip_families", "ipFamilies"),
        ("image_id", "imageID"),
        ("exec_", "exec"),
        ("downward_api", "downwardAPI"),
    ],
)
def test_wire_names(attribute: str, name: str) -> None:
    assert wire_name(attribute) == name


def test_an_object_survives_the_round_trip_without_its_nulls() -> None:
    parsed = ConfigMap.parse(OBJECT)
    assert parsed.data == {"key": "value"}
    assert parsed.to_manifest() == without_nulls(OBJECT)


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError):
        ConfigMap.parse(OBJECT).kind = "ConfigMap"


def test_without_nulls_copies_deeply_and_keeps_list_elements() -> None:
    inner: Manifest = {"a": None, "b": [None, {"c": None}]}
    assert without_nulls({"x": inner}) == {"x": {"b": [None, {}]}}
    assert inner == {"a": None, "b": [None, {"c": None}]}


def test_an_accepted_object_of_kubernetes_may_have_fields_that_are_newer() -> None:
    manifest: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop", "newer": 1},
        "spec": {"ports": [{"port": 80, "newer": {"a": 1}}], "newer": True},
    }
    assert Service.read(manifest).spec.ports[0].port == 80
    with pytest.raises(InvalidResource):
        Service.parse(manifest)


def test_a_policy_is_understood_completely_or_not_at_all() -> None:
    manifest: Manifest = {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "ServiceEntry",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"hosts": ["a.example"], "newer": True},
    }
    with pytest.raises(InvalidResource, match="newer"):
        ServiceEntry.read(manifest)


def test_what_has_no_null_field_is_not_copied() -> None:
    manifest: Manifest = {"a": {"b": [{"c": 1}, None, "d"]}}
    assert without_nulls(manifest) is manifest
    assert without_nulls({"a": [{"b": [{"c": None, "d": None}]}], "e": {"f": 1}}) == {
        "a": [{"b": [{}]}],
        "e": {"f": 1},
    }
