"""Header fields as both sides of HTTP/2 have them (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Fields = tuple[tuple[str, str], ...]


def by_name(fields: Iterable[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    """All values of each name, in order."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in fields:
        found[name] = (*found.get(name, ()), value)
    return found
