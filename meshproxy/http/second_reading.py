"""h11's reading of one message, compared with ours (pure). [3]

h11 is fed exactly one message: each head whole, then the body as it comes. It is laxer than our rules (bare
LF, folded lines, blanks behind a chunk size), so on its own it would not do; it is here because it is
somebody else's: to get through, a mistake must be made twice, in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import h11

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.events import Event, Headers, RequestHead, ResponseHead, Trailers
from meshproxy.http.field_line import parse_trailer_field
from meshproxy.http.limits import HeadLimits
from meshproxy.http.syntax import refuse

_REQUEST_ID: Final = b"x-request-id"

_H11Event = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]


class SecondReading:
    """One per message. Its methods raise RemoteProtocolError: `refused_by_h11`, or `readers_disagree`."""

    __slots__ = ("_peer",)

    def __init__(self, role: type[h11.CLIENT] | type[h11.SERVER], limits: HeadLimits) -> None:
        # What we pass on to h11 is already within our limits; this only lifts its own, lower one.
        size = limits.max_head_bytes + limits.max_trailer_bytes + limits.max_chunk_line
        self._peer = h11.Connection(role, max_incomplete_event_size=size)

    @classmethod
    def of_request(cls, limits: HeadLimits) -> SecondReading:
        return cls(h11.SERVER, limits)

    @classmethod
    def of_response(cls, limits: HeadLimits, method: bytes) -> SecondReading:
        """Of the response to a request with `method`. Whether a 101 was asked for is the proxy's to know."""
        reading = cls(h11.CLIENT, limits)
        asked = [(b"host", b"a"), (b"upgrade", b"any")]
        reading._peer.send(h11.Request(method=method, target=b"/", headers=asked))
        reading._peer.send(h11.EndOfMessage())
        return reading

    def request(self, data: bytes, head: RequestHead, request_id: bytes) -> None:
        """`data` is the head with the empty line that ends it."""
        event = self._next(data)
        if type(event) is not h11.Request:
            raise _disagree("a request head")
        ids = [value for name, value in event.headers if name == _REQUEST_ID]
        line = b"%b %b HTTP/%b" % (event.method, event.target, event.http_version)
        _agree(line, data.partition(b"\r\n")[0], "the request line")
        _agree(_without_ids(event.headers), _as_h11(head.headers), "the header fields")
        _agree(ids[-1] if ids else b"", request_id, "x-request-id")
        _agree(self._has_ended(), head.end_stream, "the request's framing")

    def response(self, data: bytes, head: ResponseHead, *, end_stream: bool) -> None:
        """`data` is the head with the empty line that ends it."""
        event = self._next(data)
        if not isinstance(event, h11.Response | h11.InformationalResponse):
            raise _disagree("a response head")
        line = b"HTTP/%b %d %b" % (event.http_version, event.status_code, event.reason)
        _agree(line.rstrip(b" "), data.partition(b"\r\n")[0].rstrip(b" "), "the status line")
        _agree(tuple(event.headers), _as_h11(head.headers), "the header fields")
        if head.status >= 200:
            _agree(self._has_ended(), end_stream, "the response's framing")

    def body(self, data: bytes, ours: Iterable[Event], *, rest: bytes | None) -> None:
        """`ours` are the events we made of `data`; `rest` is what follows the message, None while it goes
        on."""
        parts: list[bytes] = []
        event = self._next(data)
        while type(event) is h11.Data:
            parts.append(bytes(event.data))
            event = self._next()
        content = b"".join(part for part in ours if type(part) is bytes)
        _agree(b"".join(parts), content, "the body")
        _agree(self._excess(event), rest, "where the message ends")
        if type(event) is h11.EndOfMessage:
            trailers = next((part.headers for part in ours if type(part) is Trailers), ())
            _agree(_passed_on(event.headers), trailers, "the trailers")

    def end(self) -> None:
        """The connection ended, and with it a body without a declared length."""
        self._peer.receive_data(b"")
        _agree(type(self._next()), h11.EndOfMessage, "the end of the body")

    def _has_ended(self) -> bool:
        """Nothing but the head belongs to the message. PAUSED: the protocol is switched behind it."""
        event = self._next()
        return type(event) is h11.EndOfMessage or event is h11.PAUSED

    def _excess(self, event: _H11Event) -> bytes | None:
        """What follows the message when `event` ends it."""
        return self._peer.trailing_data[0] if type(event) is h11.EndOfMessage else None

    def _next(self, data: bytes = b"") -> _H11Event:
        if data:
            self._peer.receive_data(data)
        try:
            return self._peer.next_event()
        except h11.RemoteProtocolError as error:
            # h11's own message quotes the peer's bytes: it goes no further.
            raise refuse(
                "refused by the second reader, h11", "refused_by_h11", error.error_status_hint
            ) from None


def _disagree(what: str) -> RemoteProtocolError:
    return refuse(f"two readers understand {what} differently", "readers_disagree")


def _agree(theirs: object, ours: object, what: str) -> None:
    if theirs != ours:
        raise _disagree(what)


def _as_h11(headers: Headers) -> Headers:
    """h11 writes the transfer coding in lower case."""
    return tuple(
        [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in headers]
    )


def _without_ids(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return tuple([pair for pair in headers if pair[0] != _REQUEST_ID])


def _passed_on(trailers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What our rules leave of the trailers h11 read."""
    fields = [parse_trailer_field(b"%b: %b" % pair) for pair in trailers]
    return tuple([field for field in fields if field is not None])
