"""gRPC messages on a byte stream: one byte of flags, four of length, the message (pure).

Source: gRPC over HTTP2, "Length-Prefixed-Message". Compression is never offered, so a compressed message is a
peer's mistake.
"""

from __future__ import annotations

from typing import Final

from meshproxy.errors import RemoteProtocolError

_PREFIX_BYTES: Final = 5


def prefixed(message: bytes) -> bytes:
    """As it travels, uncompressed."""
    return b"\x00" + len(message).to_bytes(4, "big") + message


class MessageReader:
    """Cuts what comes in into messages; holds one unfinished message at most."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` of one message: an announced length above it is refused before a byte of it is kept."""
        self._max_bytes = max_bytes
        self._pending = bytearray()

    @property
    def is_between_messages(self) -> bool:
        """Whether a stream that ends here ends cleanly."""
        return not self._pending

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes. Raises RemoteProtocolError."""
        pending = self._pending
        pending += data
        messages = []
        start = 0
        while len(pending) - start >= _PREFIX_BYTES:
            body = start + _PREFIX_BYTES
            end = body + self._length(pending[start:body])
            if end > len(pending):
                break
            messages.append(bytes(pending[body:end]))
            start = end
        del pending[:start]
        return messages

    def _length(self, prefix: bytearray) -> int:
        if prefix[0]:
            raise RemoteProtocolError("a compressed gRPC message, though no compression was offered")
        length = int.from_bytes(prefix[1:], "big")
        if length > self._max_bytes:
            raise RemoteProtocolError(f"a gRPC message of {length} bytes; the limit is {self._max_bytes}")
        return length
