"""Frames of HTTP/2 as bytes (RFC 9113 sections 4.1 and 6) (pure). [3]"""

from __future__ import annotations

from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

HEAD_BYTES: Final = 9
MAX_STREAM_ID: Final = 2**31 - 1
MAX_WINDOW: Final = 2**31 - 1
SMALLEST_MAX_FRAME: Final = 16384
LARGEST_MAX_FRAME: Final = 2**24 - 1

_HEAD: Final = Struct(">BHBBI")
_SETTING: Final = Struct(">HI")
_WORD: Final = Struct(">I")
_TWO_WORDS: Final = Struct(">II")


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """Payload of at most the peer's SETTINGS_MAX_FRAME_SIZE bytes."""
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream_id) + payload


def header_frames(stream_id: int, block: bytes, flags: int, max_frame: int) -> bytes:
    """HEADERS, with CONTINUATION where the block is longer than a frame. `flags`: END_STREAM or 0."""
    if len(block) <= max_frame:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    parts = [frame(HEADERS, flags, stream_id, block[:max_frame])]
    for start in range(max_frame, len(block), max_frame):
        part = block[start : start + max_frame]
        is_last = start + max_frame >= len(block)
        parts.append(frame(CONTINUATION, END_HEADERS if is_last else 0, stream_id, part))
    return b"".join(parts)


def rst_stream(stream_id: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream_id, _WORD.pack(code))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, _WORD.pack(increment))


def goaway(last_stream_id: int, code: int, text: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, _TWO_WORDS.pack(last_stream_id, code) + text)


def settings(values: dict[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join([_SETTING.pack(key, value) for key, value in values.items()]))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """(identifier, value) in order. The length must be a multiple of 6."""
    return [(int(key), int(value)) for key, value in _SETTING.iter_unpack(payload)]


def word(payload: bytes, at: int = 0) -> int:
    """The unsigned 32-bit number at an offset."""
    return int.from_bytes(payload[at : at + 4], "big")
