"""Control groups for one process: a CPU limit, and memory as the kernel counts it.

Both versions: where the machine mounts version 1 controllers they are used, else version 2. Groups are made
below the bench's own, so its limits keep holding.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final

from bench.errors import BenchError

_MOUNT: Final = Path("/sys/fs/cgroup")
_PERIOD_US: Final = 100_000
"""The kernel's default period, and Kubernetes'."""
_REMOVE_SECONDS = 3.0


class Cgroup:
    """One group of one controller, `cpu` or `memory`. Empty it before `remove`."""

    def __init__(self, controller: str, name: str) -> None:
        """Raises BenchError where control groups may not be made."""
        self.is_v1 = (_MOUNT / controller).is_dir()
        parent = _own_group(controller if self.is_v1 else "")
        self.path = parent / f"meshproxy-bench-{os.getpid()}-{name}"
        try:
            if not self.is_v1:
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")
            self.path.mkdir()
        except OSError as error:
            raise BenchError(
                f"no control group for {controller}: {error}; run as root on the host"
            ) from error

    def limit_cpu(self, millicores: int) -> None:
        """As a container limit does: 500 is half of one core."""
        quota = _PERIOD_US * millicores // 1000
        if self.is_v1:
            (self.path / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.path / "cpu.max").write_text(f"{quota} {_PERIOD_US}")

    def add(self, pid: int) -> None:
        """A process that runs already, with its threads."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def memory_mb(self) -> float:
        """Anonymous memory charged to the group, in 10^6 bytes; the file cache is left out."""
        stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return int(stat["rss" if self.is_v1 else "anon"]) / 1e6

    def remove(self) -> None:
        """Waits a moment for ended processes to leave."""
        give_up_at = time.monotonic() + _REMOVE_SECONDS
        while self.path.exists():
            with contextlib.suppress(OSError):
                self.path.rmdir()
                return
            if time.monotonic() > give_up_at:
                raise BenchError(f"{self.path} still holds processes: {self._processes()}")
            time.sleep(0.02)

    def _processes(self) -> str:
        return (self.path / "cgroup.procs").read_text().replace("\n", " ")


def _own_group(controller: str) -> Path:
    """The directory of the group this process is in; `controller` "" is version 2."""
    with open("/proc/self/cgroup") as table:
        for line in table:
            _, names, path = line.strip().split(":", 2)
            if controller in names.split(",") and (controller or not names):
                return _MOUNT / controller / path.lstrip("/")
    raise BenchError(f"this machine has no control group for {controller or 'version 2'}")
