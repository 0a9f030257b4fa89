"""The interface of an HTTP/1.1 codec, and the choice between the two there are (pure). [3]

| codec | for | how |
|---|---|---|
| `scan_codec` | the data path | `h1_scan.py`: scans a head once and remembers it and its lines |
| `strict_codec` | a gateway facing strangers | `h1_strict.py`: reads all twice, the second time with h11 |

Both give the same events and refuse the same messages; `docs/http1.md` names where the strict one may refuse
more. A codec is chosen per listener and per cluster; a connection takes its readers from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from meshproxy.http import h1_scan
from meshproxy.http.events import Event
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits


class RequestReader(Protocol):
    """Reads the requests of one downstream connection, one at a time. Not one method does I/O or waits."""

    @property
    def is_idle(self) -> bool:
        """No byte of a request has come since the last one."""

    @property
    def is_complete(self) -> bool:
        """A whole request was read and `start_next` was not called yet; bytes are only buffered."""

    @property
    def buffered(self) -> int:
        """Bytes held back: pause reading when they grow past what the connection may hold."""

    def receive(self, data: bytes) -> list[Event]:
        """Events of `data`. Raises RemoteProtocolError with the status to answer, then and ever after."""

    def receive_eof(self) -> list[Event]:
        """The peer will send no more. Raises RemoteProtocolError inside a message."""

    def start_next(self) -> list[Event]:
        """Go on with the next request: events of what was buffered. Call only when `is_complete`."""

    def switch(self) -> bytes:
        """Behind a complete request: what came behind it; all that follows passes as data, unread."""


class ResponseReader(Protocol):
    """Reads the responses of one upstream connection, each announced by `expect`."""

    @property
    def is_idle(self) -> bool:
        """No response is awaited and nothing came behind the last one."""

    @property
    def buffered(self) -> int:
        """Bytes held back: of an unfinished head, or behind a switch of protocols."""

    def expect(self, method: bytes) -> None:
        """Announce the response to a request with `method`, before that request is written."""

    def receive(self, data: bytes) -> list[Event]:
        """Events of `data`. Raises RemoteProtocolError, also for bytes when no response is awaited."""

    def receive_eof(self) -> list[Event]:
        """Ends a body that lasts until the connection closes; inside anything else raises
        RemoteProtocolError."""

    def take_remainder(self) -> bytes:
        """Bytes that came behind a 101 (or a 2xx to CONNECT): they belong to the protocol switched to."""

    def switch(self) -> bytes:
        """`take_remainder`; all that follows passes as data, unread."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Makes the readers of connections."""

    name: str
    """`scan` or `strict`, for logs and the config dump."""
    request_reader: Callable[[], RequestReader]
    response_reader: Callable[[], ResponseReader]


def scan_codec(memory: HeadMemory, limits: HeadLimits) -> Codec:
    """The data path's. Give every codec of a worker the same `memory`."""
    return Codec(
        "scan",
        partial(h1_scan.RequestReader, memory, limits),
        partial(h1_scan.ResponseReader, memory, limits),
    )


CODECS: Final = ("scan", "strict")
"""Names to choose by."""

CodecMaker = Callable[[HeadLimits], Codec]
"""One codec for each set of limits."""


def codec_maker(name: str, memory: HeadMemory) -> CodecMaker:
    """The codec called `name`, one of `CODECS`, for whoever knows the limits; `memory` is the worker's."""
    return strict_codec if name == "strict" else partial(scan_codec, memory)


def strict_codec(limits: HeadLimits) -> Codec:
    """For strangers. Its connections share nothing."""
    from meshproxy.http import h1_strict  # here: a sidecar has no use for it

    return Codec(
        "strict", partial(h1_strict.RequestReader, limits), partial(h1_strict.ResponseReader, limits)
    )
