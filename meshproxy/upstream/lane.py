"""What one exchange has of a connection to an endpoint, whatever the connection speaks. [7, 8]

Of HTTP/1.1 it is the whole connection, one exchange after the other; of HTTP/2 it is a stream.
"""

from __future__ import annotations

from typing import Protocol

from meshproxy.http.events import Event, Headers


class ResponseSink(Protocol):
    """Who waits for the response. Defined here so that the connection need not know the proxy above it."""

    def on_response(self, events: list[Event]) -> None:
        """At least one event."""
        ...

    def on_upstream_lost(self, error: Exception | None) -> None:
        """It ended before the response was complete; None is an orderly close."""
        ...

    def on_upstream_write_paused(self) -> None: ...

    def on_upstream_write_resumed(self) -> None: ...


class Lane:
    """An asyncio.Protocol's kin without a base, so that it and what derives from it can be compiled."""

    __slots__ = ("is_lost", "requests")

    def __init__(self) -> None:
        self.requests = 0
        """Exchanges begun on the connection; 1 during the first."""
        self.is_lost = False
        """It serves nobody any more: it was closed, by either side."""

    def begin(
        self,
        sink: ResponseSink,
        method: bytes,
        head: bytes,
        body: bytes = b"",
        *,
        chunked: bool = False,
        is_complete: bool = True,
        trailers: Headers = (),
    ) -> None:
        """Start an exchange with one write. `head`: as HTTP/1.1 sends it, the empty line included; `body`: as
        far as it is there; `chunked`: it declares no length; `is_complete`: nothing more comes."""
        raise NotImplementedError

    def send_body(self, data: bytes) -> None:
        """More of the request's body."""
        raise NotImplementedError

    def end_body(self, trailers: Headers) -> None:
        """Nothing more comes of it."""
        raise NotImplementedError

    def finish(self, reusable: bool) -> None:
        """The exchange is over: the lane may serve another one. The sink hears nothing more."""
        raise NotImplementedError

    def close(self) -> None:
        """Orderly, unless the peer leaves a request unread that nobody waits for any more."""
        raise NotImplementedError

    def abort(self) -> None:
        """An exchange was abandoned half-way."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        raise NotImplementedError

    def resume_reading(self) -> None:
        raise NotImplementedError

    # --- behind a 101; only what speaks HTTP/1.1 can ---

    def switch(self) -> bytes:
        """From now on all bytes are the sink's, as they come; returns those already here."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Bytes as they are."""
        raise NotImplementedError

    def write_eof(self) -> None:
        """FIN, behind what was written; reading goes on."""
        raise NotImplementedError

    def reset(self) -> None:
        """`abort`, so that the peer sees a reset."""
        raise NotImplementedError
