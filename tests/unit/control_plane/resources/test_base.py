"""What all models share."""

import pytest
from pydantic import ValidationError

from control_plane.resources.base import wire_name, without_nulls
from control_plane.resources.config_map import ConfigMap
from control_plane.resources.manifest import Manifest

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
