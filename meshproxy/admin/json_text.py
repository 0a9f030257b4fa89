"""JSON of configuration objects, written in slices (pure).

Frozen dataclasses, enums, mappings and sets are converted when the encoder reaches them, so that a dump of
a thousand services never exists as one tree or one string, and never holds up the event loop for longer
than a slice takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, ItemsView, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum

from meshproxy.telemetry.exposition import slices

_SLICE_CHARACTERS = 8_192
"""The pure-Python encoder makes about 5 characters a microsecond: 2 ms."""


class LazyObject(Mapping[str, object]):
    """A JSON object whose content is made when the writer reaches it, and not kept."""

    def __init__(self, make: Callable[[], dict[str, object]]) -> None:
        self._make = make

    def __getitem__(self, key: str) -> object:
        return self._make()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make())

    def __len__(self) -> int:
        return len(self._make())

    def items(self) -> ItemsView[str, object]:
        """Made once, which value by value would not be."""
        return self._make().items()


def json_slices(value: object) -> Iterator[str]:
    """`value` as indented JSON, ended by a line feed. Raises TypeError for what has no JSON form, while
    iterating.
    """
    return slices(_pieces(value), _SLICE_CHARACTERS)


def _pieces(value: object) -> Iterator[str]:
    yield from json.JSONEncoder(indent=1, default=_plain).iterencode(value)
    yield "\n"


def _plain(value: object) -> object:
    """One level of `value` in types that JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: getattr(value, entry.name) for entry in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value.items())  # a lazy one makes its items once, and each value looked up anew
    if isinstance(value, AbstractSet):
        return sorted(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    raise TypeError(f"{type(value).__name__} has no JSON form")
