"""Network namespaces kept as files: create, enter, find their processes, delete. Linux only, needs
CAP_SYS_ADMIN.

A namespace is a file on which the kernel's namespace handle is bind-mounted, as `ip netns` does, but
wherever the caller says (never `/run/netns`). Entering happens in a thread made for one call:
`setns(CLONE_NEWNET)` acts on the calling thread only, sockets and child processes made there stay in the
namespace, and the rest of the process never moves.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

Result = TypeVar("Result")

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_MS_BIND = 4096  # linux/mount.h
_MNT_DETACH = 2
_COMMAND_TIMEOUT = 30.0
"""Seconds for one `ip` or `iptables` command; they take milliseconds, so a hang is reported instead of
waited for."""
_KILL_TIMEOUT = 10.0
"""Seconds to wait for killed processes to be gone."""

_libc = ctypes.CDLL(None, use_errno=True)

Identity = tuple[int, int]
"""(device, inode) of a namespace: equal exactly for handles of the same namespace."""


class NetworkError(Exception):
    """A namespace, interface, route or rule could not be made. The message carries the command's own
    words."""


class _Call(threading.Thread, Generic[Result]):
    """One call in a thread of its own, so that what it does to the thread's namespace dies with the
    thread."""

    def __init__(self, function: Callable[[], Result]) -> None:
        super().__init__(name="netns", daemon=True)
        self._function = function
        self._result: list[Result] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._result.append(self._function())
        except BaseException as error:  # handed to the caller's thread, whatever it is
            self._error = error

    def result(self) -> Result:
        self.start()
        self.join()
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._result[0]


def _check(result: int, action: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise NetworkError(f"{action}: {os.strerror(number)}")


def create(path: Path) -> None:
    """Make a new network namespace at `path`, whose folder exists; one that is already there is kept."""
    if identity(path) is not None:
        return

    def make() -> None:
        _check(_libc.unshare(_CLONE_NEWNET), "cannot make a network namespace")
        source = b"/proc/thread-self/ns/net"
        _check(
            _libc.mount(source, os.fsencode(path), None, _MS_BIND, None),
            f"cannot mount a namespace on {path}",
        )

    path.touch(mode=0o600)
    try:
        _Call(make).result()
    except BaseException:
        path.unlink()
        raise


def delete(path: Path) -> None:
    """Unmount and unlink `path`; the kernel frees the namespace when its last process and socket are gone.

    Unlinking also detaches the copies of the mount that other mount namespaces (pods) inherited. Absent is
    fine.
    """
    while identity(path) is not None:
        _check(_libc.umount2(os.fsencode(path), _MNT_DETACH), f"cannot unmount {path}")
    path.unlink(missing_ok=True)


def unmount(path: Path) -> None:
    """Detach whatever is mounted on `path`."""
    _check(_libc.umount2(os.fsencode(path), _MNT_DETACH), f"cannot unmount {path}")


def identity(path: Path) -> Identity | None:
    """The namespace `path` is a handle of, or None for a plain or missing file."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    same_filesystem = status.st_dev == os.stat("/proc/self/ns/net").st_dev
    return (status.st_dev, status.st_ino) if same_filesystem else None


def inside(path: Path, function: Callable[[], Result]) -> Result:
    """Run `function` in a thread that is in the namespace at `path` and return its result. Blocks; raises
    what it raises.

    Sockets and processes `function` makes belong to the namespace for good and may be used from any thread.
    """

    def call() -> Result:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(handle, _CLONE_NEWNET), f"cannot enter the network namespace {path}")
        finally:
            os.close(handle)
        return function()

    return _Call(call).result()


def run(path: Path, command: Sequence[str], *, stdin: str = "") -> str:
    """Run a command in the namespace at `path`; its standard output. Raises NetworkError with its own
    words."""
    return inside(path, lambda: execute(command, stdin=stdin))


def execute(command: Sequence[str], *, stdin: str = "") -> str:
    """Run a command in the calling thread's namespace."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=_COMMAND_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0:
        raise NetworkError(
            f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}\ninput was:\n{stdin}"
        )
    return done.stdout


def open_socket(path: Path, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
    """A socket that lives in the namespace at `path`; the caller closes it."""
    return inside(path, lambda: socket.socket(family, kind))


def processes_in(namespaces: Collection[Identity]) -> list[int]:
    """Ids of the processes whose network namespace is one of `namespaces`."""
    return [pid for pid in _all_processes() if _namespace_of(pid) in namespaces]


def kill_processes(namespaces: Collection[Identity]) -> None:
    """SIGKILL every process in `namespaces` and wait until they are gone, those started meanwhile included.

    Never kills the caller, and refuses the caller's own namespace and that of process 1: the host's is not
    ours.
    """
    if _namespace_of(os.getpid()) in namespaces or _namespace_of(1) in namespaces:
        raise NetworkError("refusing to kill the processes of the host's own network namespace")
    give_up_at = time.monotonic() + _KILL_TIMEOUT
    while pids := [pid for pid in processes_in(namespaces) if pid != os.getpid()]:
        if time.monotonic() > give_up_at:
            raise NetworkError(f"processes {pids} survive SIGKILL; they are probably stuck in the kernel")
        with contextlib.ExitStack() as handles:
            for handle in _kill(pids, namespaces, handles):
                _wait(handle, give_up_at - time.monotonic())


def _kill(pids: Iterable[int], namespaces: Collection[Identity], handles: contextlib.ExitStack) -> list[int]:
    """Signal each process through a pidfd taken before the namespace is checked again: ids may have been
    reused."""
    killed = []
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        handles.callback(os.close, handle)
        if _namespace_of(pid) in namespaces:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                killed.append(handle)
    return killed


def _wait(handle: int, timeout: float) -> None:
    """Until the process of a pidfd has ended, at most `timeout` seconds."""
    poll = select.poll()  # takes any descriptor number, `select` only those below 1024
    poll.register(handle, select.POLLIN)
    poll.poll(max(0.0, timeout) * 1000)


def _all_processes() -> Iterable[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _namespace_of(pid: int) -> Identity | None:
    """None when the process is gone, a zombie, or hidden from us."""
    try:
        status = os.stat(f"/proc/{pid}/ns/net")
    except OSError:
        return None
    return (status.st_dev, status.st_ino)
