"""gRPC over HTTP/2: how this proxy answers a call, and what an answer says of it (pure). [3]

Source: gRPC's "PROTOCOL-HTTP2" and "HTTP to gRPC Status Code Mapping".
"""

from __future__ import annotations

from typing import Final

from meshproxy.http.events import Headers, RequestHead, ResponseHead

_CONTENT_TYPE: Final = b"content-type"
_GRPC: Final = b"application/grpc"
_BEHIND_GRPC: Final = frozenset((b"", b"+", b";"))
UNKNOWN: Final = 2
_STATUSES: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_MAX_MESSAGE: Final = 1024
_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {0x25}


_PREFIX: Final = 5
"""A byte of flags and the message's length (PROTOCOL-HTTP2, "Length-Prefixed-Message")."""
_STATUS: Final = b"grpc-status"
_KNOWN: Final = frozenset(b"%d" % code for code in range(17))
"""Whatever else a server says counts as UNKNOWN: peers must not choose how many series there are."""


class MessageCounter:
    """Counts the messages of one direction of a call, however DATA cuts them."""

    __slots__ = ("_head", "_left", "count")

    def __init__(self) -> None:
        self.count = 0
        self._left = 0
        """Bytes of the message under way that are still to come."""
        self._head = b""
        """Of a prefix that is not whole."""

    def feed(self, data: bytes) -> None:
        if self._head:
            data = self._head + data
            self._head = b""
        position, end = self._left, len(data)
        while position + _PREFIX <= end:
            self.count += 1
            position += _PREFIX + int.from_bytes(data[position + 1 : position + _PREFIX], "big")
        if position < end:
            self._head = data[position:]
            self._left = 0
        else:
            self._left = position - end


class GrpcCall:
    """What is counted of one call, and when it ends."""

    __slots__ = ("_requests", "_responses", "ends_at", "status")

    def __init__(self) -> None:
        self._requests = MessageCounter()
        self._responses = MessageCounter()
        self.status = ""
        """`grpc-status` as it came; empty when none did."""
        self.ends_at = 0.0
        """Monotonic seconds; 0: nobody set it a time."""

    @property
    def request_messages(self) -> int:
        return self._requests.count

    @property
    def response_messages(self) -> int:
        return self._responses.count

    def on_request(self, data: bytes) -> None:
        self._requests.feed(data)

    def on_response(self, data: bytes) -> None:
        self._responses.feed(data)

    def on_fields(self, fields: Headers) -> None:
        """The head of a response, or its trailers."""
        for name, value in fields:
            if name == _STATUS:
                self.status = value.decode() if value in _KNOWN else str(UNKNOWN)


def is_grpc(head: RequestHead) -> bool:
    """By its content-type: `application/grpc`, also with `+proto` and the like, or parameters; gRPC-Web's is
    another."""
    for name, value in head.headers:
        if name == _CONTENT_TYPE:
            return value.startswith(_GRPC) and value[len(_GRPC) : len(_GRPC) + 1] in _BEHIND_GRPC
    return False


TIMEOUT: Final = b"grpc-timeout"
LEAST_TIMEOUT: Final = 0.001
"""Seconds: what is left when all of it is gone."""
_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MAX_DIGITS: Final = 8
_MAX_MILLISECONDS: Final = 99_999_999


def timeout_of(head: RequestHead) -> float | None:
    """`grpc-timeout` in seconds; None for none, or one that is not as PROTOCOL-HTTP2 says."""
    for name, value in head.headers:
        if name == TIMEOUT:
            number, unit = value[:-1], _UNITS.get(value[-1:])
            if unit is None or not number.isdigit() or len(number) > _MAX_DIGITS:
                return None
            return int(number) * unit
    return None


def timeout_value(seconds: float) -> bytes:
    """`grpc-timeout` of what is left, rounded up: the limit of who asks must be the first to come."""
    milliseconds = int(max(seconds, LEAST_TIMEOUT) * 1000) + 1
    if milliseconds <= _MAX_MILLISECONDS:
        return b"%dm" % milliseconds
    return b"%dS" % min(int(seconds), _MAX_MILLISECONDS)


def status_of(http_status: int) -> int:
    """The gRPC status of an answer that knows only HTTP's."""
    return _STATUSES.get(http_status, UNKNOWN)


_COUNTED_AS: Final = {
    b"%d" % code: status
    for code, status in enumerate(
        (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)
    )
}
"""`grpc-status` -> HTTP's, as Envoy counts it (google.rpc.Code says the same)."""


def counted_as(head: ResponseHead) -> int:
    """The HTTP status that an answer to a call counts as where servers are judged: its `grpc-status` if that
    is all the answer is, else its own. A status that comes behind messages is not waited for."""
    for name, value in head.headers:
        if name == _STATUS:
            return _COUNTED_AS.get(value, 500)
    return head.status


def encoded_message(text: bytes) -> bytes:
    """`grpc-message`: percent-encoded (PROTOCOL-HTTP2, "Responses")."""
    text = text[:_MAX_MESSAGE]
    if all(byte in _PLAIN for byte in text):
        return text
    return b"".join([bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in text])


def trailers_only(status: int, message: bytes, extra: Headers) -> Headers:
    """The fields of an answer that is nothing but its status; `:status` is 200."""
    return ((_CONTENT_TYPE, _GRPC), *trailers(status, message), *extra)


def trailers(status: int, message: bytes) -> Headers:
    """What ends a call."""
    fields = [(_STATUS, b"%d" % status)]
    if message:
        fields.append((b"grpc-message", encoded_message(message)))
    return tuple(fields)
