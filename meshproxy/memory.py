"""What this process does with memory: when the allocator gives it back, and what the collector looks at.

glibc maps and unmaps every allocation above a moving threshold of 128 KiB; buffers of that size come and go
with each bulk read, and the page faults cost more than the copies. mallopt(3).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEEP_BYTES: Final = 4 * 1024 * 1024


def raise_thresholds() -> bool:
    """Keep freed memory up to 4 MiB; False where the C library has no `mallopt` (musl): nothing changes."""
    name = ctypes.util.find_library("c")
    mallopt = getattr(ctypes.CDLL(name), "mallopt", None) if name else None
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES))


def keep_out_of_collections() -> None:
    """Exempt what lives now from garbage collection. Call it after configuration was put in force.

    Configuration is large, lives long and holds no cycles: a full collection would look through all of it and
    stalled the loop for a quarter of a second with 1,000 services. Reference counting still frees it.
    """
    gc.freeze()
