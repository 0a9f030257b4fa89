"""Reads of bounded size for connections that carry much: one whose bytes nobody takes holds little. [2]

uvloop reads 256,000 bytes at once into a new object, whatever a protocol wants. Back-pressure stops reading
after the read that was too much, so each stuck connection would hold that one. A `BufferedProtocol` says
itself how much it takes; it costs a call more for each read, which is why only connections that were seen to
carry much become one.

A quarter of the bytes at once costs four times the system calls and a third more CPU, so reads are large
while few connections are stuck: those few may hold them.
"""

from __future__ import annotations

import asyncio
from typing import Final

MAX_READ: Final = 65536
"""Bytes. A body of 64 KiB and a head still come in two reads."""
LARGE_READ: Final = 4 * MAX_READ
"""Bytes, while few connections are stuck."""
FEW_STUCK: Final = 8
"""They hold 2 MiB at most."""

WRITE_HIGH_WATER: Final = 0
"""Bytes. An HTTP connection pauses what feeds it as soon as the kernel takes no more: what the kernel holds
keeps its peer busy, and the 64 KiB more that asyncio's default would allow are memory of every stuck one."""

_LARGE: Final = memoryview(bytearray(LARGE_READ))
"""Of all connections: what was read is taken out before the next one reads."""
_SMALL: Final = _LARGE[:MAX_READ]


class Stuck:
    """How many of this process's HTTP connections wait for their peer to take what they were sent."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


STUCK: Final = Stuck()
"""Process-wide, as memory is."""


class BoundedReads(asyncio.BufferedProtocol):
    """Stands between a transport and its protocol."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol

    def get_buffer(self, sizehint: int) -> memoryview:
        return _LARGE if STUCK.count <= FEW_STUCK else _SMALL

    def buffer_updated(self, nbytes: int) -> None:
        self._protocol.data_received(bytes(_LARGE[:nbytes]))

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def bound_reads(transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
    """From now on `transport` reads no more at once than may be held. Called in `protocol`'s `data_received`
    when it got more than `MAX_READ`; again does nothing, and a transport of our own, which reads nothing
    itself, is left alone."""
    if transport.get_extra_info("ssl_object") is not None or transport.is_closing():
        return
    if type(transport.get_protocol()) is BoundedReads:
        return
    transport.pause_reading()  # the way it reads is chosen when it begins to
    transport.set_protocol(BoundedReads(protocol))
    transport.resume_reading()
