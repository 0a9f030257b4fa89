"""How a command is run inside a pod of this machine's lab."""

import os
from collections.abc import Sequence

from lab.entrance import enter_line
from lab.pod_record import ContainerPlace


def command_beside(place: ContainerPlace, command: Sequence[str]) -> list[str]:
    """A command line that runs `command` with the view, the rights and the variables of a running container.

    Raises OSError when the container has ended.
    """
    cwd = os.readlink(f"/proc/{place.pid}/cwd")
    return enter_line(place.pid, place.uid, place.gid, cwd, command)
