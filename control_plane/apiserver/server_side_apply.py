"""Server-side apply (pure): an applied configuration is merged into the object, and its manager owns it.

Source: Kubernetes' structured-merge-diff (`merge.Updater.Apply`) and the KEP 555. A field that another
manager owns and that would get another value is a conflict, unless it is forced; a field the manager applied
before and no longer applies is removed when nobody else owns it.
"""

import json
from collections.abc import Iterable
from http import HTTPStatus

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.field_set import (
    EMPTY,
    FieldSet,
    Path,
    applied,
    fields_of,
    is_below,
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
    given_up = [
        path
        for path in own.fields - wanted
        if not any(is_below(kept, path) for fields in (wanted, *others.values()) for kept in fields)
    ]
    result = _without(merged, shape, given_up)
    if manager.name == KUBECTL:
        result = _with_annotation(live, result, configuration)
    managers = without(managers, change.written, but=manager)
    managers = without(managers, compare(fields_of(merged, shape), fields_of(result, shape)).removed)
    managers[manager] = Ownership(wanted, own.time if wanted == own.fields and not change.written else now)
    return with_managers(result, managers)


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


def _without(manifest: Manifest, shape: Shape, gone: Iterable[Path]) -> Manifest:
    """Remove fields, and the objects and lists that become empty by it."""
    result: object = manifest
    removed: set[Path] = set()
    for path in sorted(gone, key=len):
        is_gone_already = any(path[:length] in removed for length in range(1, len(path)))
        if not is_gone_already and not _is_key(path):
            result = _removed(result, shape, path)
            removed.add(path)
    return result if isinstance(result, dict) else {}


def _is_key(path: Path) -> bool:
    """A field that tells an element apart: it stays as long as the element does."""
    if len(path) < 2 or not path[-2].startswith("k:"):
        return False
    return path[-1].removeprefix("f:") in json.loads(path[-2].removeprefix("k:"))


def _removed(value: object, shape: Shape, path: Path) -> object:
    """None when nothing is left."""
    part, rest = path[0], path[1:]
    if part.startswith("f:"):
        name = part.removeprefix("f:")
        if not isinstance(value, dict) or name not in value:
            return value
        kept = _removed(value[name], shape.field(name), rest) if rest else None
        result = {key: item for key, item in value.items() if key != name or kept is not None}
        return ({**result, name: kept} if kept is not None else result) or None
    elements = shape.keyed(value)
    if elements is None or part not in elements:
        return value
    kept = _removed(elements[part], shape.element(), rest) if rest else None
    if kept is None:
        del elements[part]
    else:
        elements[part] = kept
    return list(elements.values()) or None


def _refusal(conflicts: list[tuple[Manager, Path]], managers: Managers) -> Failure:
    """In the words kubectl prints."""
    named = [(_manager_text(manager, managers[manager].time), path_text(path)) for manager, path in conflicts]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": field}
        for who, field in named
    ]
    if len(named) == 1:
        text = f"Apply failed with 1 conflict: conflict with {named[0][0]}: {named[0][1]}"
    else:
        lines = []
        for who in dict.fromkeys(who for who, _ in named):
            lines.append(f"conflicts with {who}:")
            lines += [f"- {field}" for owner, field in named if owner == who]
        text = f"Apply failed with {len(named)} conflicts: " + "\n".join(lines)
    return Failure(HTTPStatus.CONFLICT, text, details={"causes": causes})


def _manager_text(manager: Manager, time: str) -> str:
    text = f'"{manager.name}"'
    if manager.subresource:
        text += f' with subresource "{manager.subresource}"'
    if manager.operation == "Update":
        text += f" using {manager.api_version}" + (f" at {time}" if time else "")
    return text
