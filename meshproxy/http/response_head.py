"""Response head: block of lines -> `ResponseHead` and its framing, remembered whole and by line (pure).
[3]"""

from __future__ import annotations

from typing import Final

from meshproxy.http.bounded_memory import BoundedMemory, ParsedMemory
from meshproxy.http.events import Framing, ResponseHead
from meshproxy.http.field_line import (
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    Field,
    Special,
)
from meshproxy.http.limits import HeadLimits
from meshproxy.http.start_line import StatusLine
from meshproxy.http.syntax import refuse

_HTTP_11: Final = (1, 1)
_ESSENTIAL: Final = frozenset(
    b"content-length transfer-encoding content-type content-encoding set-cookie location "
    b"cache-control".split()
)

KnownResponse = tuple[ResponseHead, Framing, bool]
"""(head, framing, end_stream) as an answer to a method other than HEAD and CONNECT."""


class ResponseHeads:
    """Finds or parses response heads under one set of limits. Shared by all connections of a worker."""

    __slots__ = ("_field", "_max_fields", "_status_lines", "limits", "memory")

    def __init__(
        self,
        memory: BoundedMemory[KnownResponse],
        status_lines: ParsedMemory[StatusLine],
        fields: ParsedMemory[Field],
        limits: HeadLimits,
    ) -> None:
        self.memory = memory
        """By the whole head, CRLFCRLF included."""
        self.limits = limits
        self._status_lines = status_lines
        self._field = fields.__getitem__
        self._max_fields = limits.max_fields

    def resolve(self, data: bytes, end: int, *, remember: bool) -> tuple[KnownResponse, bool]:
        """Head of `data[:end]` (`end` is where CRLFCRLF starts) -> (result, was it known or is it now)."""
        if not remember:
            return self.parse(data[:end]), False
        key = data[: end + 4]
        known = self.memory.get(key) or self.memory.recall(key)
        if known is not None:
            return known, True
        parsed = self.parse(data[:end])
        return parsed, self.memory.offer(key, parsed)

    def parse(self, block: bytes) -> KnownResponse:
        """Raises RemoteProtocolError."""
        lines = block.split(b"\r\n")
        line = self._status_lines[lines.pop(0)]
        if len(lines) > self._max_fields:
            raise refuse(f"more than {self._max_fields} header lines", "too_many_fields", 431)
        headers = []
        forward = [line.forward]
        specials = []
        for pair, sent, special in map(self._field, lines):
            if special is not None:
                specials.append(special)
            headers.append(pair)
            forward.append(sent)
        head = ResponseHead()
        head.status = line.status
        head.reason = line.reason
        head.version = line.version
        head.headers = tuple(headers)
        dropped = _read_specials(head, specials)
        framing = _frame(head)
        if head.status == 204:
            dropped |= {b"content-length"}  # only 0 got here; RFC 9110 section 8.6 forbids sending even that
        if dropped:
            forward = [forward[0]] + [
                sent for sent, pair in zip(forward[1:], headers, strict=True) if pair[0] not in dropped
            ]
        head.forward = b"".join(forward)
        end_stream = framing is Framing.NONE or (framing is Framing.LENGTH and head.content_length == 0)
        return head, framing, end_stream


def _read_specials(head: ResponseHead, specials: list[Special]) -> frozenset[bytes]:
    """Set what the special fields say on `head`; returns the names Connection adds to what is not passed
    on."""
    head.content_length = -1
    head.chunked = False
    head.upgrade = b""
    options: frozenset[bytes] = frozenset()
    for special in specials:
        kind = special.kind
        if kind == CONTENT_LENGTH:
            if head.content_length >= 0:
                raise refuse("more than one Content-Length header", "duplicate_content_length")
            head.content_length = special.length
        elif kind == CONNECTION:
            options |= special.options
        elif kind == TRANSFER_ENCODING:
            if head.chunked:
                raise refuse("more than one Transfer-Encoding header", "bad_transfer_encoding")
            head.chunked = True
        else:  # UPGRADE
            head.upgrade = special.value
    if head.version == _HTTP_11:
        head.keep_alive = b"close" not in options
    else:
        head.keep_alive = b"keep-alive" in options and b"close" not in options
    if options & _ESSENTIAL:
        raise refuse("Connection names an end-to-end header", "bad_connection")
    return options


def _frame(head: ResponseHead) -> Framing:
    """RFC 9112 section 6.3 for a method other than HEAD and CONNECT; ambiguous combinations are refused."""
    status = head.status
    if head.chunked:
        if head.content_length >= 0:
            raise refuse("both Content-Length and Transfer-Encoding", "length_and_encoding")
        if head.version != _HTTP_11:
            raise refuse("Transfer-Encoding in HTTP/1.0", "transfer_encoding_in_http10")
    if status < 200 or status == 204:
        if head.chunked or head.content_length > 0:
            raise refuse(f"a {status} response that declares a body", "body_not_allowed")
        return Framing.NONE
    if status == 304:
        return Framing.NONE
    if head.chunked:
        return Framing.CHUNKED
    return Framing.UNTIL_CLOSE if head.content_length < 0 else Framing.LENGTH
