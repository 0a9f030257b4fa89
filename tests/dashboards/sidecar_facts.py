"""What the kernel says of a sidecar, and what its certificate says."""

import os
from datetime import datetime
from pathlib import Path

from lab.pod_record import PodRecord
from meshctl.sidecar_admin import read_json

SIDECAR = "meshproxy"
_TICKS = os.sysconf("SC_CLK_TCK")


def memory(pod: PodRecord) -> float:
    """Resident bytes of the sidecar's processes."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(_words(pid, "statm")[1]) * page for pid in _processes(pod))


def cpu_seconds(pod: PodRecord) -> float:
    """User and system time of the sidecar's processes so far."""
    return sum(sum(map(int, _stat(pid)[11:13])) for pid in _processes(pod)) / _TICKS


def expires_at(pod: PodRecord) -> float:
    """Unix time at which its certificate expires."""
    page = read_json(pod, "/certs")
    assert isinstance(page, dict)
    return datetime.fromisoformat(page["certificate"]["expiration_time"]).timestamp()


def _processes(pod: PodRecord) -> list[int]:
    """The container's first process and all that come from it."""
    found = [pod.containers[SIDECAR].pid]
    parents = {int(path.name): int(_stat(int(path.name))[1]) for path in _all() if path.exists()}
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _all() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _stat(pid: int) -> list[str]:
    """The fields behind the name, which may have blanks; those of nothing for a process that has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X", "0", *["0"] * 50]


def _words(pid: int, name: str) -> list[str]:
    return Path(f"/proc/{pid}/{name}").read_text().split()
