"""Idle connections of one endpoint (pure): last in, first out, bounded in number and age. [7]

LIFO keeps few connections warm and lets the rest age out. Closing is the caller's: methods return what to
close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Limits of one endpoint's pool."""

    max_idle: int = 256
    """Connections kept without an exchange; more are closed when they become free."""
    idle_timeout: float = 3600.0
    """Seconds a connection may wait; Envoy's default is 1 h."""

    def __post_init__(self) -> None:
        if self.max_idle < 0:
            raise ValueError(f"max_idle must not be negative: {self.max_idle}")
        if self.idle_timeout <= 0:
            raise ValueError(f"idle_timeout must be positive: {self.idle_timeout}")


class IdlePool(Generic[C]):
    """Connections that could serve the next exchange."""

    __slots__ = ("_items", "settings")

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        self._items: list[tuple[C, float]] = []

    def __len__(self) -> int:
        return len(self._items)

    def take(self) -> C | None:
        """The connection that was used last; None when there is none."""
        return self._items.pop()[0] if self._items else None

    def put(self, connection: C, now: float) -> bool:
        """Keep a free connection; False: the pool is full, close it."""
        if len(self._items) >= self.settings.max_idle:
            return False
        self._items.append((connection, now))
        return True

    def discard(self, connection: C) -> None:
        """Forget a connection that was lost. Unknown ones are fine: it may be in use."""
        for index, (item, _) in enumerate(self._items):
            if item is connection:
                del self._items[index]
                return

    def expire(self, now: float) -> list[C]:
        """Take out what waited too long; the oldest are in front."""
        limit = now - self.settings.idle_timeout
        count = 0
        for _, since in self._items:
            if since > limit:
                break
            count += 1
        expired = [item for item, _ in self._items[:count]]
        del self._items[:count]
        return expired

    def clear(self) -> list[C]:
        """Take out everything."""
        items = [item for item, _ in self._items]
        self._items.clear()
        return items
