"""The neutral HTTP vocabulary between codecs and the proxy (pure). [3]

A codec's `receive(data)` returns a list of events. Body data is plain `bytes` (already de-chunked) and the
end of a message is `END`, so that the common exchange allocates one list and one small object. Heads are
shared: a codec remembers identical head bytes, so a head is immutable and nothing per-request may be stored
on it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

Headers = tuple[tuple[bytes, bytes], ...]


NO_BODY: Final = frozenset({204, 304})
"""Final statuses behind which none comes (RFC 9110 sections 15.3.5 and 15.4.5)."""


class Framing(Enum):
    """How a message's body is delimited (RFC 9112 section 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until_close"
    """Responses only."""


class RequestHead:
    """A parsed, validated request head. Shared between requests: never mutate it.

    Header names are lower case; order is kept. `forward` is the serialised start: request line and header
    lines to send on, each ended by CRLF, without the empty line that ends a head. It leaves out what a
    proxy must not pass: hop-by-hop fields (RFC 9110 section 7.6.1: `connection` and what it names,
    `keep-alive`, `proxy-connection`, `te`, `transfer-encoding`, `upgrade`), and the mesh's own fields,
    which the proxy writes itself: `x-request-id` (given per request), `x-envoy-peer-metadata`,
    `x-forwarded-client-cert`. It holds `content-length` when the framing is LENGTH; the writer adds
    `transfer-encoding: chunked`.
    """

    __slots__ = (
        "authority",
        "chunked",
        "content_length",
        "end_stream",
        "expect_continue",
        "forward",
        "framing",
        "headers",
        "host",
        "keep_alive",
        "method",
        "path",
        "peer_metadata",
        "target",
        "upgrade",
        "version",
    )

    method: bytes
    target: bytes
    """Request target in origin form as received (an absolute form is normalised); `*` for `OPTIONS *`."""
    path: str
    """`target` without the query, for routing."""
    authority: str
    """Host field, lower case, with its port where given."""
    host: str
    """`authority` without the port."""
    version: tuple[int, int]
    headers: Headers
    """Every field received, including those `forward` leaves out, but never `x-request-id`: see `Request`."""
    framing: Framing
    content_length: int
    """Declared length; 0 unless the framing is LENGTH."""
    chunked: bool
    end_stream: bool
    """No body follows: the head is the whole message (no `END` event is produced for it)."""
    keep_alive: bool
    expect_continue: bool
    upgrade: bytes
    peer_metadata: bytes
    """Value of `x-envoy-peer-metadata`, empty when absent: to be believed only over mTLS."""
    forward: bytes

    def copy(self) -> RequestHead:
        """One of its own, for whoever must change something. (`copy.copy` knows no compiled classes.)"""
        head = RequestHead()
        head.method = self.method
        head.target = self.target
        head.path = self.path
        head.authority = self.authority
        head.host = self.host
        head.version = self.version
        head.headers = self.headers
        head.framing = self.framing
        head.content_length = self.content_length
        head.chunked = self.chunked
        head.end_stream = self.end_stream
        head.keep_alive = self.keep_alive
        head.expect_continue = self.expect_continue
        head.upgrade = self.upgrade
        head.peer_metadata = self.peer_metadata
        head.forward = self.forward
        return head


class ResponseHead:
    """A parsed, validated response head. Shared: never mutate it. `forward` as in `RequestHead`."""

    __slots__ = (
        "chunked",
        "content_length",
        "forward",
        "headers",
        "keep_alive",
        "reason",
        "status",
        "upgrade",
        "version",
    )

    status: int
    reason: bytes
    version: tuple[int, int]
    headers: Headers
    content_length: int
    """Declared length, -1 when none was declared."""
    chunked: bool
    keep_alive: bool
    upgrade: bytes
    forward: bytes
    """`HTTP/1.1 200 OK` line and fields to send on; with `content-length` when declared and not chunked."""


class Request:
    """Start of a request: the shared head and what is this request's alone."""

    __slots__ = ("head", "request_id")

    def __init__(self, head: RequestHead, request_id: bytes) -> None:
        self.head = head
        self.request_id = request_id
        """Value of the last `x-request-id` field, empty when absent."""


class Response:
    """Start of a response (also an interim 1xx one): the shared head and how this body is delimited."""

    __slots__ = ("end_stream", "framing", "head")

    def __init__(self, head: ResponseHead, framing: Framing, end_stream: bool) -> None:
        self.head = head
        self.framing = framing
        """Depends on the request's method too (HEAD), hence not on the head."""
        self.end_stream = end_stream
        """No body follows; no `END` event is produced."""

    @property
    def keeps_open(self) -> bool:
        """Behind this response its connection may carry another one."""
        return self.head.keep_alive and self.framing is not Framing.UNTIL_CLOSE


class Trailers:
    """Trailer section of a chunked message, validated; followed by `END`."""

    __slots__ = ("headers",)

    def __init__(self, headers: Headers) -> None:
        self.headers = headers


class EndOfMessage(Enum):
    END = "end"


END: Final = EndOfMessage.END
"""The message is complete. Produced for every message whose start had `end_stream` False."""

Event = Request | Response | bytes | Trailers | EndOfMessage
