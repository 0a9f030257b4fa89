"""Memory and CPU of a process, read from /proc when scraped."""

from __future__ import annotations

import os
from collections.abc import Iterable
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


def reaped_cpu_seconds(stat: str, ticks_per_second: int) -> float:
    """User and system time of children that ended and were waited for: cutime and cstime, fields 16 and 17
    (proc(5))."""
    fields = stat[stat.rindex(")") + 1 :].split()
    return (int(fields[13]) + int(fields[14])) / ticks_per_second


def own_resident_bytes() -> float:
    """Resident memory of this process."""
    return resident_bytes(Path("/proc/self/statm").read_text(), os.sysconf("SC_PAGE_SIZE"))


def own_cpu_seconds() -> float:
    """CPU time of this process, all threads."""
    return cpu_seconds(Path("/proc/self/stat").read_text(), os.sysconf("SC_CLK_TCK"))


def family_resident_bytes(children: Iterable[int]) -> float:
    """Resident memory of this process and the given children; pages that they share count for each."""
    page_size = os.sysconf("SC_PAGE_SIZE")
    return own_resident_bytes() + sum(
        resident_bytes(text, page_size) for pid in children if (text := _child_file(pid, "statm"))
    )


def family_cpu_seconds(children: Iterable[int]) -> float:
    """CPU time of this process, of the given children, and of those that ended before."""
    ticks = os.sysconf("SC_CLK_TCK")
    alive = sum(cpu_seconds(text, ticks) for pid in children if (text := _child_file(pid, "stat")))
    return own_cpu_seconds() + reaped_cpu_seconds(Path("/proc/self/stat").read_text(), ticks) + alive


def _child_file(pid: int, name: str) -> str:
    """Empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
