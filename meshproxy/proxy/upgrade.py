"""An exchange that asks to go on in another protocol (RFC 9110 section 7.8): WebSocket. [5]

Until the 101 it is an exchange like any other: routed, retried, timed, answered with whatever status its
upstream chooses. With the 101 both connections become one relay of bytes: the codecs pass on what comes as it
comes, FIN on one side becomes FIN on the other, a reset a reset, and back-pressure stays as it was. The
route's timeout is then over, as in Envoy; the stream idle timeout goes on. The exchange is counted once, at
its end, with status 101 and the bytes of both directions.
"""

from __future__ import annotations

from typing import Final

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.events import Event, Request, Response, ResponseHead
from meshproxy.proxy.client_side import ClientSide
from meshproxy.proxy.http_manager import HttpManager
from meshproxy.proxy.http_stream import HttpStream
from meshproxy.proxy.outcome import RULES, Outcome
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.endpoint import EndpointRuntime

_SWITCHING: Final = 101


class UpgradeStream(HttpStream):
    """A request with `connection: upgrade`, for a protocol that the listener allows."""

    __slots__ = ("_downstream_ended", "_is_switched", "_lines", "_upstream_ended")

    def __init__(self, connection: ClientSide, manager: HttpManager, request: Request, now: float) -> None:
        head = request.head.copy()  # the original is shared, and does not pass the two fields on
        self._lines = b"connection: upgrade\r\nupgrade: %b\r\n" % head.upgrade.lower()
        head.forward += self._lines
        self._is_switched = self._downstream_ended = self._upstream_ended = False
        super().__init__(connection, manager, Request(head, request.request_id), now)

    def _connect(self, cluster: ClusterRuntime, endpoint: EndpointRuntime) -> None:
        """HTTP/2 has no such request: where the peer would choose it, it is not offered."""
        if not cluster.negotiates(endpoint):
            super()._connect(cluster, endpoint)
        elif not cluster.connect_alone(endpoint, self):
            self.reply(Outcome.OVERFLOW)

    # --- the switch ---

    def _take_head(self, response: Response, events: list[Event]) -> bytes | None:
        head = response.head
        if head.status != _SWITCHING:
            return super()._take_head(response, events)
        if head.upgrade.lower() != self._head.upgrade.lower():
            self.on_upstream_lost(RemoteProtocolError("upstream switched to a protocol nobody asked for"))
            return None
        self._tell_of_switch(head)
        self._response = response
        self._is_switched = True
        return self._shown(head) + self._answer_lines + self._lines + b"\r\n"

    def _tell_of_switch(self, head: ResponseHead) -> None:
        """To the endpoint's policies the 101 is an answer like any other, and the attempt ends with it:
        the relay may last for days, and must be neither a breaker's probe nor a retry for so long."""
        endpoint, cluster = self._endpoint, self._cluster
        assert endpoint is not None
        assert cluster is not None
        if endpoint.is_watched:
            cluster.on_answer(endpoint, head, head.status, self._now() - self._attempted_at, self)
        if self._retry is not None:
            self._retry.end()
        if self._attempt_timer is not None:
            self._stop_attempt_timer()

    def _switch(self) -> None:
        if self._timer is not None:
            self._services.timers.cancel(self._timer)
            self._timer = None
        upstream = self._upstream
        assert upstream is not None
        if late := upstream.switch():
            self.response_bytes += len(late)
            self._connection.write(late)
        if early := self._connection.switch():
            self.on_request_data(early)

    # --- bytes ---

    def on_request_data(self, data: bytes) -> None:
        self.request_bytes += len(data)
        if self._upstream is not None:
            self._upstream.write(data)

    def on_response(self, events: list[Event]) -> None:
        if not self._is_switched:
            super().on_response(events)
            if self._is_switched:
                self._switch()
            return
        for event in events:
            if type(event) is bytes:
                self.response_bytes += len(event)
                self._connection.write(event)
            else:  # END
                self._upstream_ended = True
                self._connection.write_eof()
                if self._downstream_ended:
                    self._close("")

    # --- the end ---

    def on_downstream_eof(self) -> bool:
        if not self._is_switched:
            return False
        self._downstream_ended = True
        if self._upstream is not None:
            self._upstream.write_eof()
        if self._upstream_ended:
            self._close("")
        return True

    def on_downstream_lost(self) -> None:
        if self._is_switched and not self.is_done and self._upstream is not None:
            self._upstream.reset()
            self._upstream = None
        super().on_downstream_lost()

    def on_idle(self) -> None:
        if self._is_switched:
            self._close(RULES[Outcome.STREAM_IDLE_TIMEOUT].flag)
        else:
            super().on_idle()

    def _close(self, flag: str) -> None:
        """End both sides in an orderly way."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
        self._connection.close()
        self._complete(_SWITCHING, flag, close=True)
