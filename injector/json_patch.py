"""What turns one JSON document into another, as RFC 6902 operations (pure).

Only `add`, `remove` and `replace`, in an order that depends on nothing but the documents. A webhook's patch
is read by people, so a container put in front of others is one `add` and not a replacement of each.
"""

from collections.abc import Iterator, Mapping
from typing import cast

Operation = dict[str, object]


def difference(before: object, after: object) -> list[Operation]:
    """Operations that make `before` equal `after`; empty when it does already."""
    return list(_difference(before, after, ""))


def _difference(before: object, after: object, path: str) -> Iterator[Operation]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_objects(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(before, after, path)
    elif not _is_same(before, after):
        yield {"op": "replace", "path": path, "value": after}


def _of_objects(before: Mapping[str, object], after: Mapping[str, object], path: str) -> Iterator[Operation]:
    for name, value in before.items():
        place = f"{path}/{_escaped(name)}"
        if name not in after:
            yield {"op": "remove", "path": place}
        else:
            yield from _difference(value, after[name], place)
    for name in after:
        if name not in before:
            yield {"op": "add", "path": f"{path}/{_escaped(name)}", "value": after[name]}


def _of_lists(before: list[object], after: list[object], path: str) -> Iterator[Operation]:
    """What both begin and end with stays; in between, elements of one name are compared with each other."""
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    # From the end, so that no index changes under an operation that is still to come.
    kept = {_name(each): each for each in new if _name(each)}
    for index in range(len(old) - 1, -1, -1):
        if _name(old[index]) not in kept:
            yield {"op": "remove", "path": f"{path}/{start + index}"}
            del old[index]  # a slice, so the caller's list is not touched
    yield from _aligned(old, new, path, start)


def _aligned(old: list[object], new: list[object], path: str, start: int) -> Iterator[Operation]:
    """`old` holds nothing that `new` has not; what differs by name is inserted, the rest compared."""
    names = [_name(each) for each in new]
    if [name for name in names if name in {_name(each) for each in old}] != [_name(each) for each in old]:
        yield from _rewritten(old, new, path, start)
        return
    remaining = list(old)
    for index, value in enumerate(new, start):
        if remaining and _name(remaining[0]) == _name(value):
            yield from _difference(remaining.pop(0), value, f"{path}/{index}")
        else:
            yield {"op": "add", "path": f"{path}/{index}", "value": value}


def _rewritten(old: list[object], new: list[object], path: str, start: int) -> Iterator[Operation]:
    """The order has changed: element by element."""
    for index, (before, after) in enumerate(zip(old, new, strict=False), start):
        yield from _difference(before, after, f"{path}/{index}")
    for index, value in enumerate(new[len(old) :], start + len(old)):
        yield {"op": "add", "path": f"{path}/{index}", "value": value}
    for index in range(len(old) - 1, len(new) - 1, -1):
        yield {"op": "remove", "path": f"{path}/{start + index}"}


def _common(one: list[object], other: list[object]) -> int:
    """How many elements both begin with."""
    pairs = zip(one, other, strict=False)
    return next(
        (index for index, (left, right) in enumerate(pairs) if not _is_same(left, right)),
        min(len(one), len(other)),
    )


def _is_same(one: object, other: object) -> bool:
    """As JSON: `True` is not 1, though Python says so, also further down."""
    if type(one) is not type(other):
        return isinstance(one, int | float) and isinstance(other, int | float) and _is_same_number(one, other)
    if isinstance(one, dict):
        theirs = cast("dict[str, object]", other)
        return one.keys() == theirs.keys() and all(_is_same(one[key], theirs[key]) for key in one)
    if isinstance(one, list):
        them = cast("list[object]", other)
        return len(one) == len(them) and all(map(_is_same, one, them))
    return one == other


def _is_same_number(one: float, other: float) -> bool:
    return not isinstance(one, bool) and not isinstance(other, bool) and one == other


def _name(value: object) -> object:
    """What Kubernetes tells the elements of most lists apart by; elements without one are their own."""
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return value["name"]
    return ""


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
