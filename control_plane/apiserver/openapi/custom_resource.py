"""CustomResourceDefinitions for an API server that is not ours, from the same models (pure).

`deploy/crds/meshproxy.io.yaml` is what `meshctl crds` prints, and a test compares them. The schema is
structural (apiextensions.k8s.io/v1): references are resolved, and what a structural schema cannot say, such
as the choice between two shapes, is left to the control plane, which refuses by condition what it does not
understand.
"""

from collections.abc import Mapping

from control_plane.apiserver.openapi.schema import Components
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import KINDS, ResourceKind

OUR_GROUP = "meshproxy.io"
_REFERENCE = "#/components/schemas/"
_ANYTHING: Manifest = {"x-kubernetes-preserve-unknown-fields": True}
_KEPT = ("type", "description", "enum", "required", "format", "x-kubernetes-preserve-unknown-fields")
_INT_OR_STRING = "int-or-string"


def custom_resource_definitions(group: str = OUR_GROUP) -> list[Manifest]:
    """One for each kind of `group`."""
    return [_definition(entry) for entry in KINDS if entry.group == group]


def _definition(entry: ResourceKind) -> Manifest:
    components = Components()
    schema = _structural(components.schemas[components.add_kind(entry)], components.schemas)
    # The server's own: a schema for it may only restrict the name.
    schema["properties"] = {**_section(schema, "properties"), "metadata": {"type": "object"}}
    names: Manifest = {
        "kind": entry.kind,
        "listKind": f"{entry.kind}List",
        "plural": entry.plural,
        "singular": entry.singular,
    }
    extras = {"shortNames": [*entry.short_names], "categories": [*entry.categories]}
    subresources: Manifest = {"subresources": {"status": {}}} if entry.has_status else {}
    versions = [
        {
            "name": one.version,
            "served": True,
            "storage": not one.served_version,
            "schema": {"openAPIV3Schema": schema},
            **subresources,
            "additionalPrinterColumns": [
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
            ],
        }
        for one in entry.in_every_version()
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{entry.plural}.{entry.group}"},
        "spec": {
            "group": entry.group,
            "names": {**names, **{field: value for field, value in extras.items() if value}},
            "scope": "Namespaced" if entry.namespaced else "Cluster",
            "versions": versions,
        },
    }


def _structural(schema: Mapping[str, object], known: Mapping[str, Manifest]) -> Manifest:
    target = schema.get("$ref")
    if isinstance(target, str):
        return _structural(known[target.removeprefix(_REFERENCE)], known)
    whole = schema.get("allOf")
    if isinstance(whole, list):  # a reference with a description of its own
        inner = _structural(whole[0], known)
        text = schema.get("description")
        return {**inner, "description": text} if text else inner
    if schema.get("format") == _INT_OR_STRING:
        return {**_described(schema), "x-kubernetes-int-or-string": True}
    if "oneOf" in schema:
        return {**_described(schema), **_ANYTHING}
    result: Manifest = {field: schema[field] for field in _KEPT if field in schema}
    if isinstance(schema.get("properties"), dict):
        fields = _section(schema, "properties")
        result["properties"] = {name: _structural(field, known) for name, field in fields.items()}
    for holder in ("items", "additionalProperties"):
        if isinstance(schema.get(holder), dict):
            result[holder] = _structural(_section(schema, holder), known)
    return result


def _described(schema: Mapping[str, object]) -> Manifest:
    return {"description": schema["description"]} if "description" in schema else {}


def _section(holder: Mapping[str, object], field: str) -> dict[str, Manifest]:
    value = holder.get(field)
    return value if isinstance(value, dict) else {}
