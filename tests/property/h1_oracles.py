"""h11 and llhttp on their own: what each makes of the bytes of a connection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import h11
import httptools

Pairs = tuple[tuple[bytes, bytes], ...]


@dataclass
class Message:
    """One message as a reader saw it; names and the transfer coding in lower case."""

    start: tuple[bytes, bytes] | int
    """(method, target), or the status of a final response."""
    headers: Pairs = ()
    body: bytes = b""
    trailers: Pairs = ()
    is_whole: bool = False


@dataclass
class Oracle:
    messages: list[Message] = field(default_factory=list)
    refusal: str = ""
    """Its words; empty when it took everything."""


def _lower_coding(pairs: Iterable[tuple[bytes, bytes]]) -> Pairs:
    return tuple(
        (name.lower(), value.lower() if name.lower() == b"transfer-encoding" else value)
        for name, value in pairs
    )


def ask_h11(parts: Iterable[bytes], method: bytes | None = None) -> Oracle:
    """`method` of the request that a response answers; None reads requests, each by a parser of its own, as
    a connection that is never closed for what a message says."""
    seen = Oracle()
    waiting = [part for part in parts if part]
    peer = _h11_peer(method)
    while True:
        try:
            event = peer.next_event()
        except h11.RemoteProtocolError as error:
            seen.refusal = str(error)
            return seen
        if isinstance(event, h11.Request):
            seen.messages.append(Message((event.method, event.target), _lower_coding(event.headers)))
        elif isinstance(event, h11.Response):
            seen.messages.append(Message(event.status_code, _lower_coding(event.headers)))
        elif isinstance(event, h11.Data):
            seen.messages[-1].body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            seen.messages[-1].trailers = _lower_coding(event.headers)
            seen.messages[-1].is_whole = True
            rest = peer.trailing_data[0]
            if method is not None or not (rest or waiting):
                return seen
            peer = _h11_peer(None)
            waiting[:0] = [rest] if rest else []
        elif event is h11.NEED_DATA:
            peer.receive_data(waiting.pop(0) if waiting else b"")
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            return seen


def _h11_peer(method: bytes | None) -> h11.Connection:
    if method is None:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    peer.send(h11.Request(method=method, target="/", headers=[("host", "a"), ("upgrade", "any")]))
    peer.send(h11.EndOfMessage())
    return peer


class _LlhttpSink:
    """httptools' callbacks."""

    def __init__(self) -> None:
        self.seen = Oracle()
        self.parser: httptools.HttpRequestParser | None = None
        self._url = b""
        self._pairs: list[tuple[bytes, bytes]] = []
        self._is_in_head = True

    def on_message_begin(self) -> None:
        self._url = b""
        self._pairs = []
        self._is_in_head = True

    def on_url(self, part: bytes) -> None:
        self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._pairs.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        assert self.parser is not None
        start = (self.parser.get_method(), self._url)
        self.seen.messages.append(Message(start, _lower_coding(self._pairs)))
        self._pairs = []
        self._is_in_head = False

    def on_body(self, part: bytes) -> None:
        self.seen.messages[-1].body += part

    def on_message_complete(self) -> None:
        self.seen.messages[-1].trailers = _lower_coding(self._pairs)
        self.seen.messages[-1].is_whole = True
        self._pairs = []


def ask_llhttp(parts: Iterable[bytes]) -> Oracle:
    """Requests only."""
    sink = _LlhttpSink()
    sink.parser = httptools.HttpRequestParser(sink)
    try:
        for part in parts:
            sink.parser.feed_data(part)
    except httptools.HttpParserUpgrade:
        sink.seen.refusal = "upgrade"
    except httptools.HttpParserError as error:
        sink.seen.refusal = f"{type(error).__name__}: {error}"
    return sink.seen
