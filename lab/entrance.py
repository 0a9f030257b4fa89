"""How a command is started beside a container: by `enter.py`, which runs nothing of the container's files
before it has the container's rights.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lab import enter
from lab.sandbox import SOURCE_ROOT


@dataclass(frozen=True, slots=True)
class EnteringCommand:
    """A process to start."""

    line: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    """All of it."""


def enter_line(
    pid: int, uid: int, gid: int, cwd: str, command: Sequence[str], groups: Sequence[int] = ()
) -> list[str]:
    """A command line that runs `command` beside the container whose process is `pid`, with its variables."""
    return _line(pid, uid, gid, cwd, enter.TARGET, command, groups)


def entering(
    pid: int,
    uid: int,
    gid: int,
    cwd: str,
    variables: Mapping[str, str],
    command: Sequence[str],
    groups: Sequence[int] = (),
) -> EnteringCommand:
    """The same with `variables`, which no argument tells: they may be secret."""
    environment = {f"{enter.PREFIX}{name}": value for name, value in variables.items()}
    return EnteringCommand(_line(pid, uid, gid, cwd, enter.OWN, command, groups), environment)


def _line(
    pid: int, uid: int, gid: int, cwd: str, source: str, command: Sequence[str], groups: Sequence[int]
) -> list[str]:
    # Isolated (-I): neither variables nor the working directory of whoever starts it say what is imported.
    path = f"import sys; sys.path.insert(0, {str(SOURCE_ROOT)!r})"
    return [
        *(
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"{path}; from lab.enter import main; sys.exit(main(sys.argv[1:]))",
        ),
        *(str(pid), str(uid), str(gid), ",".join(map(str, groups)), cwd, source),
        *command,
    ]
