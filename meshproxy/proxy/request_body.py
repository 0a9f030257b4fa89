"""The request's body as far as it is held: until a connection is there, and for a retry (pure). [6]"""

from __future__ import annotations

from typing import Final

from meshproxy.http.events import Headers, Trailers

MAX_HELD_BODY: Final = 65536
"""Bytes of request body held for a retry or until a connection is there; Linkerd's limit too."""
_LEAST_PART: Final = 1024
"""Bytes; smaller parts are held as one, and sent as one chunk."""


class HeldBody:
    """Made when the first byte comes: most requests have none."""

    __slots__ = ("_parts", "is_replayable", "size", "trailers")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0
        """Bytes that came while it was held."""
        self.is_replayable = True
        """Everything that came is still here."""
        self.trailers: Trailers | None = None

    def add(self, data: bytes) -> None:
        """`data` came. Kept unless the body is too large already to be kept."""
        if not self.is_replayable:
            return
        self.size += len(data)
        parts = self._parts
        if parts and len(parts[-1]) < _LEAST_PART:
            parts[-1] += data  # a body in chunks of a byte or two would take many times its size
        else:
            parts.append(data)

    @property
    def held(self) -> bytes:
        """What is held, unframed."""
        return b"".join(self._parts)

    @property
    def is_too_large(self) -> bool:
        return self.size > MAX_HELD_BODY

    def let_go(self) -> None:
        """It is on its way and too large to be kept: this attempt is the last."""
        self.is_replayable = False
        self._parts = []

    @property
    def trailer_fields(self) -> Headers:
        return self.trailers.headers if self.trailers is not None else ()
