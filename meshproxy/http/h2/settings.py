"""SETTINGS of both sides (RFC 9113 section 6.5) (pure). [3]"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshproxy.http.h2.error import FLOW_CONTROL_ERROR, PROTOCOL_ERROR, ConnectionFault
from meshproxy.http.h2.frame import LARGEST_MAX_FRAME, MAX_WINDOW, SMALLEST_MAX_FRAME
from meshproxy.http.h2.hpack import DEFAULT_TABLE_SIZE

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6

DEFAULT_WINDOW: Final = 65_535
UNLIMITED: Final = 2**32 - 1
ASSUMED_STREAMS: Final = 100
"""Streams that are opened before the peer has said how many it takes: RFC 9113 section 6.5.2 recommends that
nobody takes fewer. Strictly there is no limit yet, but servers end connections over it."""


@dataclass(frozen=True, slots=True)
class H2Limits:
    """What one connection may make us hold or do."""

    max_concurrent_streams: int = 1024
    """That the peer may have open; more are refused (REFUSED_STREAM)."""
    stream_window: int = 262_144
    """Bytes a stream may send ahead of whom they are for: what is held for it when that one reads nothing."""
    max_unread: int = 16_777_216
    """Bytes held for all streams of a connection together; beyond, the whole connection waits."""
    max_head_bytes: int = 61_440
    """Of a header block as it comes and of the fields it means. As `HeadLimits.max_head_bytes`."""
    max_continuations: int = 64
    """CONTINUATION frames of one block."""
    reset_budget: int = 500
    """Requests the peer may take back before they are answered, more than it lets finish (CVE-2023-44487)."""
    control_budget: int = 10_000
    """Frames that carry nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty ones), more than what is
    carried accounts for."""
    max_unsent_control: int = 1_000
    """Answers to the peer's control frames that it does not read."""
    max_unsent_heads: int = 4_194_304
    """Bytes of heads that it does not read, before new streams are refused: no window holds heads back."""


class PeerSettings:
    """What the peer announced last."""

    __slots__ = (
        "initial_window",
        "max_concurrent_streams",
        "max_frame",
        "max_header_list",
        "smallest_table",
    )

    def __init__(self) -> None:
        self.initial_window = DEFAULT_WINDOW
        self.max_concurrent_streams = ASSUMED_STREAMS
        self.max_frame = SMALLEST_MAX_FRAME
        self.max_header_list = UNLIMITED
        self.smallest_table = DEFAULT_TABLE_SIZE
        """The least SETTINGS_HEADER_TABLE_SIZE it ever said."""

    def begin(self) -> None:
        """The first SETTINGS came: what they do not say has its default."""
        self.max_concurrent_streams = UNLIMITED

    def apply(self, key: int, value: int, *, from_server: bool) -> None:
        """One value. Raises ConnectionFault for one that RFC 9113 section 6.5.2 forbids."""
        if key == INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE {value}")
            self.initial_window = value
        elif key == MAX_CONCURRENT_STREAMS:
            self.max_concurrent_streams = value
        elif key == MAX_FRAME_SIZE:
            if not SMALLEST_MAX_FRAME <= value <= LARGEST_MAX_FRAME:
                raise ConnectionFault(PROTOCOL_ERROR, f"SETTINGS_MAX_FRAME_SIZE {value}")
            self.max_frame = value
        elif key == MAX_HEADER_LIST_SIZE:
            self.max_header_list = value
        elif key == HEADER_TABLE_SIZE:
            self.smallest_table = min(self.smallest_table, value)
        elif key == ENABLE_PUSH and (value > 1 or (from_server and value)):
            raise ConnectionFault(PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH {value}")
