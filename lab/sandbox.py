"""A pod's sandbox: the pid namespace its containers share, and the view of the host's files each of them
gets.

The first process of the pid namespace is a pause process that reaps orphans; when it ends the kernel kills
all others, so that nothing of a pod outlives it. It dies with the kubelet. The network namespace is made by
`network.py`.

`view_mounts` is pure: which mounts make the interpreter, the venv and the sources reachable for another uid
when they lie in a closed home directory. A closed directory is replaced by an empty one holding only what
is needed, read-only.
"""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from lab import syscalls
from lab.launch import LaunchPlan, Mount

SOURCE_ROOT = Path(__file__).resolve().parent.parent
"""Where the packages of this distribution lie: a clone or site-packages."""

_PAUSE = ["sh", "-c", "while :; do sleep 2147483647 & wait; done"]
_REPLACED = ("/run", "/tmp", "/dev", "/proc")  # noqa: S108 — the container's own, not a file of ours
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Output = IO[bytes] | int | None


def runtime_paths() -> list[str]:
    """What a container needs to run this Python: interpreter, environment, sources; real paths and names
    used.
    """
    names = {sys.base_prefix, sys.prefix, str(SOURCE_ROOT)}
    return sorted(names | {os.path.realpath(name) for name in names})


def container_path() -> str:
    """PATH of a container: this interpreter's environment first, so that `python` is the one that runs us."""
    return f"{os.path.join(sys.prefix, 'bin')}:{_SEARCH_PATH}"


def is_closed(directory: str) -> bool:
    """True when others than owner and group cannot pass through `directory`."""
    return not os.stat(directory).st_mode & stat.S_IXOTH


def view_mounts(
    needed: Iterable[str],
    closed: Callable[[str], bool] = is_closed,
    children: Callable[[str], list[str]] = os.listdir,
) -> list[Mount]:
    """Mounts that make every path of `needed` (absolute, existing) reachable at its own place; parents come
    first.
    """
    view = _View(closed, children)
    for path in sorted(set(needed)):
        view.add(path)
    return view.mounts


class _View:
    def __init__(self, closed: Callable[[str], bool], children: Callable[[str], list[str]]) -> None:
        self.mounts: list[Mount] = []
        self._closed = closed
        self._children = children
        self._emptied: set[str] = set()
        self._bound: set[str] = set()

    def add(self, path: str) -> None:
        """Make `path` reachable; a closed directory itself is shown through its entries."""
        ancestry = _ancestry(path)
        hidden = path.startswith(tuple(f"{top}/" for top in _REPLACED))
        for directory in ancestry:
            if self._closed(directory):
                hidden = True
                self._empty(directory)
        if not hidden or self._is_bound(ancestry):
            return
        if path in self._emptied:
            for name in sorted(self._children(path)):
                self._bind(f"{path}/{name}")
        else:
            self._bind(path)

    def _empty(self, directory: str) -> None:
        if directory not in self._emptied:
            self._emptied.add(directory)
            self.mounts.append(Mount(directory))

    def _bind(self, path: str) -> None:
        self._bound.add(path)
        self.mounts.append(Mount(path, path))

    def _is_bound(self, ancestry: list[str]) -> bool:
        """True when a bind above shows the path and no directory between them was emptied."""
        for directory in reversed(ancestry):
            if directory in self._bound:
                return True
            if directory in self._emptied:
                return False
        return False


def _ancestry(path: str) -> list[str]:
    """`/a/b` → [`/a`, `/a/b`]."""
    parts = path.strip("/").split("/")
    return ["/" + "/".join(parts[: end + 1]) for end in range(len(parts))]


def unreadable_by_others(paths: Iterable[str]) -> list[str]:
    """Files every container must read and cannot, because of their own mode."""
    missing = []
    for path in paths:
        if os.path.exists(path):
            needed = stat.S_IROTH | (stat.S_IXOTH if os.path.isdir(path) else 0)
            if os.stat(path).st_mode & needed != needed:
                missing.append(path)
    return missing


def runtime_samples() -> list[str]:
    """One file of each part of the runtime, to check that others may read it before a pod fails on it."""
    return [
        os.path.realpath(sys.executable),
        os.path.realpath(os.__file__),
        os.path.join(sys.prefix, "pyvenv.cfg"),
        str(SOURCE_ROOT / "lab"),
        str(SOURCE_ROOT / "lab" / "launch.py"),
    ]


class Sandbox:
    """The live pid namespace of one pod. Spawning blocks for about a millisecond."""

    def __init__(self, network: str, hostname: str) -> None:
        """Start the pause process in the network namespace at path `network`."""
        plan = LaunchPlan(
            argv=_PAUSE,
            env={"PATH": _SEARCH_PATH},
            network=network,
            hostname=hostname,
            own_root=False,
            die_with_parent=True,
        )
        self.pause = spawn(plan, None, stdout=subprocess.DEVNULL, stderr=None)
        self._namespace = os.open(f"/proc/{self.pause.pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def spawn(
        self, plan: LaunchPlan, stdout: Output, stderr: Output, *, until_exec: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process in the pod. It is our direct child. Raises OSError when the pause process is
        gone.

        `until_exec`: a descriptor that the process holds until it has become the container, or has failed to.
        """
        return spawn(plan, self._namespace, stdout=stdout, stderr=stderr, until_exec=until_exec)

    def kill(self) -> None:
        """End every process of the pod at once; the caller reaps them.

        The kernel lets the pause process end only after all others were reaped, so waiting for it first
        would wait for ever.
        """
        self.pause.kill()
        os.close(self._namespace)


def spawn(
    plan: LaunchPlan,
    pid_namespace: int | None,
    *,
    stdout: Output,
    stderr: Output,
    until_exec: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `plan` in a pid namespace (None: as first process of a new one)."""
    descriptor = os.memfd_create("launch-plan", 0)
    try:
        os.write(descriptor, plan.to_json().encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        held = [descriptor] if until_exec is None else [descriptor, until_exec]
        command = [sys.executable, "-S", "-P", "-m", "lab.launch", *map(str, held)]
        with syscalls.children_in(pid_namespace):
            return subprocess.Popen(
                command,
                env={"PYTHONPATH": str(SOURCE_ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=held,
                start_new_session=True,
            )
    finally:
        os.close(descriptor)
