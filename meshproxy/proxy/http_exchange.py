"""The two ends of one HTTP exchange: the request's body on its way up, the answer on its way down. [5, 6, 7]

What is sent where, and when it is over; `http_stream.py` decides where it goes and what is tried again. The
state is in what is set. No `_endpoint`: not routed, or waiting to try again; no `_upstream`: waiting for a
connection; `_response`: a response has begun, nothing can be retried; `is_done`: nothing may happen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from meshproxy.filters.message_field import with_field
from meshproxy.http.events import (
    END,
    NO_BODY,
    Event,
    Framing,
    Headers,
    Request,
    RequestHead,
    Response,
    ResponseHead,
    Trailers,
)
from meshproxy.http.grpc import GrpcCall
from meshproxy.http.h1_writer import LAST_CHUNK, chunk, last_chunk, local_response
from meshproxy.policy.timeout_wheel import Timer
from meshproxy.proxy import unserved
from meshproxy.proxy.client_side import ClientSide
from meshproxy.proxy.counted_retry import CountedRetry
from meshproxy.proxy.filter_run import FilterRun
from meshproxy.proxy.http_manager import HttpManager
from meshproxy.proxy.mirror import Mirror
from meshproxy.proxy.outcome import RULES, Outcome
from meshproxy.proxy.request_body import HeldBody
from meshproxy.proxy.services import PAUSED_BY_BODY
from meshproxy.routing.match import CompiledRoute, Target
from meshproxy.upstream.balancer.api import PickContext, address_of
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.endpoint import EndpointRuntime
from meshproxy.upstream.lane import Lane

_HTTP_11: Final = (1, 1)
_LENGTH: Final = Framing.LENGTH
_CHUNKED: Final = Framing.CHUNKED
_UNTIL_CLOSE: Final = Framing.UNTIL_CLOSE
_NONE: Final = Framing.NONE
CHUNKED_LINE: Final = b"transfer-encoding: chunked\r\n"
_EMPTY_LINE: Final = b"content-length: 0\r\n"
_CLOSE_LINE: Final = b"connection: close\r\n"
_KEEP_ALIVE_LINE: Final = b"connection: keep-alive\r\n"
_ATTEMPT_COUNT: Final = b"x-envoy-attempt-count"


class HttpExchange:
    """Implements `ResponseSink`, but for what happens when an attempt fails."""

    __slots__ = (
        "_answer_lines",
        "_attempt_timer",
        "_attempted_at",
        "_attempts",
        "_body",
        "_call",
        "_cluster",
        "_connection",
        "_context",
        "_endpoint",
        "_filters",
        "_flag",
        "_head",
        "_manager",
        "_mirrors",
        "_rechunk",
        "_request_done",
        "_request_id",
        "_response",
        "_retry",
        "_route",
        "_services",
        "_started_at",
        "_stream_timer",
        "_target",
        "_timer",
        "_tried",
        "_upstream",
        "_will_close",
        "is_done",
        "request_bytes",
        "response_bytes",
    )

    def __init__(self, connection: ClientSide, manager: HttpManager, request: Request, now: float) -> None:
        self._connection = connection
        self._manager = manager
        self._services = manager.services
        self._head = request.head
        self._request_id = request.request_id
        self._started_at = self._attempted_at = now
        self._request_done = request.head.end_stream
        self._route: CompiledRoute | None = None
        self._target: Target | None = None
        self._filters: FilterRun | None = None
        """Only where filters apply to the request."""
        self._context: PickContext | None = None
        self._cluster: ClusterRuntime | None = None
        self._endpoint: EndpointRuntime | None = None
        self._upstream: Lane | None = None
        self._response: Response | None = None
        self._timer: Timer[Callable[[], None]] | None = None
        self._stream_timer: Timer[Callable[[], None]] | None = None
        self._attempt_timer: Timer[Callable[[], None]] | None = None
        self._retry: CountedRetry | None = None
        self._tried: tuple[int, ...] = ()
        self._attempts = 0
        self._body: HeldBody | None = None
        self._mirrors: Sequence[Mirror] = ()
        self._call: GrpcCall | None = None
        """Only over HTTP/2: what is counted of a call of gRPC."""
        self._answer_lines = b""
        """Field lines of ours for the answer."""
        self._flag = ""
        """Response flags of what did not end the exchange."""
        self._rechunk = False
        self._will_close = False
        self.is_done = False
        self.request_bytes = 0
        self.response_bytes = 0

    @property
    def moved(self) -> int:
        """Grows with whatever passes in either direction."""
        return self.request_bytes + self.response_bytes + (self._response is not None)

    @property
    def idle_timeout(self) -> float:
        """Seconds without progress after which it is ended; 0 disables. The route's word counts first."""
        action = self._route.action if self._route is not None else None
        if action is not None and action.idle_timeout is not None:
            return action.idle_timeout
        return self._manager.config.stream_idle_timeout

    # --- the request's body ---

    def on_request_data(self, data: bytes) -> None:
        self.request_bytes += len(data)
        upstream = self._upstream
        body = self._body
        if body is None:
            body = self._body = HeldBody()
        body.add(data)
        if body.is_too_large and body.is_replayable:
            if upstream is not None:
                body.let_go()
            else:
                self._connection.pause_reading(PAUSED_BY_BODY)
        if upstream is not None:
            upstream.send_body(data)
        for mirror in self._mirrors:
            mirror.on_data(data)

    def on_request_trailers(self, trailers: Trailers) -> None:
        if self._body is None:
            self._body = HeldBody()
        self._body.trailers = trailers

    def on_request_end(self) -> None:
        self._request_done = True
        if self._upstream is not None:
            self._upstream.end_body(self._body.trailer_fields if self._body is not None else ())
        for mirror in self._mirrors:
            mirror.on_end(self._body.trailers if self._body is not None else None)

    @property
    def _is_replayable(self) -> bool:
        return self._body is None or self._body.is_replayable

    # --- the response ---

    def on_response(self, events: list[Event]) -> None:
        first = events[0]
        if type(first) is Response:
            head = self._take_head(first, events)
            if head is None:
                return
            body = events[1] if len(events) == 3 else None
            if type(body) is bytes and events[2] is END and first.framing is _LENGTH:
                # the common case: all of it in one read
                self.response_bytes = len(body)
                self._connection.write(head + body)
                self._finish()
                return
            self._pass_on(events[1:], [head], done=first.end_stream and first.head.status >= 200)
        else:
            self._pass_on(events, [], done=False)

    def _pass_on(self, events: list[Event], out: list[bytes], *, done: bool) -> None:
        """What of the response came behind its head; further heads when that one was an interim one."""
        trailers: Trailers | None = None
        for event in events:
            kind = type(event)
            if kind is bytes:
                self.response_bytes += len(event)  # type: ignore[arg-type]
                out.append(chunk(event) if self._rechunk else event)  # type: ignore[arg-type]
            elif event is END:
                if self._rechunk:
                    out.append(last_chunk(trailers.headers) if trailers is not None else LAST_CHUNK)
                done = True
            elif isinstance(event, Response):
                head = self._take_head(event, events)
                if head is None:
                    return
                out.append(head)
                done = event.end_stream and event.head.status >= 200
            elif isinstance(event, Trailers):
                trailers = event
        if out:
            self._connection.write(out[0] if len(out) == 1 else b"".join(out))
        if done:
            self._finish()

    def _take_head(self, response: Response, events: list[Event]) -> bytes | None:
        """The head to answer with; None when this answer is not passed on. `events` came with it."""
        raise NotImplementedError

    def _accept(self, response: Response) -> bytes:
        """This response is the answer: its head as it is sent."""
        self._response = response
        head, request = response.head, self._head
        # An answer before the request is complete ends the connection, and has to say so now: as Envoy, we do
        # not wait for a body that nobody wants.
        close = self._connection.must_close(request) or not self._request_done
        lines = self._answer_lines
        framing = response.framing
        if framing is _CHUNKED or framing is _UNTIL_CLOSE:
            if request.version >= _HTTP_11:
                self._rechunk = True
                lines += CHUNKED_LINE
            else:
                close = True  # HTTP/1.0 knows no chunks: the end of the connection delimits the body
        elif framing is _NONE and head.content_length < 0 and _may_have_body(request, head):
            lines += _EMPTY_LINE  # over HTTP/2 the end of the stream said it
        if close:
            lines += _CLOSE_LINE
            self._will_close = True
        elif request.version < _HTTP_11:
            lines += _KEEP_ALIVE_LINE
        return b"%b%b\r\n" % (self._shown(head), lines)

    def _shown(self, head: ResponseHead) -> bytes:
        """The answer's own lines, as the route and the filters want the client to see them."""
        target = self._target
        forward = head.forward
        if target is not None and target.response_edit is not None:
            forward = target.response_edit.apply(forward)
        if self._route is not None and self._route.attempt_count_in_response:
            forward = with_attempt_count(forward, self._attempts)
        if self._filters is not None and self._endpoint is not None:
            address = address_of(self._endpoint.endpoint)
            forward = self._filters.show(head.status, forward, address, is_local=False)
        return forward

    def _finish(self) -> None:
        """The response is complete. Give the connection back and the exchange up."""
        upstream, self._upstream = self._upstream, None
        response = self._response
        assert upstream is not None
        assert response is not None
        if self._connection.is_write_paused:
            upstream.resume_reading()
        upstream.finish(self._request_done and response.keeps_open)
        self._complete(response.head.status, "", close=self._will_close)

    def _truncate(self, flag: str) -> None:
        """A response has begun and cannot be finished: the client must see that it is incomplete."""
        assert self._response is not None
        self._connection.abort()
        self._complete(self._response.head.status, flag, close=True)

    # --- ends that are ours ---

    def reply(self, outcome: Outcome, status: int = 0, flag_suffix: str = "") -> None:
        """Answer in the upstream's place."""
        rule = RULES[outcome]
        headers = unserved.notice(outcome) if self._connection.facts.is_mtls else ()
        self._reply(
            status or rule.status,
            rule.body.encode(),
            rule.flag + flag_suffix,
            rule.close,
            (*headers, *rule.headers),
            rule.grpc_status,
        )

    def _reply(
        self,
        status: int,
        body: bytes,
        flag: str,
        close: bool,
        headers: Headers = (),
        grpc_status: int | None = None,
    ) -> None:
        """`grpc_status`: for calls of gRPC, in place of what `status` means there."""
        # A body we shall not read cannot be told from the next request: end the connection after the answer.
        close = close or not self._request_done or self._connection.must_close(self._head)
        data = local_response(status, body, headers, close=close, head_request=self._head.method == b"HEAD")
        if self._route is not None:
            data = self._edited_reply(status, data)
        self._connection.write(data)
        self.response_bytes += len(body)
        self._complete(status, flag, close=close)

    def _edited_reply(self, status: int, data: bytes) -> bytes:
        """Routes and filters treat our own answers as they treat the upstream's, as in Envoy."""
        said_by = self._target if self._target is not None else self._route
        edit = said_by.response_edit if said_by is not None else None
        if edit is None and self._filters is None and not self._answer_lines:
            return data
        end = data.index(b"\r\n\r\n") + 2
        forward = data[:end]
        if edit is not None:
            forward = edit.make(forward)
        if self._filters is not None:
            forward = self._filters.show(status, forward, "", is_local=True)
        return forward + self._answer_lines + data[end:]

    def on_downstream_eof(self) -> bool:
        """The client sends no more; True: it still reads, and the exchange goes on."""
        return False

    def on_downstream_lost(self) -> None:
        """The client is gone: what it asked for is abandoned."""
        if self.is_done:
            return
        self._leave_upstream()
        status = self._response.head.status if self._response is not None else 0
        self._complete(status, RULES[Outcome.DOWNSTREAM_DISCONNECT].flag, close=True)

    def _leave_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        elif self._endpoint is not None and self._cluster is not None:
            self._cluster.cancel_wait(self._endpoint, self)  # type: ignore[arg-type]  # an HttpStream is one

    def _complete(self, status: int, flag: str, *, close: bool) -> None:
        """Give back what the exchange holds, count it, and tell the connection."""
        self.is_done = True
        if self._timer is not None:
            self._services.timers.cancel(self._timer)
            self._timer = None
        if self._attempt_timer is not None:
            self._services.timers.cancel(self._attempt_timer)
            self._attempt_timer = None
        if self._stream_timer is not None:
            self._services.timers.cancel(self._stream_timer)
            self._stream_timer = None
        if self._retry is not None:
            self._retry.end()
        if self._cluster is not None:
            self._cluster.active_requests -= 1
        if self._endpoint is not None:
            self._endpoint.active_requests -= 1
            if self._response is None and self._endpoint.is_watched and self._cluster is not None:
                self._cluster.on_attempt_over(self._endpoint, self)
        if self._filters is not None:
            self._filters.cancel()
            self._flag += self._filters.flag
        if self._mirrors:
            for mirror in self._mirrors:
                mirror.cancel()
        now = self._services.clock.monotonic()
        self._services.reporter.http(
            self._connection.facts,
            self._head,
            self._cluster,
            self._endpoint,
            status,
            _joined(self._flag, flag) if self._flag else flag,
            (now - self._started_at) * 1000.0,
            self.request_bytes,
            self.response_bytes,
            self._call,
        )
        self._connection.on_stream_done(now, close=close)

    # --- back-pressure ---

    def on_upstream_write_paused(self) -> None:
        self._connection.pause_reading(PAUSED_BY_BODY)

    def on_upstream_write_resumed(self) -> None:
        self._connection.unpause_reading(PAUSED_BY_BODY)

    def on_downstream_write_paused(self) -> None:
        if self._upstream is not None:
            self._upstream.pause_reading()

    def on_downstream_write_resumed(self) -> None:
        if self._upstream is not None:
            self._upstream.resume_reading()


def _may_have_body(request: RequestHead, head: ResponseHead) -> bool:
    """HTTP/1.1 would wait for one (RFC 9112 section 6.3)."""
    return request.method != b"HEAD" and head.status not in NO_BODY


def with_attempt_count(forward: bytes, attempts: int) -> bytes:
    """As in Envoy, what the peer says of itself under this name gives way."""
    return with_field(forward, _ATTEMPT_COUNT, b"%d" % attempts)


def _joined(first: str, second: str) -> str:
    """Two lists of response flags in one."""
    return f"{first},{second}" if second else first


def is_whole(response: Response, events: list[Event]) -> bool:
    """All of `response` is among the events it came with."""
    return response.end_stream or events[-1] is END
