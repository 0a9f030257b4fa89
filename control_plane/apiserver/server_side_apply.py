"""Server-side apply (pure): an applied configuration is merged into the object, and its manager owns it.

Source: Kubernetes' structured-merge-diff (`merge.Updater.Apply`) and the KEP 555. A field that another
manager owns and that would get another value is a conflict, unless it is forced; a field the manager applied
before and no longer applies is removed when nobody else owns it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.field_set import (
    EMPTY,
    FieldSet,
    Path,
    applied,
    fields_of,
    path_text,
)
from control_plane.apiserver.field_shape import Shape
from control_plane.apiserver.managed_fields import (
    Manager,
    Managers,
    Ownership,
    compare,
    managers_of,
    with_managers,
    without,
)
from control_plane.resources.base import without_nulls
from control_plane.resources.manifest import Manifest, metadata, section, with_metadata

KUBECTL = "kubectl"
"""The manager as which `kubectl apply --server-side` applies."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Where `kubectl apply` without `--server-side` remembers what it applied."""


def apply_configuration(
    live: Manifest, configuration: Manifest, shape: Shape, manager: Manager, *, force: bool, now: str
) -> Manifest:
    """The object after the apply, its managers included. Raises Failure (409) naming every conflict."""
    if metadata(configuration).get("managedFields"):
        raise Failure(HTTPStatus.BAD_REQUEST, "metadata.managedFields must be nil")
    managers = managers_of(live)
    own = managers.get(manager, Ownership(EMPTY, now))
    wanted = applied(fields_of(configuration, shape))
    merged = _merged(live, configuration, shape)
    assert isinstance(merged, dict)
    change = compare(fields_of(live, shape), fields_of(merged, shape))
    allowed = _own_by_annotation(live, shape) if manager.name == KUBECTL else EMPTY
    conflicts = [
        (other, path)
        for other, ownership in sorted(managers.items())
        if other != manager
        for path in sorted((ownership.fields & change.written) - allowed)
    ]
    if conflicts and not force:
        raise _refusal(conflicts, managers)
    others = {one: ownership.fields for one, ownership in managers.items() if one != manager}
    held = {
        path[:length] for fields in (wanted, *others.values()) for path in fields for length in _lengths(path)
    }
    given_up = [path for path in own.fields - wanted if path not in held]
    result = _without(merged, shape, given_up)
    if manager.name == KUBECTL:
        result = _with_annotation(live, result, configuration)
    managers = without(managers, change.written, but=manager)
    managers = without(managers, compare(fields_of(merged, shape), fields_of(result, shape)).removed)
    managers[manager] = Ownership(wanted, own.time if wanted == own.fields and not change.written else now)
    return with_managers(result, managers)


def _lengths(path: Path) -> range:
    """Of what a path lies in, itself included."""
    return range(1, len(path) + 1)


def _last_applied(live: Manifest) -> str:
    return str(section(metadata(live), "annotations").get(LAST_APPLIED, ""))


def _own_by_annotation(live: Manifest, shape: Shape) -> FieldSet:
    """What kubectl applied client-side and still is as it left it: going over to this way is no conflict."""
    try:
        before = json.loads(_last_applied(live) or "{}")
    except ValueError:
        return EMPTY
    if not isinstance(before, dict):
        return EMPTY
    present = fields_of(live, shape)
    values = fields_of(without_nulls(before), shape).items()
    return frozenset(path for path, value in values if path in present and present[path] == value)


def _with_annotation(live: Manifest, result: Manifest, configuration: Manifest) -> Manifest:
    """Kept in step as long as it is there, so that one may also go back to applying client-side."""
    if not _last_applied(live):
        return result
    text = json.dumps(configuration, separators=(",", ":"), ensure_ascii=False) + "\n"
    annotations = {**section(metadata(result), "annotations"), LAST_APPLIED: text}
    return with_metadata(result, annotations=annotations)


def _merged(live: object, wanted: object, shape: Shape) -> object:
    if shape.is_atomic:
        return wanted
    if isinstance(live, dict) and isinstance(wanted, dict):
        result = dict(live)
        for name, value in wanted.items():
            result[name] = _merged(live.get(name), value, shape.field(name))
        return result
    old, new = shape.keyed(live), shape.keyed(wanted)
    if old is None or new is None:
        return wanted
    for key, element in new.items():
        old[key] = _merged(old.get(key), element, shape.element())
    return list(old.values())


@dataclass(slots=True)
class _Gone:
    """What is to be removed at a place, and below it."""

    is_whole: bool = False
    below: "dict[str, _Gone]" = field(default_factory=dict)


def _without(manifest: Manifest, shape: Shape, gone: Iterable[Path]) -> Manifest:
    """Remove fields, and the objects and lists that become empty by it."""
    root = _Gone()
    for path in gone:
        if not _is_key(path):
            node = root
            for part in path:
                node = node.below.setdefault(part, _Gone())
            node.is_whole = True
    result = _pruned(manifest, shape, root)
    return result if isinstance(result, dict) else {}


def _is_key(path: Path) -> bool:
    """A field that tells an element apart: it stays as long as the element does."""
    if len(path) < 2 or not path[-2].startswith("k:"):
        return False
    return path[-1].removeprefix("f:") in json.loads(path[-2].removeprefix("k:"))


def _pruned(value: object, shape: Shape, gone: _Gone) -> object:
    """In one pass, however much is removed; None when nothing is left."""
    if gone.is_whole:
        return None
    if isinstance(value, dict):
        found = [name for name in value if f"f:{name}" in gone.below]
        kept = {name: _pruned(value[name], shape.field(name), gone.below[f"f:{name}"]) for name in found}
        result = {name: kept.get(name, item) for name, item in value.items()}
        return {name: item for name, item in result.items() if item is not None or name not in kept} or (
            None if found else value
        )
    elements = shape.keyed(value)
    if elements is None or not elements.keys() & gone.below.keys():
        return value
    shown = (
        _pruned(item, shape.element(), gone.below[key]) if key in gone.below else item
        for key, item in elements.items()
    )
    return [item for item in shown if item is not None] or None


def _refusal(conflicts: list[tuple[Manager, Path]], managers: Managers) -> Failure:
    """In the words kubectl prints."""
    named = [(_manager_text(manager, managers[manager].time), path_text(path)) for manager, path in conflicts]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path}
        for who, path in named
    ]
    if len(named) == 1:
        text = f"Apply failed with 1 conflict: conflict with {named[0][0]}: {named[0][1]}"
    else:
        by_manager: dict[str, list[str]] = {}
        for who, path in named:
            by_manager.setdefault(who, []).append(f"- {path}")
        lines = [line for who, paths in by_manager.items() for line in (f"conflicts with {who}:", *paths)]
        text = f"Apply failed with {len(named)} conflicts: " + "\n".join(lines)
    return Failure(HTTPStatus.CONFLICT, text, details={"causes": causes})


def _manager_text(manager: Manager, time: str) -> str:
    text = f'"{manager.name}"'
    if manager.subresource:
        text += f' with subresource "{manager.subresource}"'
    if manager.operation == "Update":
        text += f" using {manager.api_version}" + (f" at {time}" if time else "")
    return text
