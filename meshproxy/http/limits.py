"""Bounds on what a peer may make the HTTP/1.1 codec hold or do (pure). [3]"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Sizes in bytes. Crossing one raises `RemoteProtocolError` with the status named below."""

    max_head_bytes: int = 61440
    """Request or status line, fields and the empty line: 431. 60 KiB is Envoy's `max_request_headers_kb`."""
    max_target_bytes: int = 8192
    """Request target: 414. RFC 9112 section 3 recommends to support at least 8,000 octets of request line."""
    max_fields: int = 100
    """Header fields of one head, and trailer fields of one message: 431. Envoy's `max_headers_count`."""
    max_chunk_line: int = 1024
    """A chunk-size line with its extensions: 400."""
    max_chunk_extension_bytes: int = 16384
    """Chunk extensions of one message taken together: 400. They are dropped, so a flood of them is only
    work."""
    max_trailer_bytes: int = 8192
    """Trailer section of one message: 431."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value <= 0:
                raise ValueError(f"HeadLimits.{item.name} is {value}; give a positive number")
