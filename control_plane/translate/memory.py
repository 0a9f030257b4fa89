"""Values remembered with what they were built from (pure).

Registry objects are replaced, never mutated, so the identity of the inputs tells whether a value still holds.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_UNPRUNED = 1_000
"""Remembered entries that are kept without asking whether anybody still uses them."""


@dataclass(slots=True)
class _Remembered:
    inputs: tuple[object, ...]
    value: object
    used_at: int
    """Registry revision of the last use."""


class Memory:
    """One translator's."""

    def __init__(self, revision: Callable[[], int]) -> None:
        """`revision`: the registry's."""
        self._revision = revision
        self._memo: dict[Hashable, _Remembered] = {}
        self._kept = 0

    def remember(self, key: Hashable, inputs: tuple[object, ...], build: Callable[[], T]) -> T:
        """The value built from exactly these input objects, if it is still there; else build it."""
        known = self._memo.get(key)
        if known is not None and _same(known.inputs, inputs):
            known.used_at = self._revision()
            return known.value  # type: ignore[return-value]  # the key's first element fixes the type
        value = build()
        self._memo[key] = _Remembered(inputs, value, self._revision())
        return value

    def prune(self) -> None:
        """Drop what this revision did not use, once the memory has doubled; who needs it again builds it
        again."""
        if len(self._memo) <= 2 * self._kept + _UNPRUNED:
            return
        revision = self._revision()
        self._memo = {key: entry for key, entry in self._memo.items() if entry.used_at == revision}
        self._kept = len(self._memo)


def _same(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return len(left) == len(right) and all(one is other for one, other in zip(left, right, strict=True))
