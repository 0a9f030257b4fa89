"""How a command is run inside a pod of this machine's lab."""

import os
from collections.abc import Sequence
from pathlib import Path

from lab.container_plan import enter_command
from lab.pod_record import ContainerPlace


def command_beside(place: ContainerPlace, command: Sequence[str]) -> list[str]:
    """A command line that runs `command` with the view, the rights and the variables of a running container.

    Raises OSError when the container has ended.
    """
    words = Path(f"/proc/{place.pid}/environ").read_bytes().decode(errors="replace").split("\0")
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    cwd = os.readlink(f"/proc/{place.pid}/cwd")
    return enter_command(place.pid, place.uid, place.gid, cwd, variables, command)
