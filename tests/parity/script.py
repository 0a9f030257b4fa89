"""What upstreams are told to answer and what they got, and how both are written in HTTP/1.1 (pure)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

HTTP_PORT, TCP_PORT, TLS_PORT = 8080, 9000, 9443
NAMED = "x-upstream"
"""Response header with the endpoint's name."""


@dataclass(frozen=True)
class Answer:
    """What an endpoint does with one request."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    after: str = "answer"
    """`answer`; `reset`, `refuse` and `hang` never answer; `hold` answers what asks for `/hold` when it is
    released; `trickle` answers the head only; `cut` resets the stream behind what it answers. `refuse` and
    `cut` are HTTP/2's."""
    trailers: tuple[tuple[str, str], ...] = ()


RESET, HANG, HOLD, TRICKLE = (Answer(after=what) for what in ("reset", "hang", "hold", "trickle"))
REFUSE = Answer(after="refuse")
OK = Answer()
PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
"""As much of it as a reader of HTTP/1.1 takes for a head (RFC 9113 section 3.4)."""


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    endpoint: str
    method: str
    target: str
    headers: Mapping[str, tuple[str, ...]]
    """By lower-case name, in order."""
    body: bytes
    trailers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    version: str = "1.1"
    """`1.1` or `2`."""


@dataclass
class Endpoint:
    """One endpoint's script: answers in turn, the last one for ever."""

    name: str
    script: Sequence[Answer]
    seen: list[Seen] = field(default_factory=list)
    accepted: int = 0
    """Connections so far."""
    open: int = 0
    """Connections now."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _next: int = 0

    def answer(self) -> Answer:
        chosen = self.script[min(self._next, len(self.script) - 1)]
        self._next += 1
        return chosen


def chunked(body: bytes, trailers: Sequence[tuple[str, str]]) -> bytes:
    """One chunk, or none, and trailers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n" + lines.encode() + b"\r\n"


def fields_of(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    """The first line and the fields behind it."""
    start, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    return start, [(name, value.strip()) for name, _, value in pairs]
