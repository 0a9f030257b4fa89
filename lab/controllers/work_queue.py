"""Keys of objects that a controller has to look at: each at most once, and never by two at the same time."""

import asyncio
from collections.abc import Callable

from control_plane.resources.manifest import ObjectKey

_BASE, _CAP = 0.02, 10.0
"""Seconds before a key that failed is tried again; doubled with each failure in a row."""


class WorkQueue:
    """In the order in which they were added. `later` arranges calls, as `loop.call_later`."""

    def __init__(self, later: Callable[..., asyncio.TimerHandle] | None = None) -> None:
        self._later = later
        self._waiting: dict[ObjectKey, None] = {}
        self._in_work: set[ObjectKey] = set()
        self._again: set[ObjectKey] = set()
        self._failures: dict[ObjectKey, int] = {}
        self._timers: dict[ObjectKey, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: ObjectKey) -> None:
        """It has to be looked at; while somebody does, once more afterwards."""
        if key in self._in_work:
            self._again.add(key)
        else:
            self._waiting[key] = None
            self._filled.set()

    def add_after(self, key: ObjectKey, seconds: float) -> None:
        """In a while; the sooner of two times counts."""
        later = self._later or asyncio.get_running_loop().call_later
        loop_time = asyncio.get_running_loop().time() + seconds
        known = self._timers.get(key)
        if known is not None and not known.cancelled() and known.when() <= loop_time:
            return
        if known is not None:
            known.cancel()
        self._timers[key] = later(seconds, self._on_timer, key)

    def _on_timer(self, key: ObjectKey) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def take(self) -> ObjectKey | None:
        """The next one, which is in work until it is `done`; None when there is none."""
        key = next(iter(self._waiting), None)
        if key is not None:
            del self._waiting[key]
            self._in_work.add(key)
        return key

    async def get(self) -> ObjectKey:
        """As `take`, when there is one."""
        while (key := self.take()) is None:
            self._filled.clear()
            await self._filled.wait()
        return key

    def done(self, key: ObjectKey) -> None:
        """Nobody is at it any more."""
        self._in_work.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def succeeded(self, key: ObjectKey) -> None:
        """Forget its failures."""
        self._failures.pop(key, None)

    def failed(self, key: ObjectKey) -> None:
        """Look at it again, later with each failure in a row."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        self.add_after(key, min(_CAP, _BASE * 2.0 ** min(count, 32)))

    def close(self) -> None:
        """Cancel what was arranged for later."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
