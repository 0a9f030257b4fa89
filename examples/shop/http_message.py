"""HTTP/1.1 messages from and to bytes, as much as the shop's programs need (pure).

Bodies are whole: of a known length, or chunked. Standard library only, like everything in this folder.
"""

from dataclasses import dataclass, field
from http import HTTPStatus

MAX_HEAD = 64 * 1024
"""Bytes of a head; a peer that sends more is not one of the shop."""
_HEAD_END = b"\r\n\r\n"


class MessageError(Exception):
    """The peer's bytes are not a message these programs take."""


@dataclass(slots=True)
class Request:
    """A request that has arrived whole."""

    method: str
    target: str
    """Path and query as sent."""
    headers: dict[str, str] = field(default_factory=dict)
    """Lower-case names; of repeated ones the last."""
    body: bytes = b""


@dataclass(slots=True)
class Response:
    """A response, received or to be sent."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    """Lower-case names; without those that describe the connection or the length."""


def parse_request(buffer: bytearray) -> Request | None:
    """Take one request off the front of `buffer`; None when it is not there whole. Raises MessageError."""
    end = _head_end(buffer)
    if end is None:
        return None
    first, headers = _head(buffer, end)
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise MessageError(f"not a request line: {first[:80]!r}")
    taken = _body(buffer, end, headers, until_close=False)
    if taken is None:
        return None
    body, length = taken
    del buffer[:length]
    return Request(words[0], words[1], headers, body)


def parse_response(buffer: bytearray, *, is_head: bool = False) -> Response | None:
    """As `parse_request`; `is_head`: it answers HEAD, so it has no body. Raises MessageError."""
    end = _head_end(buffer)
    if end is None:
        return None
    first, headers = _head(buffer, end)
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise MessageError(f"not a status line: {first[:80]!r}")
    status = int(words[1])
    is_bare = is_head or status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
    taken = (b"", end) if is_bare else _body(buffer, end, headers, until_close=True)
    if taken is None:
        return None
    body, length = taken
    del buffer[:length]
    return Response(status, body, headers)


def format_request(request: Request, host: str) -> bytes:
    """Bytes of a request to `host`."""
    lines = [f"{request.method} {request.target} HTTP/1.1", f"host: {host}"]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(request.body)}")
    return _format(lines, request.headers, request.body)


def format_response(response: Response, *, is_head: bool = False, close: bool = False) -> bytes:
    """Bytes of a response; `close` tells the client that the connection ends."""
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {response.status} {phrase}", f"content-length: {len(response.body)}"]
    if close:
        lines.append("connection: close")
    return _format(lines, response.headers, b"" if is_head else response.body)


def _format(lines: list[str], headers: dict[str, str], body: bytes) -> bytes:
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + _HEAD_END + body


def _head_end(buffer: bytearray) -> int | None:
    """Index after the head."""
    found = buffer.find(_HEAD_END)
    if found < 0:
        if len(buffer) > MAX_HEAD:
            raise MessageError(f"a head of more than {MAX_HEAD} bytes")
        return None
    return found + len(_HEAD_END)


def _head(buffer: bytearray, end: int) -> tuple[str, dict[str, str]]:
    lines = bytes(buffer[: end - len(_HEAD_END)]).decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise MessageError(f"not a header line: {line[:80]!r}")
        headers[name.lower()] = value.strip()
    return lines[0], headers


def _body(
    buffer: bytearray, start: int, headers: dict[str, str], *, until_close: bool
) -> tuple[bytes, int] | None:
    """The body and the index after it; None when it is not there whole."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _chunks(buffer, start)
    length = headers.get("content-length")
    if length is None and until_close:
        raise MessageError("a response that ends with its connection")
    if length is not None and not length.isdigit():
        raise MessageError(f"content-length {length[:20]!r}")
    end = start + int(length or 0)
    return (bytes(buffer[start:end]), end) if len(buffer) >= end else None


def _chunks(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    body = bytearray()
    while (line_end := buffer.find(b"\r\n", start)) >= 0:
        try:
            size = int(bytes(buffer[start:line_end]).split(b";")[0], 16)
        except ValueError as error:
            raise MessageError("a chunk without a size") from error
        start = line_end + 2
        if size == 0:
            return _after_trailers(buffer, start, bytes(body))
        if len(buffer) < start + size + 2:
            return None
        body += buffer[start : start + size]
        start += size + 2
    return None


def _after_trailers(buffer: bytearray, start: int, body: bytes) -> tuple[bytes, int] | None:
    while (line_end := buffer.find(b"\r\n", start)) >= 0:
        if line_end == start:
            return body, line_end + 2
        start = line_end + 2
    return None
