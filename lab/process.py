"""Processes that outlive the one that looks at them: named by id and start time, since ids are reused."""

import contextlib
import os
import select
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_START_TIME = 19
"""Index of `starttime` among the fields of /proc/<pid>/stat that follow the command: proc(5), field 22."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process for ever."""

    pid: int
    start_time: int
    """Clock ticks after boot."""

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """The process that has `pid` now. Raises ProcessLookupError."""
        return cls(pid, _start_time(pid))

    def is_alive(self) -> bool:
        """It runs still; a zombie does not."""
        try:
            return _start_time(self.pid) == self.start_time
        except ProcessLookupError:
            return False


def _start_time(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"no process {pid}") from None
    fields = stat.rpartition(")")[2].split()  # the command may hold blanks and parentheses
    if fields[0] == "Z":
        raise ProcessLookupError(f"process {pid} has ended")
    return int(fields[_START_TIME])


def end(process: ProcessId, number: signal.Signals, wait: float) -> bool:
    """Signal a process and wait up to `wait` seconds; whether it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not process.is_alive():
            return True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(wait * 1000))
    finally:
        os.close(handle)


def running_with(modules: Iterable[str], argument: str) -> list[ProcessId]:
    """Processes of the form `python -m <module> … <argument> …`, for any of `modules`; never the caller."""
    found = []
    wanted = set(modules)
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if argument in words and wanted.intersection(words):
                found.append(ProcessId.of(int(name)))
    return found
