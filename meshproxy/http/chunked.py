"""Chunked transfer coding, decoding side (RFC 9112 section 7.1), strict (pure). [3]

Chunk extensions are bounded and dropped. A line ending other than CRLF is refused wherever it stands: peers
that take a bare LF as an end of line disagree with us about where a chunk starts.
"""

from __future__ import annotations

from typing import Final

from meshproxy.http.events import END, Event, Trailers
from meshproxy.http.field_line import parse_trailer_field
from meshproxy.http.limits import HeadLimits
from meshproxy.http.syntax import FIELD_VALUE, HEX_DIGITS, MAX_LENGTH, refuse

_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILERS: Final = 3


class ChunkedDecoder:
    """One per chunked message."""

    __slots__ = ("_extension_bytes", "_limits", "_pending", "_remaining", "_state")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._state = _SIZE
        self._remaining = 0
        self._extension_bytes = 0
        self._pending = b""

    def receive(self, data: bytes, events: list[Event]) -> bytes | None:
        """Append this message's events: at most one `bytes` for all chunks in `data`, then Trailers and END.

        Returns the bytes behind the message (maybe none) once it is complete, else None.
        """
        if self._pending:
            data = self._pending + data
            self._pending = b""
        parts: list[bytes] = []
        position = self._read_chunks(data, parts)
        if parts:
            events.append(parts[0] if len(parts) == 1 else b"".join(parts))
        if self._state == _TRAILERS:
            return self._read_trailers(data, position, events)
        self._pending = data[position:]
        return None

    def _read_chunks(self, data: bytes, parts: list[bytes]) -> int:
        """Read until data runs out or the last chunk's line is read; returns the position of what is
        unread."""
        position = 0
        size = len(data)
        while self._state != _TRAILERS and position < size:
            if self._state == _DATA:
                part = data[position : position + self._remaining]
                parts.append(part)
                position += len(part)
                self._remaining -= len(part)
                if self._remaining:
                    break
                self._state = _DATA_END
            elif self._state == _DATA_END:
                ending = data[position : position + 2]
                if ending == b"\r":
                    break
                if ending != b"\r\n":
                    raise refuse("chunk data is not followed by CRLF", "bad_chunk")
                position += 2
                self._state = _SIZE
            else:
                end = self._find_line_end(data, position)
                if end < 0:
                    break
                self._remaining = self._parse_size(data[position:end])
                self._state = _DATA if self._remaining else _TRAILERS
                position = end + 2
        return position

    def _find_line_end(self, data: bytes, position: int) -> int:
        """Position of the CRLF that ends the chunk-size line at `position`; -1 when it has not come yet."""
        longest = self._limits.max_chunk_line
        end = data.find(b"\r\n", position, position + longest + 2)
        if end < 0:
            if len(data) - position >= longest + 2:
                raise refuse(f"chunk-size line is longer than {longest} bytes", "chunk_line_too_long")
            if b"\n" in data[position:]:
                raise refuse("bare LF in a chunk-size line", "bad_chunk")
        return end

    def _parse_size(self, line: bytes) -> int:
        digits, semicolon, extension = line.partition(b";")
        if not digits or len(digits) > 16 or digits.translate(None, HEX_DIGITS):
            raise refuse("chunk size is not 1 to 16 hexadecimal digits", "bad_chunk")
        if semicolon:
            self._extension_bytes += len(extension) + 1
            if extension.translate(None, FIELD_VALUE):
                raise refuse("control character in a chunk extension", "bad_chunk")
            if self._extension_bytes > self._limits.max_chunk_extension_bytes:
                raise refuse("too many bytes of chunk extensions", "chunk_extensions_too_large")
        size = int(digits, 16)
        if size > MAX_LENGTH:
            raise refuse("chunk size is 2^63 or more", "bad_chunk")
        return size

    def _read_trailers(self, data: bytes, position: int, events: list[Event]) -> bytes | None:
        if data.startswith(b"\r\n", position):
            events.append(END)
            return data[position + 2 :]
        end = data.find(b"\r\n\r\n", position)
        longest = self._limits.max_trailer_bytes
        if (len(data) - 3 if end < 0 else end) - position > longest:
            raise refuse(f"trailer section is longer than {longest} bytes", "trailers_too_large", 431)
        if end < 0:
            self._pending = data[position:]
            return None
        lines = data[position:end].split(b"\r\n")
        if len(lines) > self._limits.max_fields:
            raise refuse(f"more than {self._limits.max_fields} trailer lines", "too_many_fields", 431)
        fields = tuple(field for field in map(parse_trailer_field, lines) if field is not None)
        if fields:
            events.append(Trailers(fields))
        events.append(END)
        return data[end + 4 :]
