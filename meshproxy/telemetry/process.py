"""Memory and CPU of this process, read from /proc when scraped."""

from __future__ import annotations

import os
from pathlib import Path


def resident_bytes(statm: str, page_size: int) -> int:
    """Resident set size from the text of `/proc/self/statm`: its second field, in pages (proc(5))."""
    return int(statm.split()[1]) * page_size


def cpu_seconds(stat: str, ticks_per_second: int) -> float:
    """User and system time from the text of `/proc/self/stat`: utime and stime, fields 14 and 15 (proc(5)).

    The second field is the command in parentheses and may hold anything, so fields are counted after the
    last `)`.
    """
    fields = stat[stat.rindex(")") + 1 :].split()
    return (int(fields[11]) + int(fields[12])) / ticks_per_second


def own_resident_bytes() -> float:
    """Resident memory of this process."""
    return resident_bytes(Path("/proc/self/statm").read_text(), os.sysconf("SC_PAGE_SIZE"))


def own_cpu_seconds() -> float:
    """CPU time of this process, all threads."""
    return cpu_seconds(Path("/proc/self/stat").read_text(), os.sysconf("SC_CLK_TCK"))
