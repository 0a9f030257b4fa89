"""From the models to OpenAPI schemas: the names, types and extensions that clients of Kubernetes read (pure).

A field that is refused by name (`NotSupported`) is not in the schema.
"""

import inspect
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from control_plane.apiserver.openapi.description import field_descriptions
from control_plane.apiserver.openapi.list_strategy import extensions
from control_plane.resources.base import Model, ObjectMeta, Resource
from control_plane.resources.manifest import Manifest, section
from control_plane.resources.registry import ResourceKind

_REFERENCE = "#/components/schemas/"
_META_PREFIX = "io.k8s.apimachinery.pkg.apis.meta.v1"
_META_MODULE = "control_plane.resources.base"
_PLAIN = {str: "string", int: "integer", bool: "boolean", float: "number"}
_NUMBER_OR_TEXT: Manifest = {"oneOf": [{"type": "integer"}, {"type": "number"}, {"type": "string"}]}
_ENVELOPE = {
    "spec": "What is wanted.",
    "status": "What was found, written by the control plane and by controllers.",
}
"""Of objects, where the sources say nothing better."""
_INT_OR_TEXT: Manifest = {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}


class Components:
    """`components.schemas` of one document: every model that is reached, by name."""

    def __init__(self) -> None:
        self.schemas: dict[str, Manifest] = {}
        self._names: dict[type[Model], str] = {}

    def add_kind(self, entry: ResourceKind) -> str:
        """The kind's own schema and its list's; returns the name of the first."""
        prefix = definition_prefix(entry)
        name = self._add(entry.model, prefix)
        gvk = group_version_kind(entry)
        self.schemas[name]["x-kubernetes-group-version-kind"] = [gvk]
        items: Manifest = {"type": "array", "items": reference(name)}
        text: Manifest = {"type": "string"}
        properties: Manifest = {
            "apiVersion": text,
            "kind": text,
            "items": items,
            "metadata": self._list_meta(),
        }
        self.schemas[f"{name}List"] = {
            "type": "object",
            "description": f"{entry.kind}List is a list of {entry.kind}.",
            "required": ["items"],
            "properties": properties,
            "x-kubernetes-group-version-kind": [{**gvk, "kind": f"{entry.kind}List"}],
        }
        return name

    def add_plain(self, name: str, schema: Manifest) -> str:
        """A schema that no model has; returns its full name."""
        full = f"{_META_PREFIX}.{name}"
        self.schemas[full] = schema
        return full

    def _list_meta(self) -> Manifest:
        text: Manifest = {"type": "string"}
        fields = ("continue", "resourceVersion", "selfLink")
        properties: Manifest = dict.fromkeys(fields, text)
        properties["remainingItemCount"] = {"type": "integer", "format": "int64"}
        return reference(self.add_plain("ListMeta", {"type": "object", "properties": properties}))

    def _add(self, model: type[Model], prefix: str) -> str:
        if issubclass(model, ObjectMeta):
            model = ObjectMeta  # its subclasses only judge names more strictly
        if model in self._names:
            return self._names[model]
        if model.__module__ == _META_MODULE and not issubclass(model, Resource):
            prefix = _META_PREFIX
        name = self._names[model] = self._free_name(f"{prefix}.{_shown_name(model)}")
        self.schemas[name] = {}  # before its fields, which may refer to it
        self.schemas[name].update(self._object(model, prefix))
        return name

    def _free_name(self, wanted: str) -> str:
        name = wanted
        while name in self.schemas:
            name += "_"
        return name

    def _object(self, model: type[Model], prefix: str) -> Manifest:
        texts = field_descriptions(model)
        properties: Manifest = {}
        required: list[str] = []
        for attribute, field in model.model_fields.items():
            if field.annotation is types.NoneType:
                continue
            name = field.alias or attribute
            properties[name] = self._property(model, name, field, prefix, texts.get(attribute, ""))
            if field.is_required() and not _is_envelope(model, name):
                required.append(name)
        result: Manifest = {"type": "object", "properties": properties}
        if model.__doc__ and model.__doc__ != Model.__doc__ and "__doc__" in vars(model):
            result["description"] = inspect.cleandoc(model.__doc__)
        return {**result, "required": required} if required else result

    def _property(
        self, model: type[Model], name: str, field: FieldInfo, prefix: str, description: str
    ) -> Manifest:
        owner = "ObjectMeta" if issubclass(model, ObjectMeta) else model.__name__
        schema = self._type(field.annotation, prefix)
        if not description and issubclass(model, Resource):
            description = _ENVELOPE.get(name, "")
        description = description or self._of_reference(schema)
        extra: Manifest = {**({"description": description} if description else {}), **extensions(owner, name)}
        if "$ref" in schema and (extra or not field.is_required()):
            return {"allOf": [schema], "default": {}, **extra}
        return {**schema, **extra}

    def _of_reference(self, schema: Manifest) -> str:
        """What is said of the schema that is referred to, or of the items': clients show it only there."""
        target = schema.get("$ref") or section(schema, "items").get("$ref", "")
        known = self.schemas.get(str(target).removeprefix(_REFERENCE), {})
        return str(known.get("description", ""))

    def _type(self, annotation: object, prefix: str) -> Manifest:
        """The schema of a type. Raises TypeError for one that no model should have."""
        if isinstance(annotation, type) and annotation in _PLAIN:
            return _plain(annotation)
        if isinstance(annotation, type) and issubclass(annotation, Model):
            return reference(self._add(annotation, prefix))
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self._type(arguments[0], prefix)
        if origin in (tuple, list):
            return {"type": "array", "items": self._type(arguments[0], prefix)}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._type(arguments[1], prefix)}
        if origin is Literal:
            return _literal(arguments)
        if origin in (Union, types.UnionType):
            return self._union([one for one in arguments if one is not types.NoneType], prefix)
        if annotation is object:
            return {"x-kubernetes-preserve-unknown-fields": True}
        raise TypeError(f"no schema is known for {annotation}")

    def _union(self, members: Sequence[object], prefix: str) -> Manifest:
        if len(members) == 1:
            return self._type(members[0], prefix)
        if set(members) == {int, str}:
            return dict(_INT_OR_TEXT)
        if set(members) == {int, float, str}:
            return dict(_NUMBER_OR_TEXT)
        return {"oneOf": [self._type(member, prefix) for member in members]}


def definition_prefix(entry: ResourceKind) -> str:
    """As Kubernetes names its definitions: `io.k8s.api.apps.v1` for apps/v1, else the group backwards."""
    if entry.group == "gateway.networking.k8s.io":
        return f"io.k8s.networking.gateway.{entry.version}"
    if entry.group.removesuffix(".k8s.io").count(".") == 0:
        return f"io.k8s.api.{entry.group.partition('.')[0] or 'core'}.{entry.version}"
    return ".".join([*reversed(entry.group.split(".")), entry.version])


def group_version_kind(entry: ResourceKind) -> dict[str, object]:
    return {"group": entry.group, "version": entry.version, "kind": entry.kind}


def reference(name: str) -> Manifest:
    """A `$ref` to a schema of the same document."""
    return {"$ref": f"{_REFERENCE}{name}"}


def _shown_name(model: type[Model]) -> str:
    if issubclass(model, Resource):
        return model.KIND
    return model.__name__.lstrip("_")


def _is_envelope(model: type[Model], name: str) -> bool:
    """What the API server fills in from the path, so that no client must send it."""
    if issubclass(model, Resource):
        return name in ("apiVersion", "kind", "metadata")
    return issubclass(model, ObjectMeta) and name == "name"


def _plain(kind: type) -> Manifest:
    schema: Manifest = {"type": _PLAIN[kind]}
    return {**schema, "format": "int64"} if kind is int else schema


def _literal(values: Iterable[object]) -> Manifest:
    allowed = list(values)
    kind = type(allowed[0])
    return {"type": _PLAIN[kind], "enum": allowed}
