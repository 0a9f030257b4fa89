"""Socket options the data path relies on. [2]"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final

_LINGER_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on with zero seconds: close() sends RST (socket(7))."""


TCP_USER_TIMEOUT_MS = 60_000
"""Milliseconds that a peer may leave unread what was sent before the connection was closed."""


def bound_flush(transport: asyncio.BaseTransport) -> None:
    """Before an orderly close: what is buffered may wait for the peer, but not for ever (tcp(7)).

    A transport's `close()` sends what it holds first; towards a peer that never reads it would never end.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):  # already closed
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)


def reset(transport: asyncio.Transport) -> None:
    """Abort so that the peer sees RST: an unclean end stays an unclean end on the other side."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        except OSError:
            pass  # already closed: nothing is left to reset
    transport.abort()
