"""One HTTP exchange, from request head to the last byte of the answer: route, attempts, answer. [5, 6, 7]

The state is in what is set. No `_endpoint`: not routed, or waiting to try again; no `_upstream`: waiting for
a connection; `_response`: a response has begun, nothing can be retried; `is_done`: nothing may happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from meshproxy.config.model import UpstreamTls
from meshproxy.config.route import DirectResponse
from meshproxy.errors import RemoteProtocolError
from meshproxy.http.events import END, Event, Framing, Headers, Request, Response, ResponseHead, Trailers
from meshproxy.http.h1_writer import LAST_CHUNK, chunk, last_chunk, local_response
from meshproxy.policy.retry import AttemptFailure, RetryVerdict
from meshproxy.policy.timeout_wheel import Timer
from meshproxy.proxy import unserved
from meshproxy.proxy.counted_retry import CountedRetry
from meshproxy.proxy.http_manager import HttpManager
from meshproxy.proxy.outcome import RULES, Outcome
from meshproxy.proxy.services import PAUSED_BY_BODY
from meshproxy.routing.match import CompiledRoute
from meshproxy.transport.tls import TlsFailure
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.connector import ConnectFailed
from meshproxy.upstream.endpoint import EndpointRuntime
from meshproxy.upstream.http_connection import HttpUpstreamConnection

if TYPE_CHECKING:
    from meshproxy.proxy.http_connection import HttpServerConnection

MAX_HELD_BODY: Final = 65536
"""Bytes of request body held for a retry or until a connection is there; Linkerd's limit too."""

_REFUSED_RETRY_FLAGS: Final = {RetryVerdict.LIMIT_REACHED: ",URX", RetryVerdict.OVERFLOW: ",UO"}
"""What Envoy's users look for beside the failure's own flag."""

_HTTP_11: Final = (1, 1)
_LENGTH: Final = Framing.LENGTH
_CHUNKED: Final = Framing.CHUNKED
_UNTIL_CLOSE: Final = Framing.UNTIL_CLOSE
_CHUNKED_LINE: Final = b"transfer-encoding: chunked\r\n"
_CLOSE_LINE: Final = b"connection: close\r\n"
_KEEP_ALIVE_LINE: Final = b"connection: keep-alive\r\n"


class HttpStream:
    """One exchange. Implements `ResponseSink` and `ConnectionWaiter`."""

    __slots__ = (
        "_attempts",
        "_body",
        "_body_size",
        "_cluster",
        "_connection",
        "_endpoint",
        "_head",
        "_manager",
        "_rechunk",
        "_replayable",
        "_request_done",
        "_request_id",
        "_response",
        "_retry",
        "_route",
        "_services",
        "_started_at",
        "_timer",
        "_trailers",
        "_tried",
        "_upstream",
        "_will_close",
        "is_done",
        "request_bytes",
        "response_bytes",
    )

    def __init__(
        self, connection: HttpServerConnection, manager: HttpManager, request: Request, now: float
    ) -> None:
        self._connection = connection
        self._manager = manager
        self._services = manager.services
        self._head = request.head
        self._request_id = request.request_id
        self._started_at = now
        self._request_done = request.head.end_stream
        self._route: CompiledRoute | None = None
        self._cluster: ClusterRuntime | None = None
        self._endpoint: EndpointRuntime | None = None
        self._upstream: HttpUpstreamConnection | None = None
        self._response: Response | None = None
        self._timer: Timer[Callable[[], None]] | None = None
        self._retry: CountedRetry | None = None
        self._tried: tuple[int, ...] = ()
        self._attempts = 0
        self._body: list[bytes] = []
        """Body bytes held: not sent yet, or kept for a retry while `_replayable`."""
        self._body_size = 0
        self._replayable = True
        self._trailers: Trailers | None = None
        self._rechunk = False
        self._will_close = False
        self.is_done = False
        self.request_bytes = 0
        self.response_bytes = 0

    @property
    def moved(self) -> int:
        """Grows with whatever passes in either direction."""
        return self.request_bytes + self.response_bytes + (self._response is not None)

    # --- routing and attempts ---

    def start(self) -> None:
        """Route the request and make the first attempt, or answer it here."""
        head = self._head
        if head.method == b"CONNECT":
            self.reply(Outcome.METHOD_NOT_SUPPORTED)
            return
        services = self._services
        table = self._manager.routes()
        route = table.match(head) if table is not None else None
        if route is None:
            self.reply(Outcome.NO_ROUTE)
            return
        self._route = route
        if route.direct_response is not None:
            self._reply_directly(route.direct_response)
            return
        assert route.action is not None
        name = route.pick_cluster(services.rng.random())
        cluster = services.clusters(name) if name is not None else None
        if cluster is None:
            status = route.action.cluster_not_found_status if name is not None else 500
            self.reply(Outcome.CLUSTER_NOT_FOUND, status)
            return
        if cluster.active_requests >= cluster.cluster.max_requests:
            cluster.overflows += 1
            self.reply(Outcome.OVERFLOW)
            return
        cluster.active_requests += 1
        self._cluster = cluster
        if route.timeout:
            self._timer = services.timers.schedule(self._started_at + route.timeout, self._on_timeout)
        self._attempt()

    def _attempt(self) -> None:
        cluster = self._cluster
        assert cluster is not None
        endpoint = cluster.pick(self._tried, self._connection.facts.original_dst)
        if endpoint is None:
            self.reply(Outcome.NO_HEALTHY_UPSTREAM)
            return
        self._endpoint = endpoint
        endpoint.active_requests += 1
        upstream = endpoint.idle.take()
        while upstream is not None and upstream.is_lost:
            upstream = endpoint.idle.take()
        if upstream is not None:
            self.on_connection(upstream)
        elif not cluster.connect(endpoint, self):
            self.reply(Outcome.OVERFLOW)

    def on_connection(self, connection: HttpUpstreamConnection) -> None:
        """A connection is ours: send the head, and the body as far as it is here."""
        self._upstream = connection
        self._attempts += 1
        assert self._endpoint is not None
        self._endpoint.requests += 1
        head = self._head
        data = self._request_head(self._endpoint.target.tls)
        if self._body or (self._request_done and head.chunked):
            data += b"".join(self._framed_body())
        if not self._request_done:
            self._connection.unpause_reading(PAUSED_BY_BODY)  # first: `begin` may pause it again
        connection.begin(self, head.method, data)
        if self._body_size > MAX_HELD_BODY:
            self._stop_holding()

    def _request_head(self, tls: UpstreamTls | None) -> bytes:
        """The head to send on. What varies per request stands last: the next hop's memory still hits."""
        head = self._head
        services = self._services
        request_id = self._request_id
        if not request_id:
            request_id = self._request_id = services.new_request_id()
        return b"%b%b%b%bx-request-id: %b\r\n\r\n" % (
            head.forward,
            _CHUNKED_LINE if head.chunked else b"",
            self._connection.forwarded_client_cert,
            services.peer_metadata_line if tls is not None else b"",
            request_id,
        )

    def on_connect_failed(self, error: ConnectFailed) -> None:
        self._fail_attempt(AttemptFailure.CONNECT_FAILURE, Outcome.CONNECT_FAILURE)

    def _fail_attempt(self, failure: AttemptFailure, outcome: Outcome) -> None:
        """An attempt came to nothing before a response began: try another endpoint or answer."""
        route, endpoint, cluster = self._route, self._endpoint, self._cluster
        assert route is not None
        assert endpoint is not None
        assert cluster is not None
        self._count_failure()
        verdict = RetryVerdict.NOT_SELECTED
        if route.retry is not None:
            if self._retry is None:
                self._retry = CountedRetry(route.retry, self._head.method, cluster)
            verdict = self._retry.decide(failure, body_replayable=self._replayable)
        if verdict is not RetryVerdict.RETRY:
            if verdict is RetryVerdict.OVERFLOW:
                self._services.reporter.retry_overflowed(cluster.cluster.name)
            self.reply(outcome, flag_suffix=_REFUSED_RETRY_FLAGS.get(verdict, ""))
            return
        endpoint.active_requests -= 1
        self._tried = (*self._tried, id(endpoint))
        self._endpoint = None
        self._services.reporter.retried(cluster.cluster.name, failure.value)
        assert self._retry is not None
        delay = self._retry.delay(self._services.rng)
        asyncio.get_running_loop().call_later(delay, self._attempt_again)

    def _count_failure(self) -> None:
        """The endpoint failed: no answer, one of 500 or above, a broken one. For outlier detection."""
        if self._cluster is not None and self._endpoint is not None:
            self._cluster.on_attempt_failed(self._endpoint)

    def _attempt_again(self) -> None:
        if not self.is_done:
            self._attempt()

    # --- the request's body ---

    def on_request_data(self, data: bytes) -> None:
        self.request_bytes += len(data)
        upstream = self._upstream
        if self._replayable:
            self._body.append(data)
            self._body_size += len(data)
            if self._body_size > MAX_HELD_BODY:
                if upstream is not None:
                    self._stop_holding()
                else:
                    self._connection.pause_reading(PAUSED_BY_BODY)
        if upstream is not None:
            upstream.write(chunk(data) if self._head.chunked else data)

    def on_request_trailers(self, trailers: Trailers) -> None:
        self._trailers = trailers

    def on_request_end(self) -> None:
        self._request_done = True
        if self._upstream is not None and self._head.chunked:
            self._upstream.write(self._last_chunk())

    def _stop_holding(self) -> None:
        """The body is too large to be kept: this attempt is the last."""
        self._replayable = False
        self._body = []

    def _framed_body(self) -> list[bytes]:
        if not self._head.chunked:
            return self._body
        parts = [chunk(data) for data in self._body]
        if self._request_done:
            parts.append(self._last_chunk())
        return parts

    def _last_chunk(self) -> bytes:
        return last_chunk(self._trailers.headers) if self._trailers is not None else LAST_CHUNK

    # --- the response ---

    def on_response(self, events: list[Event]) -> None:
        first = events[0]
        if type(first) is Response:
            if first.head.status == 503 and self._is_unserved(first.head):
                return
            head = self._response_head(first)
            if head is None:
                return
            if len(events) == 3 and not self._rechunk and events[2] is END and first.framing is _LENGTH:
                body = events[1]  # the common case: all of it in one read
                assert type(body) is bytes
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
                if event.head.status == 503 and self._is_unserved(event.head):
                    return
                head = self._response_head(event)
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

    def _response_head(self, response: Response) -> bytes | None:
        """The head to answer with; None when the exchange was ended over it."""
        head = response.head
        if head.status < 200:
            if head.status == 101:  # we never pass `upgrade` on, so nobody can have agreed to it
                self.on_upstream_lost(RemoteProtocolError("upstream switched protocols unasked"))
                return None
            return head.forward + b"\r\n" if self._head.version >= _HTTP_11 else b""
        self._response = response
        endpoint = self._endpoint
        assert endpoint is not None
        if head.status >= 500:
            self._count_failure()
        elif endpoint.health.failures:
            endpoint.health.failures = 0
        if self._retry is not None:
            self._retry.end()
        # An answer before the request is complete ends the connection, and has to say so now: as Envoy, we do
        # not wait for a body that nobody wants.
        close = self._connection.must_close(self._head) or not self._request_done
        lines = b""
        framing = response.framing
        if framing is _CHUNKED or framing is _UNTIL_CLOSE:
            if self._head.version >= _HTTP_11:
                self._rechunk = True
                lines = _CHUNKED_LINE
            else:
                close = True  # HTTP/1.0 knows no chunks: the end of the connection delimits the body
        if close:
            lines += _CLOSE_LINE
            self._will_close = True
        elif self._head.version < _HTTP_11:
            lines += _KEEP_ALIVE_LINE
        return b"%b%b\r\n" % (head.forward, lines)

    def _is_unserved(self, head: ResponseHead) -> bool:
        """The peer's sidecar says that its app did not serve this: judged as if we had failed to reach it."""
        failure = unserved.failure(head)
        if failure is None or self._endpoint is None or self._endpoint.tls is None:
            return False
        self._leave_upstream()
        self._fail_attempt(*failure)
        return True

    def _finish(self) -> None:
        """The response is complete. Give the connection back and the exchange up."""
        upstream, self._upstream = self._upstream, None
        response = self._response
        assert upstream is not None
        assert response is not None
        if self._connection.is_write_paused:
            upstream.resume_reading()
        upstream.finish(
            self._request_done and response.head.keep_alive and response.framing is not _UNTIL_CLOSE
        )
        self._complete(response.head.status, "", close=self._will_close)

    def on_upstream_lost(self, error: Exception | None) -> None:
        """The upstream connection ended before the response did."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None and not upstream.is_lost:
            upstream.abort()
        if self._response is not None:
            self._count_failure()
            self._truncate("UPE" if isinstance(error, RemoteProtocolError) else "UC")
        elif isinstance(error, RemoteProtocolError):
            self._count_failure()
            self.reply(Outcome.UPSTREAM_PROTOCOL_ERROR)
        elif isinstance(error, TlsFailure) and upstream is not None and upstream.requests == 1:
            # The first read brought the alert that rejects our handshake: nobody saw the request.
            self._fail_attempt(AttemptFailure.CONNECT_FAILURE, Outcome.CONNECT_FAILURE)
        else:
            self._fail_attempt(AttemptFailure.RESET_BEFORE_RESPONSE, Outcome.UPSTREAM_RESET)

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
        self._reply(status or rule.status, rule.body.encode(), rule.flag + flag_suffix, rule.close, headers)

    def _reply_directly(self, direct: DirectResponse) -> None:
        self._reply(direct.status, direct.body, "", False)

    def _reply(self, status: int, body: bytes, flag: str, close: bool, headers: Headers = ()) -> None:
        # A body we shall not read cannot be told from the next request: end the connection after the answer.
        close = close or not self._request_done or self._connection.must_close(self._head)
        self._connection.write(
            local_response(status, body, headers, close=close, head_request=self._head.method == b"HEAD")
        )
        self.response_bytes += len(body)
        self._complete(status, flag, close=close)

    def _on_timeout(self) -> None:
        if self.is_done:
            return
        self._timer = None
        if self._upstream is not None and self._response is None and self._request_done:
            self._count_failure()
        self._give_up(Outcome.REQUEST_TIMEOUT)

    def on_idle(self) -> None:
        """No progress for the stream idle timeout."""
        self._give_up(Outcome.STREAM_IDLE_TIMEOUT)

    def _give_up(self, outcome: Outcome) -> None:
        self._leave_upstream()
        if self._response is not None:
            self._truncate(RULES[outcome].flag)
        else:
            self.reply(outcome)

    def on_bad_request(self, error: RemoteProtocolError) -> None:
        """What follows the head is no body we accept: nothing more can be read from this client."""
        self._leave_upstream()
        if self._response is not None:
            self._truncate("DPE")
        else:
            self._reply(error.status, str(error).encode("ascii", "replace"), "DPE", True)

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
            self._cluster.cancel_wait(self._endpoint, self)

    def _complete(self, status: int, flag: str, *, close: bool) -> None:
        """Give back what the exchange holds, count it, and tell the connection."""
        self.is_done = True
        if self._timer is not None:
            self._services.timers.cancel(self._timer)
            self._timer = None
        if self._retry is not None:
            self._retry.end()
        if self._cluster is not None:
            self._cluster.active_requests -= 1
        if self._endpoint is not None:
            self._endpoint.active_requests -= 1
        now = self._services.clock.monotonic()
        self._services.reporter.http(
            self._connection.facts,
            self._head,
            self._cluster,
            self._endpoint,
            status,
            flag,
            (now - self._started_at) * 1000.0,
            self.request_bytes,
            self.response_bytes,
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
