"""What this process does with memory: when the allocator gives it back, and what the collector looks at.

glibc maps and unmaps every allocation above a moving threshold of 128 KiB; buffers of that size come and go
with each bulk read, and the page faults cost more than the copies. And it gives each thread an arena of its
own, though ours hold the GIL whenever they allocate much. mallopt(3).
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_FULL: Final = 2
"""The collector's oldest generation."""
_KEEP_BYTES: Final = 4 * 1024 * 1024


def tune_allocator() -> bool:
    """Keep freed memory up to 4 MiB, in one arena (1 MB less with 100 services). To be called before threads
    are started; False where the C library has no `mallopt` (musl): nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of the C library that runs us
    if mallopt is None:
        return False
    settings = ((_M_MMAP_THRESHOLD, _KEEP_BYTES), (_M_TRIM_THRESHOLD, _KEEP_BYTES), (_M_ARENA_MAX, 1))
    return all(mallopt(option, value) for option, value in settings)


def collect_only_what_is_new() -> None:
    """From now on each full collection looks at what was made since the one before (decision 14). Once a
    process.

    What survives one is connections, metric series and memory of heads: tens of thousands of objects with
    1,000 services, 16 ms to look through. Our data path leaves no cycles, so they go without the collector.
    """
    gc.callbacks.append(_after_collection)


def _after_collection(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] == _FULL:
        gc.freeze()


def keep_out_of_collections() -> None:
    """Exempt what lives now from garbage collection. Call it after configuration was put in force.

    Configuration is large, lives long and holds no cycles: a full collection would look through all of it and
    stalled the loop for a quarter of a second with 1,000 services. Reference counting still frees it.
    """
    gc.freeze()
