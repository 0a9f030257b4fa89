"""Strategic merge patch (pure): JSON merge patch with lists merged by key, and directives.

Source: Kubernetes' `strategicpatch` package and its description in contributors/devel/sig-api-machinery/
strategic-merge-patch.md. Only Kubernetes' own kinds have it; custom ones answer 415.
"""

import json
from collections import deque
from collections.abc import Mapping, Sequence

from control_plane.apiserver.field_shape import UNKNOWN, Shape
from control_plane.resources.manifest import Manifest

_DIRECTIVE = "$patch"
_RETAIN_KEYS = "$retainKeys"
_ELEMENT_ORDER = "$setElementOrder/"
_DELETE_FROM = "$deleteFromPrimitiveList/"
_encode = json.JSONEncoder(sort_keys=True).encode


class StrategicMergeError(ValueError):
    """A patch that contradicts itself or the object; the message names the field."""


def strategic_merge(target: Manifest, patch: Mapping[str, object], shape: Shape) -> Manifest:
    """`target` with `patch` applied. Changes neither. Raises StrategicMergeError."""
    directive = patch.get(_DIRECTIVE, "merge")
    if directive == "delete":
        return {}
    if directive not in ("merge", "replace"):
        raise StrategicMergeError(f"{_DIRECTIVE}: {directive!r} is none of merge, replace, delete")
    base = {} if directive == "replace" else _retained(target, patch)
    for directive_field, order in patch.items():
        if directive_field.startswith(_DELETE_FROM):
            _delete_values(base, directive_field.removeprefix(_DELETE_FROM), order)
    orders = {
        name.removeprefix(_ELEMENT_ORDER): order
        for name, order in patch.items()
        if name.startswith(_ELEMENT_ORDER)
    }
    plain = {name: value for name, value in patch.items() if not name.startswith("$")}
    for name, value in plain.items():
        if value is None:
            base.pop(name, None)
        else:
            base[name] = _merged(base.get(name), value, shape.field(name), name)
    for name, order in orders.items():
        _order(base, target, name, order, shape.field(name))
    return base


def _retained(target: Manifest, patch: Mapping[str, object]) -> Manifest:
    if _RETAIN_KEYS not in patch:
        return dict(target)
    kept = patch[_RETAIN_KEYS]
    if not isinstance(kept, list) or not all(isinstance(name, str) for name in kept):
        raise StrategicMergeError(f"{_RETAIN_KEYS} must be a list of field names")
    if missing := sorted(name for name in patch if not name.startswith("$") and name not in kept):
        raise StrategicMergeError(f"{_RETAIN_KEYS} does not name {missing[0]}, which the patch sets")
    return {name: value for name, value in target.items() if name in kept}


def _delete_values(base: Manifest, name: str, values: object) -> None:
    current = base.get(name)
    if not isinstance(values, list):
        raise StrategicMergeError(f"{_DELETE_FROM}{name} must be a list")
    if isinstance(current, list):
        gone = set(map(_canonical, values))
        base[name] = [value for value in current if _canonical(value) not in gone]


def _merged(current: object, value: object, shape: Shape, name: str) -> object:
    if isinstance(value, dict):
        return strategic_merge(current if isinstance(current, dict) else {}, value, shape)
    if not isinstance(value, list):
        return value
    strategy = shape.strategy
    if strategy is None or not strategy.patch.startswith("merge"):
        return [_without_directives(item) for item in value]
    before = current if isinstance(current, list) else []
    if not strategy.merge_key:
        known = set(map(_canonical, before))
        return [*before, *(item for item in value if _canonical(item) not in known)]
    return _merged_elements(before, value, strategy.merge_key, shape.element(), name)


def _merged_elements(
    before: Sequence[object], patches: Sequence[object], key: str, element: Shape, name: str
) -> list[object]:
    if any(
        isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" and len(item) == 1 for item in patches
    ):
        return [_without_directives(item) for item in patches if item != {_DIRECTIVE: "replace"}]
    elements = _Elements(before, key)
    for patch in patches:
        if not isinstance(patch, dict):
            raise StrategicMergeError(f"{name}: elements must be objects with a {key}")
        if key not in patch:
            raise StrategicMergeError(f"map: {patch} does not contain declared merge key: {key}")
        match patch.get(_DIRECTIVE, "merge"):
            case "delete":
                elements.remove(patch[key])
            case "replace":
                elements.remove(patch[key])
                elements.add(_without_directives(patch))
            case _:
                elements.merge(patch, element)
    return elements.all()


class _Elements:
    """A keyed list while it is patched; each element is found without looking at the others."""

    def __init__(self, elements: Sequence[object], key: str) -> None:
        self._key = key
        self._elements: dict[int, object] = {}
        """By place; what was removed leaves a gap."""
        self._places: dict[str, list[int]] = {}
        self._next = 0
        for element in elements:
            self.add(element)

    def add(self, element: object) -> None:
        self._elements[self._next] = element
        if isinstance(element, dict):
            self._places.setdefault(_canonical(element.get(self._key)), []).append(self._next)
        self._next += 1

    def remove(self, name: object) -> None:
        for place in self._places.pop(_canonical(name), ()):
            del self._elements[place]

    def merge(self, patch: Manifest, shape: Shape) -> None:
        """Into the first of its name; added when there is none."""
        places = self._places.get(_canonical(patch[self._key]))
        if not places:
            self.add(strategic_merge({}, patch, shape))
            return
        current = self._elements[places[0]]
        assert isinstance(current, dict)  # only those have a name
        self._elements[places[0]] = strategic_merge(current, patch, shape)

    def all(self) -> list[object]:
        return list(self._elements.values())


def _without_directives(value: object) -> object:
    """A value that is set as a whole: nulls and directives have nothing to act on."""
    return strategic_merge({}, value, UNKNOWN) if isinstance(value, dict) else value


def _order(base: Manifest, target: Manifest, name: str, order: object, shape: Shape) -> None:
    """Sort the elements the client knows as it says; others keep their places between them."""
    current = base.get(name)
    if not isinstance(order, list):
        raise StrategicMergeError(f"{_ELEMENT_ORDER}{name} must be a list")
    if not isinstance(current, list):
        return
    key = shape.strategy.merge_key if shape.strategy else ""
    wanted = [_name(item, key) for item in order]
    listed = set(wanted)
    if unlisted := [one for item in current if (one := _name(item, key)) not in listed]:
        original = target.get(name)
        places = [_name(item, key) for item in original] if isinstance(original, list) else []
        wanted = _interleaved(wanted, unlisted, places)
    index = {item_name: place for place, item_name in reversed(list(enumerate(wanted)))}
    base[name] = sorted(current, key=lambda item: index[_name(item, key)])


def _interleaved(listed: Sequence[str], others: Sequence[str], places: Sequence[str]) -> list[str]:
    """Both in their own order; one of the others comes first when it stood before in the original list."""
    index = {name: place for place, name in enumerate(places)}
    result: list[str] = []
    remaining = deque(others)
    for name in listed:
        place = index.get(name, -1)
        while remaining and index.get(remaining[0], place) < place:
            result.append(remaining.popleft())
        result.append(name)
    return [*result, *remaining]


def _name(item: object, key: str) -> str:
    return _canonical(item.get(key) if key and isinstance(item, dict) else item)


def _canonical(value: object) -> str:
    """Equal for equal JSON values, and quick to look up."""
    return _encode(value)
