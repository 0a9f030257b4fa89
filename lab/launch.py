"""What a container's process runs before it becomes the container: namespaces, a root of its own,
privileges, exec.

Started by `sandbox.py` as `python -m lab.launch FD [HELD]`, where FD holds a `LaunchPlan` as JSON. It is
already in the pod's pid namespace. Whatever fails is written to stderr, which is the container's log, and
ends with 127 or 126 as shells do.
"""

import json
import os
import stat
import sys
from dataclasses import asdict, dataclass, field

from lab import syscalls

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "fd/0",
    "stdout": "fd/1",
    "stderr": "fd/2",
    "ptmx": "pts/ptmx",
}
_READ_ONLY_PROC = ("sys", "sysrq-trigger", "irq", "bus", "fs")
_PRIVATE = ("run", "tmp", "proc", "dev")
"""Top-level directories never shared with the host."""
_STAGING = "/run"
"""Exists everywhere; the new root is built on a tmpfs over it."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount of a container, made in order."""

    path: str
    """Absolute path in the container; missing directories are made."""
    source: str | None = None
    """Path on the host to bind; None mounts an empty tmpfs."""
    read_only: bool = True
    """For binds; a tmpfs is always writable."""
    mode: int = 0o755
    """Of a tmpfs."""
    below: str = ""
    """Of a bind: the part of `source` that is shown. Containers write there: links do not lead out of it."""


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """Everything a process needs to become a container."""

    argv: list[str]
    """Command; looked up in the PATH of `env`."""
    env: dict[str, str]
    network: str
    """Path of the network namespace to enter."""
    hostname: str
    cwd: str = "/"
    uid: int = 65534
    gid: int = 65534
    capabilities: list[int] = field(default_factory=list)
    """Kept in the bounding set; effective for uid 0 only."""
    groups: list[int] = field(default_factory=list)
    """Supplementary ones."""
    mounts: list[Mount] = field(default_factory=list)
    own_root: bool = True
    """False for the pod's pause process, which needs no files."""
    die_with_parent: bool = False

    def to_json(self) -> str:
        """For `from_json` in the started process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "LaunchPlan":
        """Inverse of `to_json`."""
        values = json.loads(text)
        values["mounts"] = [Mount(**mount) for mount in values["mounts"]]
        return cls(**values)


class RootBuilder:
    """Builds a container's root: the host's files read-only, its own /run, /tmp, /dev and /proc."""

    def __init__(self, root: str) -> None:
        self._root = root

    def build(self, mounts: list[Mount]) -> None:
        """Leaves the finished tree at the root; the caller pivots into it."""
        # Sources are opened first: the mounts below hide some of them, a descriptor still reaches them.
        sources = [_opened(mount) for mount in mounts]
        options = "mode=755,size=1m"
        syscalls.mount("tmpfs", self._root, filesystem="tmpfs", flags=syscalls.MS_NOSUID, options=options)
        self._bind_host()
        self._make_devices()
        self._make_proc()
        for mount, descriptor in zip(mounts, sources, strict=True):
            if descriptor is None:
                self._tmpfs(mount.path.lstrip("/"), mount.mode)
            else:
                self._bind(f"/proc/self/fd/{descriptor}", mount.path.lstrip("/"), mount.read_only)
                os.close(descriptor)

    def _bind_host(self) -> None:
        for entry in sorted(os.listdir("/")):
            if entry not in _PRIVATE:
                self._copy_entry(f"/{entry}", entry)
        self._tmpfs("run", 0o755)
        self._tmpfs("tmp", 0o1777)

    def _make_devices(self) -> None:
        self._tmpfs("dev", 0o755)
        for device in _DEVICES:
            self._copy_entry(f"/dev/{device}", f"dev/{device}")
        for name, target in _DEVICE_LINKS.items():
            os.symlink(target, f"{self._root}/dev/{name}")
        self._tmpfs("dev/shm", 0o1777)
        os.mkdir(f"{self._root}/dev/pts")
        flags = syscalls.MS_NOSUID | syscalls.MS_NOEXEC
        options = "newinstance,ptmxmode=0666,mode=620"
        syscalls.mount("devpts", f"{self._root}/dev/pts", filesystem="devpts", flags=flags, options=options)

    def _make_proc(self) -> None:
        proc = f"{self._root}/proc"
        os.mkdir(proc)
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        syscalls.mount("proc", proc, filesystem="proc", flags=flags)
        for name in _READ_ONLY_PROC:
            if os.path.exists(f"{proc}/{name}"):
                syscalls.mount(f"{proc}/{name}", f"{proc}/{name}", flags=syscalls.MS_BIND | syscalls.MS_REC)
                syscalls.make_read_only(f"{proc}/{name}")

    def _copy_entry(self, source: str, relative: str) -> None:
        """Bind a file or directory read-only, or repeat a symbolic link."""
        target = f"{self._root}/{relative}"
        mode = os.lstat(source).st_mode
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink(source), target)
            return
        if stat.S_ISDIR(mode):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        syscalls.mount(source, target, flags=syscalls.MS_BIND | syscalls.MS_REC)
        syscalls.make_read_only(target)

    def _tmpfs(self, relative: str, mode: int) -> None:
        target = self._mount_point(relative, directory=True)
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
        syscalls.mount("tmpfs", target, filesystem="tmpfs", flags=flags, options=f"mode={mode:o},size=256m")

    def _bind(self, source: str, relative: str, read_only: bool) -> None:
        target = self._mount_point(relative, directory=os.path.isdir(source))
        syscalls.mount(source, target, flags=syscalls.MS_BIND | syscalls.MS_REC)
        if read_only:
            syscalls.make_read_only(target)

    def _mount_point(self, relative: str, directory: bool) -> str:
        """Absolute path of an existing file or directory to mount on, made where it is missing."""
        path = _resolve(self._root, relative)
        target = f"{self._root}/{path}"
        if os.path.exists(target):
            return target
        parent = os.path.dirname(path)
        self._make_directories(parent)
        if directory:
            self._make_directories(path)
        else:
            self._open_up(parent)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        return target

    def _make_directories(self, relative: str) -> None:
        if os.path.isdir(f"{self._root}/{relative}"):
            return
        parent = os.path.dirname(relative)
        self._make_directories(parent)
        self._open_up(parent)
        os.mkdir(f"{self._root}/{relative}", 0o755)

    def _open_up(self, relative: str) -> None:
        """Make a read-only directory of the host extensible: a tmpfs in its place that holds all of its
        entries.
        """
        if os.access(f"{self._root}/{relative}", os.W_OK):
            return
        target = f"{self._root}/{relative}"
        original = os.open(target, os.O_PATH)
        entries = sorted(os.listdir(target))
        options = "mode=755,size=1m"
        syscalls.mount("tmpfs", target, filesystem="tmpfs", flags=syscalls.MS_NOSUID, options=options)
        for entry in entries:
            self._copy_entry(f"/proc/self/fd/{original}/{entry}", f"{relative}/{entry}")
        os.close(original)


def _opened(mount: Mount) -> int | None:
    """What is to be bound; None for a tmpfs."""
    if mount.source is None:
        return None
    source = os.open(mount.source, os.O_PATH)
    if not mount.below:
        return source
    try:
        return syscalls.open_beneath(source, mount.below)
    finally:
        os.close(source)


def _resolve(root: str, relative: str) -> str:
    """Follow symbolic links of `relative` as they will be followed once `root` is the root."""
    done: list[str] = []
    left = [part for part in relative.split("/") if part]
    for _ in range(1000):
        if not left:
            return "/".join(done)
        part = left.pop(0)
        if part == "..":
            done = done[:-1]
            continue
        path = "/".join((root, *done, part))
        if not os.path.islink(path):
            done.append(part)
            continue
        target = os.readlink(path)
        if target.startswith("/"):
            done = []
        left = [step for step in target.split("/") if step and step != "."] + left
    raise OSError(f"{relative}: too many symbolic links")


def become(plan: LaunchPlan) -> None:
    """Turn this process into the container; does not return."""
    with open(plan.network, "rb") as network:
        syscalls.setns(network.fileno(), syscalls.CLONE_NEWNET)
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.set_hostname(plan.hostname[:63])
    if plan.own_root:
        RootBuilder(_STAGING).build(plan.mounts)
        os.chdir(_STAGING)
        syscalls.pivot_root_here()
    os.umask(0o022)
    syscalls.drop_privileges(plan.uid, plan.gid, frozenset(plan.capabilities), plan.groups)
    if plan.die_with_parent:
        syscalls.die_with_parent(9)
    os.chdir(plan.cwd)
    os.execvpe(plan.argv[0], plan.argv, plan.env)  # noqa: S606


def main() -> None:
    """Read the plan from the descriptor named by the first argument and become it. A second one is held until
    then.
    """
    for held in sys.argv[2:]:
        os.set_inheritable(int(held), False)
    with os.fdopen(int(sys.argv[1])) as source:
        plan = LaunchPlan.from_json(source.read())
    try:
        become(plan)
    except FileNotFoundError as error:
        sys.exit(_fail(plan, error, 127))
    except OSError as error:
        sys.exit(_fail(plan, error, 126))


def _fail(plan: LaunchPlan, error: OSError, status: int) -> int:
    print(f"cannot start {plan.argv[0]!r}: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
