"""What can be wrong with an HTTP/2 peer, by the error codes of RFC 9113 section 7 (pure). [3]"""

from __future__ import annotations

from typing import Final

from meshproxy.errors import RemoteProtocolError

NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
INTERNAL_ERROR: Final = 0x2
FLOW_CONTROL_ERROR: Final = 0x3
SETTINGS_TIMEOUT: Final = 0x4
STREAM_CLOSED: Final = 0x5
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
COMPRESSION_ERROR: Final = 0x9
CONNECT_ERROR: Final = 0xA
ENHANCE_YOUR_CALM: Final = 0xB

_REASONS: Final = {
    PROTOCOL_ERROR: "protocol_error",
    FLOW_CONTROL_ERROR: "flow_control_error",
    STREAM_CLOSED: "stream_closed",
    FRAME_SIZE_ERROR: "frame_size_error",
    COMPRESSION_ERROR: "compression_error",
    ENHANCE_YOUR_CALM: "flood",
}


class ConnectionFault(RemoteProtocolError):
    """The connection cannot go on: GOAWAY with `code`, then it is closed (RFC 9113 section 5.4.1)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message, status=400, reason=f"h2_{_REASONS.get(code, 'protocol_error')}")
        self.code = code


class StreamFault(RemoteProtocolError):
    """One stream cannot go on: RST_STREAM with `code` (RFC 9113 section 5.4.2)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message, status=400, reason=f"h2_{_REASONS.get(code, 'protocol_error')}")
        self.code = code


class HeaderListTooLarge(Exception):
    """The fields of a block take more than allowed; the block was read, so the connection may go on."""
