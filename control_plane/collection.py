"""What the garbage collector looks at: not, again and again, every stored object.

Objects are dicts of dicts, a million of them for 20,000 Pods. They hold no cycles, reference counting frees
them; a full collection would look through all of them and hold up everything for most of a second. So what
has survived one is exempt from those that follow (`gc.freeze`), as in the sidecar. What became garbage in a
cycle meanwhile stays until a thorough collection, once an hour.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_FULL: Final = 2
"""The collector's oldest generation."""
THOROUGH_INTERVAL: Final = 3600.0
"""Seconds. It takes as long as there are objects: 0.7 s for 20,000 Pods."""


@contextmanager
def without_collections() -> Iterator[None]:
    """Around what makes much that stays: collections meanwhile would look through all of it for nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def collect_only_what_is_new() -> None:
    """From now on each full collection looks at what was made since the one before. Idempotent."""
    if _after_collection not in gc.callbacks:
        gc.callbacks.append(_after_collection)


def _after_collection(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] == _FULL:
        gc.freeze()


async def collect_thoroughly(interval: float = THOROUGH_INTERVAL) -> None:
    """For ever: look at everything every `interval` seconds."""
    while True:
        await asyncio.sleep(interval)
        gc.unfreeze()
        gc.collect()
