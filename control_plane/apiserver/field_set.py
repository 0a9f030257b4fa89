"""Sets of fields, and their form in `managedFields` (pure).

A field is named by its path, each part as in `fieldsV1` (structured-merge-diff's `fieldpath`): `f:spec`,
`k:{"name":"app"}` for an element of a keyed list, `v:"x.io/hold"` for a value in a set.
"""

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeAlias

from control_plane.apiserver.field_shape import Shape
from control_plane.resources.manifest import Manifest

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]
EMPTY: FieldSet = frozenset()


class Holder(Enum):
    """What stands for a value that has fields of its own."""

    OBJECT = "object"
    ELEMENT = "element"
    """Of a keyed list: it is there whatever its fields are."""


_UNOWNED = {
    *(("f:apiVersion",), ("f:kind",), ("f:metadata",)),
    *(("f:metadata", f"f:{name}") for name in ("name", "namespace", "uid", "resourceVersion", "generation")),
    *(("f:metadata", f"f:{name}") for name in ("creationTimestamp", "managedFields", "selfLink")),
    *(("f:metadata", f"f:{name}") for name in ("deletionTimestamp", "deletionGracePeriodSeconds")),
}
"""What nobody owns: the envelope, and what the server keeps."""


def fields_of(manifest: Manifest, shape: Shape) -> dict[Path, object]:
    """Every field somebody can own, with its value; a `Holder` for one that has fields itself."""
    found: dict[Path, object] = {}
    _collect(manifest, shape, (), found)
    return {
        path: value
        for path, value in found.items()
        if path and path[:2] not in _UNOWNED and path not in _UNOWNED
    }


def _collect(value: object, shape: Shape, path: Path, found: dict[Path, object]) -> None:
    elements = None if shape.is_atomic else shape.keyed(value)
    if elements is not None:
        found[path] = Holder.OBJECT
        for key, element in elements.items():
            _collect(element, shape.element(), (*path, key), found)
            if isinstance(element, dict):
                found[(*path, key)] = Holder.ELEMENT
    elif isinstance(value, dict) and not shape.is_atomic:
        found[path] = Holder.OBJECT
        for name, item in value.items():
            _collect(item, shape.field(name), (*path, f"f:{name}"), found)
    else:
        found[path] = value


def applied(fields: Mapping[Path, object]) -> FieldSet:
    """What somebody owns who applied these fields: the values, the elements, and objects without fields."""
    filled = {path[:-1] for path in fields}
    return frozenset(
        path for path, value in fields.items() if value is not Holder.OBJECT or path not in filled
    )


def to_fields_v1(paths: Iterable[Path]) -> Manifest:
    """As in `managedFields[].fieldsV1`."""
    members = sorted(paths)
    root: Manifest = {}
    for path in members:
        node = root
        for part in path:
            below = node.setdefault(part, {})
            assert isinstance(below, dict)
            node = below
        node["."] = {}
    result = _without_lone_dots(root)
    return result if isinstance(result, dict) else {}


def _without_lone_dots(node: Manifest) -> Manifest:
    """A leaf is `{}`; `.` is written only for a member with members below it."""
    if node.keys() == {"."}:
        return {}
    return {key: _without_lone_dots(below) for key, below in node.items() if isinstance(below, dict)}


def from_fields_v1(fields: Mapping[str, object]) -> FieldSet:
    """The inverse of `to_fields_v1`. Raises ValueError for what is none."""
    found: set[Path] = set()
    _read(fields, (), found)
    return frozenset(found)


def _read(node: object, path: Path, found: set[Path]) -> None:
    if not isinstance(node, dict) or not all(key == "." or _is_part(key) for key in node):
        raise ValueError(f"fieldsV1: {'/'.join(path) or 'the root'} is not a set of fields")
    if path and (not node or "." in node):
        found.add(path)
    for key, below in node.items():
        if key != ".":
            _read(below, (*path, key), found)


def _is_part(text: str) -> bool:
    """Clients may bring sets of their own: what names an element must be readable later."""
    kind, name = text[:2], text[2:]
    if kind == "f:":
        return True
    try:
        value = json.loads(name)
    except (ValueError, RecursionError):
        return False
    return kind == "v:" or (kind == "k:" and isinstance(value, dict))


def path_text(path: Path) -> str:
    """As Kubernetes names a field in a conflict: `.spec.containers[name="app"].image`."""
    return "".join(_part_text(part) for part in path)


def _part_text(part: str) -> str:
    kind, _, name = part.partition(":")
    if kind == "f":
        return f".{name}"
    if kind == "v":
        return f"[={name}]"
    keys = json.loads(name)
    shown = (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in keys.items())
    return f"[{','.join(shown)}]"
