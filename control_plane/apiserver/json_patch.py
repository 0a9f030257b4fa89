"""JSON Patch (RFC 6902) on a JSON document (pure): all operations or none; the given document stays as it is.

Bounded as in kube-apiserver: in operations, and in what `copy` may multiply.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Document: TypeAlias = object
"""Any JSON value."""

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 * 1024 * 1024
"""Characters of JSON that all `copy` operations of a patch may make."""
_MAX_DIGITS = 9


class JsonPatchError(ValueError):
    """A patch that cannot be applied. The message names the operation."""


class PatchTestFailed(JsonPatchError):
    """A `test` operation found another value."""


def apply_patch(document: Document, operations: Sequence[object]) -> Document:
    """The patched copy. Raises JsonPatchError."""
    if len(operations) > MAX_OPERATIONS:
        raise JsonPatchError(
            f"the patch has {len(operations)} operations; the maximum allowed is {MAX_OPERATIONS}"
        )
    patching = _Patching(copy.deepcopy(document))
    for number, operation in enumerate(operations):
        try:
            patching.apply(operation)
        except PatchTestFailed as error:
            raise PatchTestFailed(f"operation {number}: {error}") from error
        except JsonPatchError as error:
            raise JsonPatchError(f"operation {number}: {error}") from error
    return patching.document


class _Patching:
    """A document that is ours to change."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._copied = 0

    def apply(self, operation: object) -> None:
        if not isinstance(operation, Mapping):
            raise JsonPatchError("must be an object")
        path = _pointer(operation, "path")
        match operation.get("op"):
            case "add":
                self._add(path, copy.deepcopy(_value(operation)))
            case "remove":
                self._remove(path)
            case "replace":
                self._replace(path, copy.deepcopy(_value(operation)))
            case "move":
                self._move(_pointer(operation, "from"), path)
            case "copy":
                self._add(path, self._copy(_pointer(operation, "from")))
            case "test":
                self._test(path, _value(operation))
            case other:
                raise JsonPatchError(f"op {other!r} is none of add, remove, replace, move, copy, test")

    def _add(self, path: list[str], value: object) -> None:
        if not path:
            self.document = value
            return
        holder, last = self._at(path[:-1]), path[-1]
        if isinstance(holder, dict):
            holder[last] = value
        elif isinstance(holder, list):
            holder.insert(len(holder) if last == "-" else _index(last, len(holder)), value)
        else:
            raise _missing(path)

    def _remove(self, path: list[str]) -> object:
        if not path:
            raise JsonPatchError("the whole document cannot be removed")
        self._at(path)
        holder, last = self._at(path[:-1]), path[-1]
        if isinstance(holder, dict):
            return holder.pop(last)
        assert isinstance(holder, list)
        return holder.pop(_index(last, len(holder) - 1))

    def _replace(self, path: list[str], value: object) -> None:
        if not path:
            self.document = value
            return
        self._at(path)
        holder, last = self._at(path[:-1]), path[-1]
        if isinstance(holder, dict):
            holder[last] = value
        else:
            assert isinstance(holder, list)
            holder[_index(last, len(holder) - 1)] = value

    def _move(self, source: list[str], path: list[str]) -> None:
        if path[: len(source)] == source and path != source:
            raise JsonPatchError(f"{_text(source)!r} cannot be moved into itself")
        if path != source:
            self._add(path, self._remove(source))
        else:
            self._at(source)

    def _copy(self, source: list[str]) -> object:
        value = self._at(source)
        self._copied += len(json.dumps(value))
        if self._copied > MAX_COPIED:
            raise JsonPatchError(f"the copy operations make more than {MAX_COPIED} bytes")
        return copy.deepcopy(value)

    def _test(self, path: list[str], wanted: object) -> None:
        if not _is_equal(self._at(path), wanted):
            raise PatchTestFailed(f"testing value {_text(path)} failed")

    def _at(self, path: list[str]) -> object:
        """The value at a place. Raises JsonPatchError when there is none."""
        value = self.document
        for part in path:
            if isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(value, list):
                value = value[_index(part, len(value) - 1)]
            else:
                raise _missing(path)
        return value


def _value(operation: Mapping[str, object]) -> object:
    if "value" not in operation:
        raise JsonPatchError(f"{operation.get('op')} needs a value")
    return operation["value"]


def _pointer(operation: Mapping[str, object], field: str) -> list[str]:
    """RFC 6901."""
    text = operation.get(field)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise JsonPatchError(f"{field} must be a JSON pointer such as /metadata/labels, not {text!r}")
    if "~" in text.replace("~0", "").replace("~1", ""):
        raise JsonPatchError(f"{field} {text!r}: '~' is written ~0, '/' is written ~1")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(part: str, highest: int) -> int:
    is_number = part.isascii() and part.isdecimal() and len(part) <= _MAX_DIGITS
    if not is_number or (part != "0" and part.startswith("0")):
        raise JsonPatchError(f"{part!r} is no index of a list")
    if int(part) > highest:
        raise JsonPatchError(f"index {part} is beyond the end of the list")
    return int(part)


def _is_equal(one: object, other: object) -> bool:
    """JSON's equality: in Python `True == 1`, also deep inside."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    return one == other


def _missing(path: list[str]) -> JsonPatchError:
    return JsonPatchError(f"there is nothing at {_text(path)!r}")


def _text(path: list[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
