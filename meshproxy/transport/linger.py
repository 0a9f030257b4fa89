"""An end that loses nothing towards a peer that goes on sending while it reads. [2]

What comes for a socket that is closed is answered by a reset, and a reset throws away what was sent and not
read yet. Clients of HTTP/2 send WINDOW_UPDATE all the time they read: the end of the last answer would never
reach them.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from typing import Final

from meshproxy.transport import socket_option

_LOOK_SECONDS: Final = 1.0
"""Between two looks at the peer."""
_QUIET_SECONDS: Final = 10.0
"""A peer that has it all, and neither closes nor sends anything, is not waited for longer."""
_MOST_LOOKS: Final = 300
"""Nor is one that takes the rest by the byte, or sends for ever: Envoy's `stream_idle_timeout`."""
_LAST_DATA_RECEIVED: Final = 52
"""Where `tcpi_last_data_recv`, in ms, is in Linux's `struct tcp_info` (tcp(7))."""


def close_when_received(transport: asyncio.Transport) -> None:
    """Send what is buffered and FIN, and close when the peer has closed or rests. Until then the owner of the
    transport hears, and has to drop, what comes; a peer that takes nothing is cut by `bound_flush`."""
    if transport.is_closing():
        return
    socket_option.bound_flush(transport)
    transport.resume_reading()
    try:
        transport.write_eof()
    except OSError:  # asyncio's own transport says so when the peer is gone already
        transport.close()
        return
    _look_later(transport, 0)


def _look_later(transport: asyncio.Transport, looks: int) -> None:
    asyncio.get_running_loop().call_later(_LOOK_SECONDS, _look, transport, looks + 1)


def _look(transport: asyncio.Transport, looks: int) -> None:
    if transport.is_closing():
        return
    is_waited_for = looks * _LOOK_SECONDS < _QUIET_SECONDS or not _is_at_rest(transport)
    if looks < _MOST_LOOKS and is_waited_for:
        _look_later(transport, looks)
    else:
        transport.close()


def _is_at_rest(transport: asyncio.Transport) -> bool:
    """The peer's kernel has acknowledged all of it, FIN included (SIOCOUTQ), and nothing comes any more. That
    alone does not say that the peer has read it; one that reads says so."""
    sock = transport.get_extra_info("socket")
    if transport.get_write_buffer_size() or sock is None:
        return sock is None
    try:
        unacknowledged = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
        facts = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED + 4)
    except OSError:  # closed meanwhile
        return True
    (silence_ms,) = struct.unpack_from("I", facts, _LAST_DATA_RECEIVED)
    return not struct.unpack("i", unacknowledged)[0] and silence_ms >= _QUIET_SECONDS * 1000
