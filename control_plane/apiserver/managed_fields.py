"""Who set which field: `metadata.managedFields`, kept as Kubernetes keeps it (pure).

A manager is a name with a way of writing (Apply or Update), a version and a subresource. By an update it
comes to own what it added or changed, and the others lose what was changed or removed. How Apply merges and
what is a conflict stands in `server_side_apply.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from control_plane.apiserver.field_set import (
    EMPTY,
    FieldSet,
    Path,
    fields_of,
    from_fields_v1,
    to_fields_v1,
)
from control_plane.apiserver.field_shape import Shape
from control_plane.resources.manifest import Manifest, metadata, objects, with_metadata

_MOST_UPDATERS = 10
"""Entries of updates; the oldest are put together beyond, as in Kubernetes, so that no client can fill the
object.
"""
_ANCIENT = "ancient-changes"
LONGEST_NAME = 128


@dataclass(frozen=True, slots=True, order=True)
class Manager:
    """Whoever writes."""

    operation: Literal["Apply", "Update"]
    name: str
    api_version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Ownership:
    """What one manager owns."""

    fields: FieldSet
    time: str
    """RFC 3339, UTC: when its set last changed."""


Managers = dict[Manager, Ownership]


def managers_of(manifest: Manifest) -> Managers:
    """As stored; what cannot be read counts as nobody's."""
    found: Managers = {}
    for entry in objects(metadata(manifest), "managedFields"):
        operation, fields = entry.get("operation"), entry.get("fieldsV1")
        if operation not in ("Apply", "Update") or not isinstance(fields, dict):
            continue
        try:
            paths = from_fields_v1(fields)
        except ValueError:
            continue
        texts = [str(entry.get(name, "")) for name in ("manager", "apiVersion", "subresource")]
        manager = Manager("Apply" if operation == "Apply" else "Update", *texts)
        found[manager] = Ownership(paths, str(entry.get("time", "")))
    return found


def with_managers(manifest: Manifest, managers: Managers) -> Manifest:
    """`manifest` with them as its `managedFields`, in Kubernetes' order: Apply first, then by time."""
    ordered = sorted(managers.items(), key=lambda item: (item[0].operation, item[1].time, item[0]))
    entries = [_entry(manager, ownership) for manager, ownership in ordered if ownership.fields]
    if entries:
        return with_metadata(manifest, managedFields=entries)
    rest = {name: value for name, value in metadata(manifest).items() if name != "managedFields"}
    return {**manifest, "metadata": rest}


def _entry(manager: Manager, ownership: Ownership) -> Manifest:
    entry: Manifest = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": ownership.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_fields_v1(ownership.fields),
    }
    return {**entry, "subresource": manager.subresource} if manager.subresource else entry


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is different between two states of an object."""

    written: FieldSet
    """Added or changed."""
    removed: FieldSet


def compare(before: Mapping[Path, object], after: Mapping[Path, object]) -> Comparison:
    """Between two results of `fields_of`."""
    written = frozenset(path for path, value in after.items() if not _has(before, path, value))
    return Comparison(written, frozenset(before.keys() - after.keys()))


def _has(fields: Mapping[Path, object], path: Path, value: object) -> bool:
    if path not in fields:
        return False
    return fields[path] == value and type(fields[path]) is type(value)  # `True == 1`


def without(managers: Managers, gone: FieldSet, *, but: Manager | None = None) -> Managers:
    """The managers less these fields; whose time stands, as they did nothing."""
    return {
        manager: ownership if manager == but else replace(ownership, fields=ownership.fields - gone)
        for manager, ownership in managers.items()
    }


def on_update(
    before: Manifest, after: Manifest, shape: Shape, manager: Manager, *, scope: str, now: str
) -> Manifest:
    """`after` with the managers of `before` (or those it brings itself) as this update leaves them.

    `scope` is `status` when only that is written, else everything but that counts.
    """
    managers = managers_of(after if _brings_managers(after) else before)
    if _resets_managers(after):
        return with_managers(after, {})
    old, new = (_in_scope(fields_of(one, shape), scope) for one in (before, after))
    change = compare(old, new)
    own = managers.get(manager, Ownership(EMPTY, now))
    fields = (own.fields - change.removed) | change.written
    managers = without(managers, change.written, but=manager)
    managers = without(managers, change.removed)
    if fields:
        managers[manager] = Ownership(fields, now if fields != own.fields or change.written else own.time)
    return with_managers(after, _bounded(managers))


def _brings_managers(after: Manifest) -> bool:
    return bool(metadata(after).get("managedFields"))


def _resets_managers(after: Manifest) -> bool:
    """A client that sends one empty entry wants them forgotten."""
    return metadata(after).get("managedFields") == [{}]


def _in_scope(fields: dict[Path, object], scope: str) -> dict[Path, object]:
    wants_status = scope == "status"
    return {path: value for path, value in fields.items() if (path[0] == "f:status") == wants_status}


def _bounded(managers: Managers) -> Managers:
    updates = sorted(
        (own.time, manager) for manager, own in managers.items() if manager.operation == "Update"
    )
    oldest = [manager for _, manager in updates[: max(0, len(updates) - _MOST_UPDATERS)]]
    if not oldest:
        return managers
    kept = {manager: own for manager, own in managers.items() if manager not in oldest}
    for manager in oldest:
        ancient = replace(manager, name=_ANCIENT, subresource="")
        known = kept.get(ancient, Ownership(EMPTY, ""))
        fields, time = known.fields | managers[manager].fields, max(known.time, managers[manager].time)
        kept[ancient] = Ownership(fields, time)
    return kept
