"""Tables that remember parsed bytes without growing (pure). [3]

A peer chooses the keys, so a table must stay small and useful whatever is sent:

- a doorkeeper admits a key only at its second sighting, so heads that never repeat do not enter;
- entries and key bytes are capped per generation. A full generation becomes the old one and the former old
  one is dropped; a lookup that finds its key in the old one moves it on. What is used survives a flood,
  what is not is gone after two turns. A turn copies one bounded dict: microseconds;
- a value is a pure function of its key, so nobody can put a wrong value in: sharing between connections is
  safe. Keys are compared whole and hashed with the interpreter's per-process secret.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

V = TypeVar("V")

MAX_KEPT_HEAD: Final = 8192
"""Longest head (bytes) kept whole: longer ones are rare. A browser behind a login sends 4 to 6 KiB."""

_DOOR_MARKS = 4096
"""Hashes of keys seen once; forgotten together when full. Two keys of one hash only let one in a sighting
early."""


class BoundedMemory(dict[bytes, V], Generic[V]):
    """The young generation is the dict itself, so a hit costs one `get`; after a miss ask `recall`, then
    `offer`."""

    __slots__ = ("_door", "_key_bytes", "_max_bytes", "_max_entries", "_max_key", "_old")

    def __init__(self, *, max_entries: int, max_bytes: int, max_key: int) -> None:
        """`max_entries` and `max_bytes` (of keys) count per generation; a key longer than `max_key` is not
        kept."""
        super().__init__()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_key = max_key
        self._old: dict[bytes, V] = {}
        self._door: set[int] = set()
        self._key_bytes = 0

    @property
    def size(self) -> int:
        """Entries of both generations, for the admin page."""
        return len(self) + len(self._old)

    def knows(self, key: bytes) -> bool:
        """Whether it is remembered; moves nothing."""
        return key in self or key in self._old

    def recall(self, key: bytes) -> V | None:
        """Look in the old generation, after the young one missed; a find is kept for another turn."""
        value = self._old.get(key)
        if value is not None:
            self._insert(key, value)
        return value

    def offer(self, key: bytes, value: V) -> bool:
        """Remember `value` if its key was seen before. True when it was kept."""
        mark = hash(key)
        door = self._door
        if mark in door:
            door.discard(mark)
            if len(key) > self._max_key or key in self:
                return False
            self._insert(key, value)
            return True
        if len(door) >= _DOOR_MARKS:
            door.clear()
        door.add(mark)
        return False

    def _insert(self, key: bytes, value: V) -> None:
        if len(self) >= self._max_entries or self._key_bytes + len(key) > self._max_bytes:
            self._old = dict(self)
            self.clear()
            self._key_bytes = 0
        self._key_bytes += len(key)
        self[key] = value


class ParsedMemory(BoundedMemory[V]):
    """`memory[key]` is `parse(key)`, remembered. What `parse` raises is raised and not remembered."""

    __slots__ = ("_parse",)

    def __init__(
        self, parse: Callable[[bytes], V], *, max_entries: int, max_bytes: int, max_key: int
    ) -> None:
        super().__init__(max_entries=max_entries, max_bytes=max_bytes, max_key=max_key)
        self._parse = parse

    def __missing__(self, key: bytes) -> V:
        value = self._old.get(key)
        if value is None:
            value = self._parse(key)
            self.offer(key, value)
        else:
            self._insert(key, value)
        return value
