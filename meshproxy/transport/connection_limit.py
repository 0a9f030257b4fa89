"""How many connections a listener may have open, so that one flooded listener leaves files for the rest. [1]

Every connection holds a file, and most need a second one towards their upstream; a process that runs out of
files can neither accept nor dial. Inbound and outbound count apart. Should files run short all the same, the
last of them are not given to new connections: what is accepted beyond is reset and counted. When there are
none at all, libuv accepts and closes what waits, with a file that it keeps for that: the loop does not spin.
"""

from __future__ import annotations

import resource
import sys
from typing import Final

MAX_CONNECTIONS: Final = 10_000
"""Of one listener and worker. Envoy has no default of its own and recommends one for edge proxies."""
_KEPT_FILES: Final = 128
"""For listening sockets, the control plane, admin, logs."""
_FILES_PER_CONNECTION: Final = 4
"""Two listeners, and two sockets for a connection that is proxied."""


def allowed_connections(asked: int | None = None) -> int:
    """`asked`, or else `MAX_CONNECTIONS`; less where this process's limit on open files does not allow it."""
    most = MAX_CONNECTIONS if asked is None else asked
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return most
    return max(1, min(most, (files - _KEPT_FILES) // _FILES_PER_CONNECTION))


def highest_file() -> int:
    """The largest descriptor that an accepted connection may have: the kernel gives the lowest free one."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return sys.maxsize
    return files - 1 - min(_KEPT_FILES, files // 4)


def raise_file_limit() -> None:
    """Allow ourselves as many files as we may: the soft limit is often 1,024, for the sake of select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class ConnectionCount:
    """Open connections of one listener."""

    __slots__ = ("_limit", "open")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.open = 0

    def admit(self) -> Seat | None:
        """A seat for one more connection; None: there are too many."""
        if self.open >= self._limit:
            return None
        self.open += 1
        return Seat(self)


class Seat:
    """One connection's place in the count. Who has the connection when it ends calls `leave`."""

    __slots__ = ("_count",)

    def __init__(self, count: ConnectionCount) -> None:
        self._count: ConnectionCount | None = count

    def leave(self) -> None:
        """The connection is over. Only the first call counts."""
        count, self._count = self._count, None
        if count is not None:
            count.open -= 1
