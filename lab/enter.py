"""A command beside a container, with its rights: what `container_plan.enter_command` starts.

All that is needed is loaded before the container's files come into view, and the privileges are gone before
anything of those files is run: a container may have put its own programs and libraries where the host has
its, and what enters must not run them as the host's root.

`PID UID GID GROUPS CWD FROM COMMAND…`: groups are joined by commas; variables come from this process's own
ones that begin with `PREFIX` (FROM is `own`), or are those of process PID (`target`). Nothing secret is in an
argument: those are shown to every user of the machine.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from lab import syscalls

PREFIX = "CONTAINER_"
"""So that `LD_PRELOAD` and the like of a container mean nothing to the one who enters."""
OWN, TARGET = "own", "target"
_NAMESPACES = {
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
    "net": syscalls.CLONE_NEWNET,
    "mnt": syscalls.CLONE_NEWNS,
}
"""The files' last."""
_NOT_FOUND, _NOT_RUN = 127, 126
"""Exit codes of shells."""


def main(arguments: Sequence[str]) -> int:
    """Returns the command's exit code, 128 and more for a signal."""
    pid, uid, gid, groups, cwd, source, *command = arguments
    variables = _own_variables() if source == OWN else _variables_of(pid)
    try:
        namespaces = {
            kind: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name, kind in _NAMESPACES.items()
        }
        processes = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY)
        syscalls.setns(processes, syscalls.CLONE_NEWPID)
    except OSError as error:
        print(f"the container cannot be entered: {error}", file=sys.stderr)
        return _NOT_RUN
    child = os.fork()
    if child:
        return _wait(child)
    status = _NOT_RUN
    try:
        for kind, descriptor in namespaces.items():
            syscalls.setns(descriptor, kind)
        numbers = [int(group) for group in groups.split(",") if group]
        syscalls.drop_privileges(int(uid), int(gid), frozenset(), numbers)
        syscalls.die_with_parent(signal.SIGKILL)
        os.chdir(cwd)
        _run(command, variables)
    except FileNotFoundError as error:
        status = _NOT_FOUND
        os.write(2, f"cannot run {command[0]!r}: {error}\n".encode(errors="replace"))
    except (OSError, ValueError) as error:
        os.write(2, f"cannot run {command[0]!r}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(status)


def _run(command: list[str], variables: Mapping[str, str]) -> NoReturn:
    os.execvpe(command[0], command, variables)  # noqa: S606 — that is what it is for


def _wait(child: int) -> int:
    """Until it has ended; what a terminal's user types is the command's, and an end asked for as well."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _own_variables() -> dict[str, str]:
    return {name.removeprefix(PREFIX): value for name, value in os.environ.items() if name.startswith(PREFIX)}


def _variables_of(pid: str) -> dict[str, str]:
    with open(f"/proc/{pid}/environ", "rb") as source:
        words = os.fsdecode(source.read()).split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
