"""Reads of bounded size for connections that carry much: one whose bytes nobody takes holds little. [2]

uvloop reads 256,000 bytes at once into a new object, whatever a protocol wants. Back-pressure stops reading
after the read that was too much, so each stuck connection would hold that one. A `BufferedProtocol` says
itself how much it takes; it costs a call more for each read, which is why only connections that were seen to
carry much become one.
"""

from __future__ import annotations

import asyncio
from typing import Final

MAX_READ: Final = 65536
"""Bytes. A body of 64 KiB and a head still come in two reads."""

_BUFFER: Final = memoryview(bytearray(MAX_READ))
"""Of all connections: what was read is taken out before the next one reads."""


class BoundedReads(asyncio.BufferedProtocol):
    """Stands between a transport and its protocol."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self._protocol.data_received(bytes(_BUFFER[:nbytes]))

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def bound_reads(transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
    """From now on `transport` reads at most `MAX_READ` bytes at once. Called in `protocol`'s `data_received`
    when it got more; a transport of our own, which reads nothing itself, is left alone."""
    if transport.get_extra_info("ssl_object") is not None or transport.is_closing():
        return
    transport.pause_reading()  # the way it reads is chosen when it begins to
    transport.set_protocol(BoundedReads(protocol))
    transport.resume_reading()
