"""Processes of the bench: pinned to a core, inside a namespace, with their CPU time and memory.

Each is in a process group of its own, so that Ctrl-C reaches the bench only, which then ends them in order.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from bench.errors import BenchError
from lab import netns

PROXY_CORE: Final = 0
LOAD_CORE: Final = 1
ANY_CORE: Final = -1
"""No core of its own: wherever the kernel puts it."""
PROXY_GROUP: Final = 1337
"""Connections of this group are not intercepted; the same for every proxy."""

SOURCE_ROOT: Final = Path(__file__).resolve().parent.parent

_STOP_SECONDS = 3.0
_POLL = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")

T = TypeVar("T")


class Process:
    """A running program. `stop` ends it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        namespace: Path,
        core: int,
        log: Path,
        is_proxy: bool = False,
        cgroups: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """`cgroups`: directories whose limits hold from before the program starts; `core` may be ANY_CORE."""
        self.name = log.stem
        self.log = log
        cores = str(core) if core != ANY_CORE else f"0-{(os.cpu_count() or 1) - 1}"  # the bench is pinned
        pinned = ["taskset", "-c", cores, *command]
        self.started_at = time.monotonic()
        with open(log, "ab") as output:
            self._popen = netns.inside(
                namespace,
                lambda: subprocess.Popen(
                    [*_entering(cgroups), *pinned],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=SOURCE_ROOT,
                    process_group=0,
                    group=PROXY_GROUP if is_proxy else None,
                    env={**os.environ, **(environment or {})},
                    pass_fds=pass_fds,
                ),
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def check(self) -> None:
        """Raises BenchError when it has ended."""
        code = self._popen.poll()
        if code is not None:
            raise BenchError(f"{self.name} ended with {code}; the end of {self.log}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def wait(self, timeout: float) -> int:
        return self._popen.wait(timeout)

    def stop(self) -> None:
        """End it: asked first, killed when it does not."""
        if self._popen.poll() is None:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_STOP_SECONDS)
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()

    # --- what it uses ---

    def cpu_seconds(self) -> float:
        """On a core so far, with its children, from the scheduler's nanoseconds: ticks are too coarse."""
        return sum(_task_seconds(task) for pid in _tree(self.pid) for task in _tasks(pid))

    def rss_mb(self) -> float:
        """Resident memory of it and its children, in 10^6 bytes; pages they share count for each."""
        return sum(_rss_bytes(pid) for pid in _tree(self.pid)) / 1e6


def _entering(cgroups: Sequence[Path]) -> list[str]:
    """Words that put the process to be started into control groups."""
    if not cgroups:
        return []
    script = 'for group in $0; do echo $$ > "$group/cgroup.procs" || exit 1; done; exec "$@"'
    return ["sh", "-c", script, " ".join(map(str, cgroups))]


def _tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(_parent(int(name)), []).append(int(name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[1])  # the command may hold blanks and parentheses
    return 0


def _tasks(pid: int) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(Path(f"/proc/{pid}/task").iterdir())
    return []


def _task_seconds(task: Path) -> float:
    with contextlib.suppress(OSError):
        return int((task / "schedstat").read_text().split()[0]) / 1e9
    return 0.0


def _rss_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def core_busy_seconds(core: int) -> float:
    """Seconds a core was not idle since boot: user, system, interrupts, whoever caused them."""
    with open("/proc/stat") as table:
        fields = next(line.split() for line in table if line.startswith(f"cpu{core} "))
    user, nice, system, _, _, irq, softirq, *_ = (int(field) for field in fields[1:])
    return (user + nice + system + irq + softirq) / _TICKS


def until(condition: Callable[[], T | None], what: str, timeout: float, watch: Sequence[Process] = ()) -> T:
    """Wait for a result that is neither None nor False. Raises BenchError after `timeout` seconds, or when
    one of the processes `watch` ends."""
    give_up_at = time.monotonic() + timeout
    while True:
        result = condition()
        if result is not None and result is not False:
            return result
        for process in watch:
            process.check()
        if time.monotonic() > give_up_at:
            words = "\n".join(f"{process.name} said:\n{process.tail()}" for process in watch)
            raise BenchError(f"{what}: not within {timeout:g} s\n{words}")
        time.sleep(_POLL)
