"""Bytes of HTTP/1.1 that this proxy makes itself (pure). [3]

Heads that are passed on come from `RequestHead.forward` and `ResponseHead.forward`; nothing here parses.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from meshproxy.http.events import NO_BODY, Headers

LAST_CHUNK: Final = b"0\r\n\r\n"
"""End of a chunked message without trailers."""
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
REASONS: Final[dict[int, bytes]] = {status.value: status.phrase.encode() for status in HTTPStatus}
"""Reason phrases by status."""


def chunk(data: bytes) -> bytes:
    """One chunk of `data`, which is not empty: an empty chunk would end the message."""
    assert data, "an empty chunk ends the message: use LAST_CHUNK"
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Headers) -> bytes:
    """End of a chunked message with `trailers`, as validated by the decoder."""
    return b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % pair for pair in trailers])


def local_response(
    status: int,
    body: bytes,
    headers: Headers = (),
    *,
    close: bool,
    head_request: bool = False,
) -> bytes:
    """A whole response made by the proxy, as plain text.

    `headers` are sent after our own and must not repeat them. `head_request` leaves the body out and keeps
    its length. A status that has no body (1xx, 204, 304) gets neither.
    """
    parts = [b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b""))]
    has_body = status >= 200 and status not in NO_BODY
    if has_body:
        if body:
            parts.append(b"content-type: text/plain\r\n")
        parts.append(b"content-length: %d\r\n" % len(body))
    parts.extend([b"%b: %b\r\n" % pair for pair in headers])
    if status >= 200:
        parts.append(b"server: meshproxy\r\n")
        if close:
            parts.append(b"connection: close\r\n")
    parts.append(b"\r\n")
    if has_body and not head_request:
        parts.append(body)
    return b"".join(parts)
