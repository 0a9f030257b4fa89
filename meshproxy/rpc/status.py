"""How a gRPC call ended, as text: `"NAME: details"` (pure).

Sources: gRPC over HTTP2 ("Responses", "Errors"), gRPC's `http-grpc-status-mapping`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

_NAMES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

_OF_HTTP: Final = {
    "400": "INTERNAL",
    "401": "UNAUTHENTICATED",
    "403": "PERMISSION_DENIED",
    "404": "UNIMPLEMENTED",
    "429": "UNAVAILABLE",
    "502": "UNAVAILABLE",
    "503": "UNAVAILABLE",
    "504": "UNAVAILABLE",
}

_OF_RESET: Final = {0x7: "UNAVAILABLE", 0x8: "CANCELLED", 0xB: "RESOURCE_EXHAUSTED", 0xC: "PERMISSION_DENIED"}
"""HTTP/2 error codes: REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY; others are INTERNAL."""

_MAX_DETAILS: Final = 1024
"""Characters of a peer's text that may reach logs and admin pages."""


def failure_of_trailers(fields: Iterable[tuple[str, str]]) -> str | None:
    """What the peer said at the end; None for OK. A missing or malformed status is UNKNOWN."""
    found = dict(fields)
    code = found.get("grpc-status", "")
    if not (code.isascii() and code.isdecimal() and int(code) < len(_NAMES)):
        return f"UNKNOWN: the call ended with grpc-status {code!r}"
    if int(code) == 0:
        return None
    return f"{_NAMES[int(code)]}: {unquote(found.get('grpc-message', ''))[:_MAX_DETAILS]}"


def failure_of_head(fields: Iterable[tuple[str, str]]) -> str | None:
    """Why a response's head is none of gRPC's; None when it is."""
    found = dict(fields)
    status, kind = found.get(":status", ""), found.get("content-type", "")
    if status != "200":
        return f"{_OF_HTTP.get(status, 'UNKNOWN')}: HTTP status {status}"
    if not kind.startswith("application/grpc"):
        return f"UNKNOWN: content-type {kind!r} is not gRPC's"
    return None


def failure_of_reset(code: int) -> str:
    """For a stream that the peer reset with an HTTP/2 error code."""
    return f"{_OF_RESET.get(code, 'INTERNAL')}: the stream was reset, HTTP/2 error code {code}"
