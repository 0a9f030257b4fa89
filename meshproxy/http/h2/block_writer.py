"""Heads of HTTP/1.1 as header blocks of HTTP/2 (RFC 9113 section 8) (pure). [3]

What lines become depends on nothing else, so it is remembered: whole heads, and for those that differ in a
path or a trace id their single lines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from meshproxy.http.bounded_memory import ParsedMemory
from meshproxy.http.events import Headers
from meshproxy.http.h2.hpack import ID_PREFIX, field_bytes

CONNECTION_FIELDS: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
"""RFC 9113 section 8.2.2."""
_NOT_SENT: Final = CONNECTION_FIELDS | {b"host", b"te", b"http2-settings"}
_ID_LINE: Final = b"\r\nx-request-id: "
_ID_LENGTH: Final = 36
_HOST: Final = b"host:"
_GRPC: Final = b"application/grpc"
_TRAILERS: Final = field_bytes(b"te", b"trailers")
_SCHEME: Final = field_bytes(b":scheme", b"http")
_MAX_ENTRIES: Final = 1024
_MAX_BYTES: Final = 262_144
_MAX_KEY: Final = 8192
_MAX_LINE: Final = 1024
_MAX_TRAILERS: Final = 256
_MAX_TRAILER_BLOCKS: Final = 64
"""Remembered ones, of so many bytes at most: calls that go well all end alike."""


class BlockWriter:
    """Shared by all connections of a worker."""

    __slots__ = (
        "_request_blocks",
        "_request_lines",
        "_response_blocks",
        "_response_lines",
        "_trailer_blocks",
    )

    def __init__(self) -> None:
        self._request_blocks = _memory(self._request_block, _MAX_KEY)
        self._response_blocks = _memory(self._response_block, _MAX_KEY)
        self._request_lines = _memory(_request_field, _MAX_LINE)
        self._response_lines = _memory(_field, _MAX_LINE)
        self._trailer_blocks: dict[Headers, bytes] = {}

    def request_out(self, head: bytes) -> bytes:
        """A head as HTTP/1.1 sends it, the empty line included -> its block."""
        cut = head.rfind(_ID_LINE)
        identity = head[cut + len(_ID_LINE) : -4]
        if cut < 0 or 13 in identity:
            return self._request_block(head[:-2])
        start = self._request_blocks[head[: cut + 2]]
        if len(identity) == _ID_LENGTH:
            return start + ID_PREFIX + identity
        return start + field_bytes(b"x-request-id", identity)

    def response_out(self, head: bytes) -> bytes:
        """Status line and field lines, each with its CRLF, without the empty line -> the block."""
        return self._response_blocks[head]

    def trailers_out(self, trailers: Headers) -> bytes:
        """The fields behind a body -> their block."""
        known = self._trailer_blocks.get(trailers)
        if known is None:
            known = b"".join([field_bytes(name, value) for name, value in trailers])
            if len(known) <= _MAX_TRAILERS:
                if len(self._trailer_blocks) >= _MAX_TRAILER_BLOCKS:
                    self._trailer_blocks.clear()
                self._trailer_blocks[trailers] = known
        return known

    def _request_block(self, head: bytes) -> bytes:
        """Request line and field lines, each with its CRLF -> a block."""
        first, *lines = head.split(b"\r\n")
        method, target, _ = first.split(b" ")
        parts = [field_bytes(b":method", method), _SCHEME, b"", field_bytes(b":path", target)]
        for line in lines:
            field = self._request_lines[line]
            if field:
                parts.append(field)
            elif line[: len(_HOST)].lower() == _HOST:
                parts[2] = field_bytes(b":authority", line[len(_HOST) :].strip(b" \t"))
        return b"".join(parts)

    def _response_block(self, head: bytes) -> bytes:
        """Status line and field lines, each with its CRLF -> a block."""
        first, *lines = head.split(b"\r\n")
        return b"".join(
            [field_bytes(b":status", first[9:12]), *[self._response_lines[line] for line in lines]]
        )


def _field(line: bytes) -> bytes:
    """A field line as a field of a block; empty for one that HTTP/2 does not send, and for no line."""
    name, value = _split(line)
    return b"" if not name or name in _NOT_SENT else field_bytes(name, value)


def _request_field(line: bytes) -> bytes:
    """Calls of gRPC say that they take trailers: its specification wants it."""
    name, value = _split(line)
    is_call = name == b"content-type" and value.startswith(_GRPC)
    return _field(line) + _TRAILERS if is_call else _field(line)


def _split(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip(b" \t")


def _memory(make: Callable[[bytes], bytes], max_key: int) -> ParsedMemory[bytes]:
    return ParsedMemory(make, max_entries=_MAX_ENTRIES, max_bytes=_MAX_BYTES, max_key=max_key)
