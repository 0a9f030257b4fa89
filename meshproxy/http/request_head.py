"""Request head: block of lines -> `RequestHead`, remembered whole and by line (pure). [3]

A *block* is the request line and the field lines, separated by CRLF, without the CRLF that ends the last one.
`x-request-id` differs for every request, so it is kept out of heads: it never stands in `headers` or
`forward`, the last one given wins, and when it is the last line (where this proxy's peers put it) the rest
is remembered without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshproxy.http.bounded_memory import BoundedMemory, ParsedMemory
from meshproxy.http.events import Framing, Headers, RequestHead
from meshproxy.http.field_line import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    REQUEST_ID,
    TRANSFER_ENCODING,
    UPGRADE,
    Field,
    Special,
)
from meshproxy.http.head_template import MARK, HeadTemplate, HeadTemplates
from meshproxy.http.limits import HeadLimits
from meshproxy.http.start_line import RequestLine, parse_request_line
from meshproxy.http.syntax import VISIBLE, refuse

_HTTP_11: Final = (1, 1)
_ID_LINE: Final = b"x-request-id:"
_MAX_ID: Final = 256
"""Bytes of a trailing id that may be cut off before the lookup; longer ones take the ordinary way."""
_ESSENTIAL: Final = frozenset(
    b"host content-length transfer-encoding authorization cookie content-type content-encoding expect "
    b"x-request-id x-envoy-peer-metadata x-forwarded-client-cert x-forwarded-for x-forwarded-proto".split()
)
"""Fields a Connection header may not name: a proxy would strip what the next hop decides by."""
_PLAIN_OPTIONS: Final = frozenset({b"close", b"keep-alive"})
_PLAIN_LINE: Final = parse_request_line(b"GET / HTTP/1.1")


class RequestHeads:
    """Finds or parses request heads under one set of limits. Shared by all connections of a worker."""

    __slots__ = ("_field", "_max_fields", "_max_target", "_request_lines", "limits", "memory", "templates")

    def __init__(
        self,
        memory: BoundedMemory[RequestHead],
        request_lines: ParsedMemory[RequestLine],
        fields: ParsedMemory[Field],
        limits: HeadLimits,
        *,
        use_templates: bool = True,
    ) -> None:
        self.memory = memory
        """By `block CRLF CRLF`, or by `block CRLF` for what stood before a trailing `x-request-id` line."""
        self.limits = limits
        self._request_lines = request_lines
        self._field = fields.__getitem__
        self._max_fields = limits.max_fields
        self._max_target = limits.max_target_bytes
        self.templates = HeadTemplates(fields, limits, self._compile) if use_templates else None
        """For heads that are new as a whole; None: every head is parsed line by line."""

    def resolve(self, data: bytes, end: int, *, remember: bool) -> tuple[RequestHead, bytes, bool]:
        """Head of `data[:end]` (`end` is where CRLFCRLF starts) -> (head, request id, was it known).

        `remember` False neither looks the head up nor keeps it.
        """
        request_id = b""
        cut = data.rfind(b"\r\n", 0, end)
        if cut > 0 and data[cut + 2 : cut + 15].lower() == _ID_LINE:
            value = data[cut + 15 : end].strip(b" \t")
            if 0 < len(value) <= _MAX_ID and not value.translate(None, VISIBLE):
                request_id = value
        key = data[: cut + 2] if request_id else data[: end + 4]
        if remember:
            known = self.memory.get(key) or self.memory.recall(key)
            if known is not None:
                return known, request_id, True
        block_end = cut if request_id else end
        found = self.templates.read(data, block_end) if self.templates is not None else None
        head, inner_id = found if found is not None else self.parse(data[:block_end])
        if inner_id:
            return head, request_id or inner_id, False  # differs each time, so do not keep
        kept = remember and self.memory.offer(key, head)
        return head, request_id, kept

    def parse(self, block: bytes) -> tuple[RequestHead, bytes]:
        """Block -> (head, value of its last `x-request-id` or empty). Raises RemoteProtocolError."""
        lines = block.split(b"\r\n")
        line = self._request_lines[lines.pop(0)]
        if len(line.target) > self._max_target:
            raise refuse(f"request target is longer than {self._max_target} bytes", "target_too_long", 414)
        if len(lines) > self._max_fields:
            raise refuse(f"more than {self._max_fields} header lines", "too_many_fields", 431)
        headers = []
        forward = [line.forward]
        specials = []
        for pair, sent, special in map(self._field, lines):
            if special is not None:
                specials.append(special)
                if special.kind == REQUEST_ID:
                    continue
            headers.append(pair)
            forward.append(sent)
        facts = _read_specials(specials)
        head = _assemble(line, facts, tuple(headers))
        dropped = _named_by_connection(facts, line)
        if dropped:
            forward = [forward[0]] + [
                sent for sent, pair in zip(forward[1:], headers, strict=True) if pair[0] not in dropped
            ]
        if facts.host is None:
            forward.append(b"host: %b\r\n" % head.authority.encode())
        head.forward = b"".join(forward)
        return head, facts.request_id

    def _compile(self, lines: list[bytes]) -> HeadTemplate | None:
        """Field lines with holes (`MARK`) -> template. Raises RemoteProtocolError as `parse` does."""
        headers: list[list[tuple[bytes, bytes]]] = [[]]
        forward: list[list[bytes]] = [[]]
        specials = []
        for line in lines:
            if line == MARK:
                headers.append([])
                forward.append([])
                continue
            pair, sent, special = self._field(line)
            if special is not None:
                if special.kind == REQUEST_ID:
                    return None
                specials.append(special)
            headers[-1].append(pair)
            forward[-1].append(sent)
        facts = _read_specials(specials)
        if facts.options and not facts.options <= _PLAIN_OPTIONS:
            return None  # it may name what was cut out
        head = _assemble(_PLAIN_LINE, facts, ())
        head.forward = b""
        if facts.options and any(pair[0] in facts.options for group in headers for pair in group):
            return None
        return HeadTemplate(
            head,
            tuple(tuple(group) for group in headers),
            tuple(b"".join(group) for group in forward),
            len(lines) - len(headers) + 1,
        )


class _Facts:
    """What the special fields of one head say together."""

    __slots__ = ("chunked", "expect", "host", "length", "options", "peer_metadata", "request_id", "upgrade")

    def __init__(self) -> None:
        self.host: Special | None = None
        self.length = -1
        self.chunked = False
        self.options: frozenset[bytes] = frozenset()
        self.upgrade = b""
        self.expect = False
        self.request_id = b""
        self.peer_metadata: bytes | None = None


def _read_specials(specials: Iterable[Special]) -> _Facts:
    """Combine, refusing repetitions that leave a choice to the reader."""
    facts = _Facts()
    for special in specials:
        kind = special.kind
        if kind == HOST:
            if facts.host is not None:
                raise refuse("more than one Host header", "duplicate_host")
            facts.host = special
        elif kind == CONNECTION:
            facts.options |= special.options
        elif kind == CONTENT_LENGTH:
            if facts.length >= 0:
                raise refuse("more than one Content-Length header", "duplicate_content_length")
            facts.length = special.length
        elif kind == TRANSFER_ENCODING:
            if facts.chunked:
                raise refuse("more than one Transfer-Encoding header", "bad_transfer_encoding")
            facts.chunked = True
        elif kind == UPGRADE:
            facts.upgrade = facts.upgrade + b", " + special.value if facts.upgrade else special.value
        elif kind == EXPECT:
            facts.expect = True
        elif kind == REQUEST_ID:
            facts.request_id = special.value
        else:  # PEER_METADATA
            if facts.peer_metadata is not None:
                raise refuse("more than one x-envoy-peer-metadata header", "duplicate_peer_metadata")
            facts.peer_metadata = special.value
    return facts


def _assemble(line: RequestLine, facts: _Facts, headers: Headers) -> RequestHead:
    head = RequestHead()
    head.method = line.method
    head.target = line.target
    head.path = line.path
    head.version = line.version
    head.headers = headers
    head.authority, head.host = _authority(line, facts.host)
    is_connect = line.method == b"CONNECT"
    _frame(head, facts, is_connect)
    is_11 = line.version == _HTTP_11
    options = facts.options
    if is_11:
        head.keep_alive = b"close" not in options and not is_connect
    else:
        head.keep_alive = b"keep-alive" in options and b"close" not in options and not is_connect
    head.expect_continue = facts.expect and is_11 and head.framing is not Framing.NONE
    head.upgrade = facts.upgrade if is_11 and b"upgrade" in options else b""
    head.peer_metadata = facts.peer_metadata or b""
    return head


def _authority(line: RequestLine, host: Special | None) -> tuple[str, str]:
    """The one authority both Host and target agree on (RFC 9112 section 3.2)."""
    if host is None:
        if line.version == _HTTP_11:
            raise refuse("HTTP/1.1 request without a Host header", "missing_host")
        return line.authority or "", line.host
    if line.authority is not None and line.authority != host.authority:
        given = {line.authority, host.authority}
        if given != {line.host, line.host + line.default_port}:
            raise refuse("Host and request target name different authorities", "host_conflict")
    return host.authority, host.host


def _frame(head: RequestHead, facts: _Facts, is_connect: bool) -> None:
    """RFC 9112 section 6.3, with every ambiguous combination refused."""
    if is_connect and (facts.chunked or facts.length >= 0):
        raise refuse("CONNECT with a body", "body_on_connect")
    head.chunked = facts.chunked
    head.content_length = 0
    head.end_stream = False
    if facts.chunked:
        if facts.length >= 0:
            raise refuse("both Content-Length and Transfer-Encoding", "length_and_encoding")
        if head.version != _HTTP_11:
            raise refuse("Transfer-Encoding in HTTP/1.0", "transfer_encoding_in_http10")
        head.framing = Framing.CHUNKED
    elif facts.length >= 0:
        head.framing = Framing.LENGTH
        head.content_length = facts.length
        head.end_stream = facts.length == 0
    else:
        head.framing = Framing.NONE
        head.end_stream = True


def _named_by_connection(facts: _Facts, line: RequestLine) -> frozenset[bytes]:
    """Names to leave out of `forward` besides those no head passes on (RFC 9110 section 7.6.1)."""
    named = facts.options
    if named and named & _ESSENTIAL:
        raise refuse("Connection names an end-to-end header", "bad_connection")
    if facts.expect and line.version != _HTTP_11:
        return named | {b"expect"}  # HTTP/1.0 has no expectations (RFC 9110 section 10.1.1)
    return named
