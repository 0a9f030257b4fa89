"""The CustomResourceDefinitions in the repository are those of the models."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from control_plane.apiserver.openapi.custom_resource import OUR_GROUP, custom_resource_definitions
from control_plane.resources.registry import KINDS
from meshctl.crds import crds

ROOT = Path(__file__).parents[3]
GATEWAY_GROUP = "gateway.networking.k8s.io"


def test_the_file_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(crds).output
    mend = "python -m meshctl crds > deploy/crds/meshproxy.io.yaml"
    assert (ROOT / "deploy/crds/meshproxy.io.yaml").read_text() == printed, mend
    kinds = {document["spec"]["names"]["kind"] for document in yaml.safe_load_all(printed)}
    assert kinds == {entry.kind for entry in KINDS if entry.group == OUR_GROUP}


@pytest.mark.parametrize("group", [OUR_GROUP, GATEWAY_GROUP])
def test_schemas_are_structural(group: str) -> None:
    """apiextensions.k8s.io/v1: every schema says its type or leaves the value alone, and refers to none."""
    for definition in custom_resource_definitions(group):
        for version in definition["spec"]["versions"]:  # type: ignore[index]
            check(version["schema"]["openAPIV3Schema"], str(definition["metadata"]))


def check(schema: dict[str, object], place: str) -> None:
    free = {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"}
    assert "type" in schema or free & schema.keys(), place
    assert not {"$ref", "allOf", "oneOf", "anyOf", "default"} & schema.keys(), place
    properties = schema.get("properties")
    assert not (properties and "additionalProperties" in schema), place
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        check(inner, f"{place}.{name}")
    for holder in ("items", "additionalProperties"):
        if isinstance(inner := schema.get(holder), dict):
            check(inner, f"{place}.{holder}")
