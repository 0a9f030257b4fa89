"""A copy of a request for another cluster, whose answer nobody waits for (`RequestMirrorPolicy`). [6]

It must not be felt by the request it copies: it holds at most what a retry would hold, never slows the
client, and whatever goes wrong ends the copy alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from meshproxy.http.events import END, Event, Response, Trailers
from meshproxy.policy.timeout_wheel import Timer
from meshproxy.proxy.request_body import HeldBody
from meshproxy.proxy.services import ProxyServices
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.connector import ConnectFailed
from meshproxy.upstream.endpoint import EndpointRuntime
from meshproxy.upstream.lane import Lane

_SHADOW: Final = b"-shadow"
_SWITCHED: Final = 101


class Mirror:
    """One copy under way. Implements `ResponseSink` and `ConnectionWaiter`."""

    __slots__ = (
        "_body",
        "_chunked",
        "_cluster",
        "_endpoint",
        "_head",
        "_is_complete",
        "_is_done",
        "_method",
        "_services",
        "_timer",
        "_upstream",
    )

    def __init__(
        self, services: ProxyServices, cluster: ClusterRuntime, method: bytes, head: bytes, *, chunked: bool
    ) -> None:
        """`head` is the whole head to send, with the empty line that ends it."""
        self._services = services
        self._cluster = cluster
        self._method = method
        self._head = head
        self._chunked = chunked
        self._body = HeldBody()
        self._endpoint: EndpointRuntime | None = None
        self._upstream: Lane | None = None
        self._timer: Timer[Callable[[], None]] | None = None
        self._is_complete = False
        self._is_done = False

    def start(self, original_dst: tuple[str, int], deadline_at: float | None) -> None:
        """Send it, unless the cluster has no endpoint or no room."""
        cluster = self._cluster
        endpoint = None
        if cluster.active_requests < cluster.cluster.max_requests:
            endpoint = cluster.pick((), original_dst)
        if endpoint is None:
            self._is_done = True
            return
        cluster.active_requests += 1
        endpoint.active_requests += 1
        self._endpoint = endpoint
        if deadline_at is not None:
            self._timer = self._services.timers.schedule(deadline_at, self._abandon)
        upstream = endpoint.take_idle()
        if upstream is not None:
            self.on_connection(upstream)
        elif not cluster.connect(endpoint, self):
            self._end()

    # --- the request ---

    def on_data(self, data: bytes) -> None:
        """More of the body."""
        if self._is_done:
            return
        if self._upstream is not None:
            self._upstream.send_body(data)
            return
        self._body.add(data)
        if self._body.is_too_large:
            self._abandon()

    def on_end(self, trailers: Trailers | None) -> None:
        """The body is complete."""
        self._is_complete = True
        self._body.trailers = trailers
        if self._upstream is not None and not self._is_done:
            self._upstream.end_body(self._body.trailer_fields)

    def cancel(self) -> None:
        """The request it copies was given up before it was complete."""
        if not self._is_complete:
            self._abandon()

    # --- ConnectionWaiter ---

    def on_connection(self, connection: Lane) -> None:
        self._upstream = connection
        assert self._endpoint is not None
        self._endpoint.requests += 1
        connection.begin(
            self,
            self._method,
            self._head,
            self._body.held,
            chunked=self._chunked,
            is_complete=self._is_complete,
            trailers=self._body.trailer_fields,
        )

    def on_connect_failed(self, error: ConnectFailed) -> None:
        self._end()

    # --- ResponseSink ---

    def on_response(self, events: list[Event]) -> None:
        last = events[-1]
        if isinstance(last, Response) and last.head.status == _SWITCHED:
            self._abandon()  # what came from now on would be kept for somebody who takes it
        elif last is END or (isinstance(last, Response) and last.end_stream and last.head.status >= 200):
            upstream, self._upstream = self._upstream, None
            assert upstream is not None
            upstream.finish(False)
            self._end()

    def on_upstream_lost(self, error: Exception | None) -> None:
        self._upstream = None
        self._end()

    def on_upstream_write_paused(self) -> None:
        self._abandon()  # it does not keep up, and the client shall not wait for it

    def on_upstream_write_resumed(self) -> None:
        """It was given up when writing paused."""

    # --- the end ---

    def _abandon(self) -> None:
        if self._is_done:
            return
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        elif self._endpoint is not None:
            self._cluster.cancel_wait(self._endpoint, self)
        self._end()

    def _end(self) -> None:
        if self._is_done:
            return
        self._is_done = True
        if self._timer is not None:
            self._services.timers.cancel(self._timer)
        assert self._endpoint is not None
        self._cluster.active_requests -= 1
        self._endpoint.active_requests -= 1


def with_shadow_host(forward: bytes) -> bytes:
    """`host: a.b:80` -> `host: a.b-shadow:80`, as Envoy marks copies."""
    lines = forward.split(b"\r\n")
    for index, line in enumerate(lines):
        if line[:5].lower() == b"host:":
            lines[index] = b"host: " + _shadow(line[5:].strip())
    return b"\r\n".join(lines)


def _shadow(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    if colon and port.isdigit():
        return name + _SHADOW + colon + port
    return host + _SHADOW
