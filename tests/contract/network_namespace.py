"""A network namespace of its own for one test: a thread that lives in it makes sockets and processes there.

A socket stays in the namespace it was made in, so the test itself uses them from the ordinary event loop.
Nothing is named or mounted: the namespace ends with the thread and the last of its processes.
"""

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Self, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_CLONE_NEWNET = 0x40000000


class NetworkNamespace:
    """Use as a context manager; needs CAP_SYS_ADMIN."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns")
        self.call(_leave_the_hosts_network)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` inside, and wait for its result."""
        return self._thread.submit(function, *args, **kwargs).result()

    def run(self, *command: str) -> None:
        """Run a command inside; a failure shows what it said."""
        done = self.call(subprocess.run, command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"

    def listen(self, address: str, port: int) -> socket.socket:
        return self.call(socket.create_server, (address, port))

    def connect(self, address: str, port: int, timeout: float = 10.0, source: str = "") -> socket.socket:
        """`source`: the address to call from; empty lets the system choose."""
        return self.call(socket.create_connection, (address, port), timeout, (source, 0) if source else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()


def _leave_the_hosts_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"unshare(CLONE_NEWNET): {os.strerror(ctypes.get_errno())}")
