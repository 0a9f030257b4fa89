"""What an HTTP/1.1 codec makes of bytes, as values that can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.codec import Codec
from meshproxy.http.events import END, Event, Request, Response, Trailers


@dataclass(frozen=True)
class Reading:
    """A connection's events, and how it ended."""

    events: tuple[tuple[object, ...], ...]
    """One tuple per event; body bytes that follow each other are joined, however they came."""
    reason: str = ""
    """Of the refusal; empty when everything was taken."""
    status: int = 0
    """Of the refusal."""
    remainder: bytes = b""
    """Behind a response: what belongs to the protocol switched to, or to nobody."""

    @property
    def is_refused(self) -> bool:
        return bool(self.reason)

    @property
    def complete(self) -> tuple[tuple[object, ...], ...]:
        """The events of whole messages: what a refusal cut short is left out, as its call's events are
        lost."""
        whole = 0
        for index, event in enumerate(self.events, 1):
            if event[0] == "end" or (event[0] in {"request", "response"} and event[-1]):
                whole = index
        return self.events[:whole]

    @property
    def messages(self) -> int:
        """How many messages were complete."""
        return sum(
            event[0] == "end" or (event[0] in {"request", "response"} and bool(event[-1]))
            for event in self.events
        )


def pieces(data: bytes, size: int) -> list[bytes]:
    """`data` in pieces of `size` bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def read_requests(codec: Codec, parts: Iterable[bytes]) -> Reading:
    """A connection on which a client sends `parts` and ends; every request is answered as soon as it is
    whole."""
    reader = codec.request_reader()
    events: list[Event] = []
    try:
        for part in parts:
            events += reader.receive(part)
            while reader.is_complete and reader.buffered:
                events += reader.start_next()
        while reader.is_complete:
            events += reader.start_next()
        events += reader.receive_eof()
    except RemoteProtocolError as error:
        return Reading(_shown(events), error.reason, error.status)
    return Reading(_shown(events))


def read_response(codec: Codec, method: bytes, parts: Iterable[bytes]) -> Reading:
    """A connection on which a server answers one `method` request with `parts` and ends."""
    reader = codec.response_reader()
    reader.expect(method)
    events: list[Event] = []
    unread = list(parts)
    try:
        while unread and not _has_final_response(events):
            events += reader.receive(unread.pop(0))
        events += reader.receive_eof()
    except RemoteProtocolError as error:
        return Reading(_shown(events), error.reason, error.status)
    return Reading(_shown(events), remainder=reader.take_remainder() + b"".join(unread))


def _has_final_response(events: list[Event]) -> bool:
    last = events[-1] if events else None
    if isinstance(last, Response):
        return last.end_stream and last.head.status >= 200
    return last is END


def public_names(head: object) -> list[str]:
    """Attributes of a head; compiled classes have no `__slots__`."""
    return [name for name in dir(head) if name[0] != "_" and name != "copy"]


def _slots(head: object) -> tuple[object, ...]:
    return tuple((name, getattr(head, name)) for name in public_names(head))


def _shown(events: Iterable[Event]) -> tuple[tuple[object, ...], ...]:
    shown: list[tuple[object, ...]] = []
    body = b""
    for event in events:
        if type(event) is bytes:
            assert event, "an empty body event"
            body += event
            continue
        if body:
            shown.append(("data", body))
            body = b""
        if isinstance(event, Request):
            shown.append(("request", _slots(event.head), event.request_id, event.head.end_stream))
        elif isinstance(event, Response):
            shown.append(("response", _slots(event.head), event.framing, event.end_stream))
        elif isinstance(event, Trailers):
            shown.append(("trailers", event.headers))
        else:
            shown.append(("end",))
    if body:
        shown.append(("data", body))
    return tuple(shown)
