"""Socket options the data path relies on. [2]"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

_LINGER_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on with zero seconds: close() sends RST (socket(7))."""

IP_BIND_ADDRESS_NO_PORT: Final = 24
"""ip(7): choose the port at connect, so that one source address does not run out of ports."""


def reset(transport: asyncio.Transport) -> None:
    """Abort so that the peer sees RST: an unclean end stays an unclean end on the other side."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        except OSError:
            pass  # already closed: nothing is left to reset
    transport.abort()
