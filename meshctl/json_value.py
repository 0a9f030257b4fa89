"""Careful steps into JSON that another process has written (pure): a wrong shape is empty, not an error."""

from collections.abc import Mapping

JsonObject = dict[str, object]


def objects(value: object) -> list[JsonObject]:
    """The objects of a list; empty for anything else."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def member(value: object, *path: str) -> object:
    """What lies under the keys of `path`; None when there is nothing."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def text(value: object, *path: str) -> str:
    """`member` as text; empty when there is nothing."""
    found = member(value, *path)
    return "" if found is None else str(found)


def texts(value: object, *path: str) -> list[str]:
    """The members of a list as text."""
    found = member(value, *path)
    return [str(entry) for entry in found] if isinstance(found, list) else []
