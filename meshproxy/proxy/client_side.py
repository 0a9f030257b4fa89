"""What an exchange has of its client's connection, whatever the connection speaks. [2]

Of HTTP/1.1 it is the whole connection, one exchange after the other; of HTTP/2 it is a stream.
"""

from __future__ import annotations

from meshproxy.http.events import RequestHead
from meshproxy.proxy.services import ConnectionFacts


class ClientSide:
    """Without a base, so that it and what derives from it can be compiled."""

    __slots__ = ("facts", "forwarded_client_cert", "is_write_paused")

    def __init__(self, facts: ConnectionFacts, forwarded_client_cert: bytes) -> None:
        self.facts = facts
        self.forwarded_client_cert = forwarded_client_cert
        """The `x-forwarded-client-cert` line for the upstream, or nothing."""
        self.is_write_paused = False
        """It takes no more for now: the exchange was told."""

    def write(self, data: bytes) -> None:
        """Bytes of HTTP/1.1, or of what it was switched to."""
        raise NotImplementedError

    def must_close(self, head: RequestHead) -> bool:
        """Whether the response has to say `connection: close`."""
        raise NotImplementedError

    def pause_reading(self, reason: int) -> None:
        """No more of the request's body for now. `reason`: one of `services.PAUSED_BY_…`."""
        raise NotImplementedError

    def unpause_reading(self, reason: int) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        """End it so that the client cannot mistake what it got for the whole."""
        raise NotImplementedError

    def on_stream_done(self, now: float, *, close: bool) -> None:
        """The exchange is complete on our side."""
        raise NotImplementedError

    # --- behind a 101; only what speaks HTTP/1.1 can ---

    def switch(self) -> bytes:
        """From now on all bytes are the exchange's, as they come; returns those that came already."""
        raise NotImplementedError

    def write_eof(self) -> None:
        """FIN, behind what was written; reading goes on."""
        raise NotImplementedError

    def close(self) -> None:
        """Both sides have said all they had to say: what is buffered is sent, and it is over."""
        raise NotImplementedError
