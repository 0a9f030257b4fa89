"""What an HTTP filter sees and may decide. [4]

A filter is made once for its settings and asked once for each request, in the order of the connection
manager's chain, after the route was chosen and before anything is sent. It answers itself, makes the request
wait, or lets it go on; who wants to see the answer says so with `after`. Filters hold no request: what they
need later lives in the hook they leave behind. They neither await nor raise; time comes as `now`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from meshproxy.http.events import Headers, RequestHead


@dataclass(frozen=True, slots=True)
class LocalReply:
    """Answer here, without the upstream."""

    status: int
    body: bytes = b""
    headers: Headers = ()
    """Further fields; content-type and content-length are written by the exchange."""
    flag: str = ""
    """Envoy's response flag, e.g. `FI`, `RL`."""
    grpc_status: int | None = None
    """What a call of gRPC is answered; None: what `status` means there."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Go on with the next filter after a while."""

    seconds: float
    flag: str = ""
    """Envoy's response flag for the whole exchange, e.g. `DI`."""
    then: LocalReply | None = None
    """What is answered when the time has come, instead of going on."""


class Answer:
    """A response head on its way to the client. Hooks may change `forward`."""

    __slots__ = ("endpoint", "forward", "is_local", "status")

    def __init__(self, status: int, forward: bytes, endpoint: str, *, is_local: bool) -> None:
        self.status = status
        self.forward = forward
        """Status line and field lines, each ended by CRLF."""
        self.endpoint = endpoint
        """`address:port` that answered; empty for a local reply."""
        self.is_local = is_local


AnswerHook = Callable[[Answer], None]
EndHook = Callable[[], None]


class FilteredRequest(Protocol):
    """The request as filters see it."""

    @property
    def head(self) -> RequestHead: ...

    @property
    def principal(self) -> str:
        """The client's verified SPIFFE id; empty over plaintext."""
        ...

    @property
    def peer_address(self) -> str:
        """The client's address, without port."""
        ...

    @property
    def now(self) -> float:
        """Monotonic seconds when the request began."""
        ...

    @property
    def is_forwarded(self) -> bool:
        """Its route sends it to a cluster: it is neither redirected nor answered by the route itself."""
        ...

    def after(self, hook: AnswerHook) -> None:
        """Show the answer to `hook` before it is sent: also a local one. Not interim (1xx) ones."""
        ...

    def at_end(self, hook: EndHook) -> None:
        """Call `hook` once, when the exchange is over, however it ends."""
        ...

    def prefer_endpoint(self, address: str, *, strict: bool) -> None:
        """Send it to `address:port` while that is fit; `strict`: or nowhere."""
        ...


class HttpFilter(Protocol):
    """One filter with its settings. Shared by all requests of a worker that it applies to."""

    def on_request(self, request: FilteredRequest) -> LocalReply | Delay | None:
        """None lets it go on."""
        ...
