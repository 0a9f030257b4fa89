"""Messages of HTTP/2 to and from the neutral vocabulary (RFC 9113 section 8, RFC 9110) (pure). [3]

A head that came over HTTP/2 is written as HTTP/1.1 would write it, and read by the same parsers: routes,
filters and the next hop see one kind of head, and whatever HTTP/1.1 refuses (line breaks in values, blanks in
paths, two lengths) is refused here. On the way out the lines of a head become a block. Both ways are
remembered: what a block means with the block, what lines become in a bounded table.
"""

from __future__ import annotations

from typing import Final

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.events import NO_BODY, Framing, Headers, Request, RequestHead, Response, Trailers
from meshproxy.http.field_line import parse_trailer_field
from meshproxy.http.h1_writer import REASONS
from meshproxy.http.h2.block_writer import CONNECTION_FIELDS, BlockWriter
from meshproxy.http.h2.error import PROTOCOL_ERROR, StreamFault
from meshproxy.http.h2.hpack import Block, Fields
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from meshproxy.http.request_head import RequestHeads
from meshproxy.http.response_head import KnownResponse, ResponseHeads
from meshproxy.http.syntax import FIELD_VALUE, TOKEN, VISIBLE

_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}
_NAME: Final = TOKEN.translate(None, bytes(range(0x41, 0x5B)))
"""RFC 9113 section 8.2.1: a token without upper-case letters. A colon in a name would end it early."""


def malformed(message: str) -> StreamFault:
    """RFC 9113 section 8.1.1: a malformed message is an error of its stream."""
    return StreamFault(PROTOCOL_ERROR, message)


class Messages(BlockWriter):
    """Both directions under one set of limits. Shared by all connections of a worker."""

    __slots__ = ("_requests", "_responses")

    def __init__(self, requests: RequestHeads, responses: ResponseHeads) -> None:
        super().__init__()
        self._requests = requests
        self._responses = responses

    # --- in ---

    def request(self, block: Block, request_id: bytes, *, end: bool) -> Request:
        """A request's head. `end`: no body follows. Raises StreamFault; RemoteProtocolError with the status
        to answer for one that is too large."""
        if request_id and request_id.translate(None, VISIBLE):
            _check_id(request_id)
        known = block.closing if end else block.opening
        if known is not None:
            assert type(known) is RequestHead
            return Request(known, request_id)
        text = _request_text(block.fields, end=end)
        try:
            head, inner_id, _ = self._requests.resolve(text, len(text) - 4, remember=True)
        except RemoteProtocolError as error:
            if error.status == 400:  # anything else tells the client what to do about it
                raise malformed(str(error)) from error
            raise
        if not inner_id:
            if end:
                block.closing = head
            else:
                block.opening = head
        return Request(head, request_id or inner_id)

    def response(self, block: Block, *, end: bool, is_head: bool) -> Response:
        """A response's head, also an interim one. `is_head`: it answers HEAD. Raises StreamFault."""
        known = block.closing if end else block.opening
        if known is None:
            known = self._read_response(block.fields, end=end)
            if end:
                block.closing = known
            else:
                block.opening = known
        assert type(known) is tuple
        head, framing, _ = known
        if end or is_head:
            return Response(head, Framing.NONE, True)
        return Response(head, framing, head.status < 200)

    def _read_response(self, fields: Fields, *, end: bool) -> KnownResponse:
        text = _response_text(fields, end=end)
        try:
            return self._responses.resolve(text, len(text) - 4, remember=True)[0]
        except RemoteProtocolError as error:
            raise malformed(str(error)) from error

    def trailers(self, block: Block) -> Trailers:
        """What comes behind a body. Raises StreamFault."""
        known = block.trailers
        if known is None:
            known = block.trailers = Trailers(read_trailers(block.fields))
        assert type(known) is Trailers
        return known


def messages_of(memory: HeadMemory, limits: HeadLimits) -> Messages:
    """With what the worker remembers of heads already."""
    return Messages(memory.requests(limits), memory.responses(limits))


# --- blocks as text ---


def _request_text(fields: Fields, *, end: bool) -> bytes:
    """The head as HTTP/1.1 writes it. Raises StreamFault for what RFC 9113 section 8.3 forbids."""
    pseudo: dict[bytes, bytes] = {}
    lines: list[bytes] = []
    cookies: list[bytes] = []
    host: bytes | None = None
    has_length = False
    for name, value in fields:
        if name[:1] == b":":
            if lines or cookies or host is not None or name not in _PSEUDO or name in pseudo:
                raise malformed("a pseudo-field that is unknown, repeated or behind a field")
            if value.translate(None, VISIBLE):  # it becomes part of a line: a blank would end it early
                raise malformed("a pseudo-field with characters outside visible ASCII")
            pseudo[name] = value
            continue
        _check_field(name, value)
        if name == b"cookie":
            cookies.append(value)
        elif name == b"host":
            if host is not None:
                raise malformed("more than one host field")
            host = value
        else:
            has_length = has_length or name == b"content-length"
            lines.append(b"%b: %b" % (name, value))
    if cookies:
        lines.append(b"cookie: " + b"; ".join(cookies))  # RFC 9113 section 8.2.3
    start = _request_start(pseudo, host)
    if not end and not has_length and pseudo[b":method"] != b"CONNECT":
        start.append(b"transfer-encoding: chunked")
    return b"\r\n".join([*start, *lines, b"", b""])


def _request_start(pseudo: dict[bytes, bytes], host: bytes | None) -> list[bytes]:
    """Request line and Host."""
    method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    authority = pseudo.get(b":authority")
    if method == b"CONNECT":
        if b":scheme" in pseudo or b":path" in pseudo or not authority:
            raise malformed("CONNECT has :authority, and neither :scheme nor :path")
        path = authority
    elif not method or not path or not pseudo.get(b":scheme"):
        raise malformed("a request has :method, :scheme and :path")
    elif path[:1] != b"/" and path != b"*":
        raise malformed(":path begins with /")
    if authority is not None and host is not None and authority != host:
        port = _DEFAULT_PORTS.get(pseudo.get(b":scheme", b"").lower(), b"")
        if authority.lower().removesuffix(port) != host.lower().removesuffix(port):
            raise malformed(":authority and host differ")
    if authority is None and host is None:
        raise malformed("a request names its :authority")
    named = authority if authority is not None else host
    assert named is not None
    if 0x40 in named:
        raise malformed(":authority holds user information")
    return [b"%b %b HTTP/1.1" % (method, path), b"host: " + named]


def _response_text(fields: Fields, *, end: bool) -> bytes:
    status = b""
    lines: list[bytes] = []
    has_length = False
    for name, value in fields:
        if name[:1] == b":":
            if lines or name != b":status" or status:
                raise malformed("a pseudo-field that is unknown, repeated or behind a field")
            status = value
            continue
        _check_field(name, value)
        has_length = has_length or name == b"content-length"
        lines.append(b"%b: %b" % (name, value))
    if len(status) != 3 or not status.isdigit() or status < b"100" or status == b"101":
        raise malformed(":status is no status of HTTP/2")
    code = int(status)
    if code >= 200 and code not in NO_BODY and not has_length and not end:
        lines.append(b"transfer-encoding: chunked")
    return b"\r\n".join([b"HTTP/1.1 %b %b" % (status, REASONS.get(code, b"")), *lines, b"", b""])


def _check_field(name: bytes, value: bytes) -> None:
    """RFC 9113 section 8.2; the character rules are the line parser's."""
    if not name or name.translate(None, _NAME):
        raise malformed("a field name that is no token in lower case")
    if name in CONNECTION_FIELDS:
        raise malformed("a field that speaks of an HTTP/1.1 connection")
    if name == b"te" and value != b"trailers":
        raise malformed("te is not `trailers`")
    if value and (value[0] in b" \t" or value[-1] in b" \t"):
        raise malformed("a field value with blanks around it")
    if 13 in value or 10 in value or 0 in value:  # by number: many times as fast as by bytes
        raise malformed("a control character in a field value")


def _check_id(value: bytes) -> None:
    """An `x-request-id` that was cut off its block: no line parser sees it any more."""
    _check_field(b"x-request-id", value)
    if value.translate(None, FIELD_VALUE):
        raise malformed("a control character in a field value")


def read_trailers(fields: Fields) -> Headers:
    """Trailers in the neutral vocabulary, without the mesh's own fields. Raises StreamFault."""
    found = []
    for name, value in fields:
        if name[:1] == b":":
            raise malformed("a pseudo-field among trailers")
        _check_field(name, value)
        try:
            pair = parse_trailer_field(b"%b: %b" % (name, value))
        except RemoteProtocolError as error:
            raise malformed(str(error)) from error
        if pair is not None:
            found.append(pair)
    return tuple(found)
