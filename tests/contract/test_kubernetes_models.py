"""The fields of Kubernetes' own kinds are Kubernetes': compared with what its Python client knows of them."""

import re

import pytest
from kubernetes.client import models

from control_plane.apiserver.openapi import document
from control_plane.apiserver.openapi.schema import Components
from control_plane.resources.registry import KINDS, ResourceKind

BUILT_IN = [entry for entry in KINDS if document.is_built_in(entry)]
OWN_FIELDS = {
    ".status.conditions.lastProbeTime": "one model serves the conditions of all kinds",
    ".status.conditions.lastUpdateTime": "one model serves the conditions of all kinds",
    ".status.conditions.observedGeneration": "one model serves the conditions of all kinds",
    ".status.observedGeneration": "of a Service: which generation its policies were judged with",
    ".volumeClaimTemplate.spec.resources.claims": "one model serves the resources of containers and claims",
}
"""What we have beyond Kubernetes, by the end of its path, and why."""


def client_model(name: str) -> type | None:
    return getattr(models, name, None)


def model_of(entry: ResourceKind) -> type:
    group = {"": "Core", "events.k8s.io": "Events"}.get(entry.group, "")
    found = client_model(f"V1{entry.kind}") or client_model(f"{group}V1{entry.kind}")
    assert found is not None, f"Kubernetes' client has no {entry.kind}"
    return found


def differences(schemas: dict, schema: dict, model: type, path: str, seen: set) -> tuple[set, set]:
    """Paths that only we have, and paths that only Kubernetes has."""
    schema = resolved(schemas, schema)
    if (id(schema), model) in seen or "properties" not in schema:
        return set(), set()
    seen.add((id(schema), model))
    theirs = {wire: attribute for attribute, wire in model.attribute_map.items()}
    ours = schema["properties"]
    extra = {f"{path}.{name}" for name in ours.keys() - theirs.keys()}
    missing = {f"{path}.{name}" for name in theirs.keys() - ours.keys()}
    for name in ours.keys() & theirs.keys():
        for inner in map(client_model, re.findall(r"\w+", model.openapi_types[theirs[name]])):
            if inner is not None and hasattr(inner, "attribute_map"):
                more = differences(schemas, ours[name], inner, f"{path}.{name}", seen)
                extra, missing = extra | more[0], missing | more[1]
    return extra, missing


def resolved(schemas: dict, schema: dict) -> dict:
    while True:
        if "allOf" in schema:
            schema = schema["allOf"][0]
        elif "items" in schema:
            schema = schema["items"]
        elif "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        else:
            return schema


def compared(entry: ResourceKind) -> tuple[set, set]:
    components = Components()
    name = components.add_kind(entry)
    return differences(components.schemas, components.schemas[name], model_of(entry), "", set())


@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda entry: entry.kind)
def test_we_have_no_field_that_kubernetes_lacks(entry):
    extra, _ = compared(entry)
    assert {path for path in extra if not path.endswith(tuple(OWN_FIELDS))} == set()


def test_a_pod_has_what_manifests_use():
    _, missing = compared(next(entry for entry in KINDS if entry.kind == "Pod"))
    used = {"containers", "initContainers", "volumes", "nodeSelector", "securityContext", "dnsPolicy"}
    assert not {f".spec.{field}" for field in used} & missing
