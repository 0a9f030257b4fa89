"""Linux system calls that Python 3.11 does not offer: namespaces, mounts and process privileges.

Each function raises `OSError` naming what was attempted. Nothing here decides anything.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

CAP_NET_ADMIN = 12
CAP_NET_RAW = 13

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1
_SYS_MOUNT_SETATTR = 442  # the same number on every architecture (Linux 5.12)
_SYS_OPENAT2 = 437  # likewise (Linux 5.6)
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_BENEATH_TRIES = 16
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217, "armv7l": 218}

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _check(result: int, what: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the shared namespaces named by `flags`; a new pid namespace holds only later children."""
    _check(_libc.unshare(flags), f"unshare({flags:#x})")


def setns(fd: int, kind: int) -> None:
    """Enter the namespace behind `fd`; affects the calling thread only."""
    _check(_libc.setns(fd, kind), f"setns({kind:#x})")


def mount(source: str, target: str, *, filesystem: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    kind, data = filesystem.encode() or None, options.encode() or None
    result = _libc.mount(source.encode(), target.encode(), kind, flags, data)
    _check(result, f"mount {source} on {target}")


def unmount(target: str) -> None:
    """Detach a mount at once; what still uses it keeps it until it ends."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def make_read_only(target: str) -> None:
    """Make a mount and every mount below it read-only for this mount namespace."""
    attributes = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR,
        _AT_FDCWD,
        target.encode(),
        _AT_RECURSIVE,
        attributes,
        ctypes.c_size_t(len(attributes)),
    )
    _check(result, f"mount_setattr read-only {target} (needs Linux 5.12)")


def open_beneath(directory: int, path: str, flags: int = os.O_PATH) -> int:
    """Open `path` (empty: the directory itself) below an open directory, also while others change what is
    there: neither `..` nor a symbolic link leads out of it. Raises OSError (EXDEV for what would).
    """
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_BENEATH_TRIES):
        arguments = (directory, os.fsencode(path or "."), how, ctypes.c_size_t(len(how)))
        opened = _libc.syscall(_SYS_OPENAT2, *arguments)
        if opened >= 0 or ctypes.get_errno() != errno.EAGAIN:  # EAGAIN: something was renamed meanwhile
            break
    return _check(opened, f"open {path!r} in a volume")


def pivot_root_here() -> None:
    """Make the working directory, a mount, the root; the old root is detached."""
    number = _SYS_PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(f"pivot_root: unknown system call number on {platform.machine()}")
    # `.` for both puts the old root over the new one, so that it can be detached by the same name.
    _check(_libc.syscall(number, b".", b"."), "pivot_root")
    unmount(".")
    os.chdir("/")


def set_hostname(name: str) -> None:
    """Name of this UTS namespace."""
    encoded = name.encode()
    _check(_libc.sethostname(encoded, ctypes.c_size_t(len(encoded))), f"sethostname {name}")


def die_with_parent(signal_number: int) -> None:
    """Receive `signal_number` when the thread that started this process ends; a change of uid clears it."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl PDEATHSIG")


def drop_privileges(uid: int, gid: int, capabilities: frozenset[int], groups: Sequence[int] = ()) -> None:
    """Become `uid`:`gid` with no other groups than `groups`, keeping only `capabilities` (effective only for
    uid 0); irrevocable.

    Until its next exec nobody else may look into the process: `/proc/<pid>/exe` of one that others of its
    user can see would be the host's file, to be written by a container's root (CVE-2019-5736).
    """
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl DUMPABLE")
    capability = 0
    while _libc.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) >= 0:
        if capability not in capabilities:
            _check(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), f"drop capability {capability}")
        capability += 1
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    os.setgroups(list(groups))
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _set_capabilities(capabilities if uid == 0 else frozenset())
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl NO_NEW_PRIVS")


def _set_capabilities(capabilities: frozenset[int]) -> None:
    mask = sum(1 << capability for capability in capabilities)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    data = struct.pack("IIIIII", low, low, 0, high, high, 0)
    _check(_libc.capset(header, data), "capset")


@contextmanager
def children_in(namespace: int | None) -> Iterator[None]:
    """Processes started in this block are in the pid namespace behind `namespace`; `None` starts a new one.

    The block must not start threads: the kernel refuses a thread in another pid namespace.
    """
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if namespace is None:
            unshare(CLONE_NEWPID)
        else:
            setns(namespace, CLONE_NEWPID)
        try:
            yield
        finally:
            setns(own, CLONE_NEWPID)
    finally:
        os.close(own)
