"""What conformance tests compare: messages as plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.codec import Codec, RequestReader, ResponseReader
from meshproxy.http.events import END, Event, Request, Response, Trailers
from tests.fuzz.reading import pieces

TIMES = 4
"""Often enough for the scanning codec to know a head (at its third sighting) and to use what it knows."""
SIZES = (1, 2, 7, 100_000)
"""Bytes of a piece."""


def messages(events: Iterable[Event]) -> list[list[object]]:
    """[start, forwarded head, body, trailers or (), complete?] of each message; start is (method, target) or
    the status."""
    found: list[list[object]] = []
    for event in events:
        if isinstance(event, Request):
            start = (event.head.method, event.head.target)
            found.append([start, event.head.forward, b"", (), event.head.end_stream])
        elif isinstance(event, Response):
            found.append([event.head.status, event.head.forward, b"", (), event.end_stream])
        elif isinstance(event, Trailers):
            found[-1][3] = event.headers
        elif event is END:
            found[-1][4] = True
        else:
            assert isinstance(event, bytes)
            assert isinstance(found[-1][2], bytes)
            found[-1][2] += event
    return found


def receive_requests(reader: RequestReader, parts: Iterable[bytes]) -> list[Event]:
    """Events of `parts`, each request followed by the next at once."""
    events: list[Event] = []
    for part in parts:
        events += reader.receive(part)
        while reader.is_complete:
            events += reader.start_next()
    return events


def awaiting(codec: Codec, method: bytes = b"GET") -> ResponseReader:
    reader = codec.response_reader()
    reader.expect(method)
    return reader


def receive(reader: ResponseReader, data: bytes, size: int) -> list[Event]:
    return [event for part in pieces(data, size) for event in reader.receive(part)]


def refusal(call: Callable[..., object], *arguments: object) -> tuple[int, str]:
    """(status, reason) with which the call is refused."""
    with pytest.raises(RemoteProtocolError) as caught:
        call(*arguments)
    return caught.value.status, caught.value.reason
