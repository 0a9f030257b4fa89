"""One HTTP exchange: its route, its filters, its attempts and what is tried again. [4, 5, 6]

`HttpExchange` holds what the exchange is and moves its bytes; this is what decides.
"""

from __future__ import annotations

from typing import Final

from meshproxy.config.model import UpstreamTls
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import RouteAction
from meshproxy.errors import RemoteProtocolError
from meshproxy.filters.api import LocalReply
from meshproxy.filters.message_field import with_field
from meshproxy.http import grpc
from meshproxy.http.events import Event, Response
from meshproxy.policy.outlier import FailureKind
from meshproxy.policy.retry import AttemptFailure, RetryPolicy, RetryVerdict
from meshproxy.proxy import unserved
from meshproxy.proxy.counted_retry import CountedRetry
from meshproxy.proxy.filter_run import FilterRun
from meshproxy.proxy.http_exchange import (
    CHUNKED_LINE,
    HttpExchange,
    is_whole,
    with_attempt_count,
)
from meshproxy.proxy.mirror import Mirror, with_shadow_host
from meshproxy.proxy.outcome import RULES, Outcome
from meshproxy.proxy.services import PAUSED_BY_BODY
from meshproxy.routing.match import CompiledRoute, Target
from meshproxy.transport.tls import TlsFailure
from meshproxy.upstream.balancer.api import PickContext
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.connector import ConnectFailed
from meshproxy.upstream.endpoint import EndpointRuntime
from meshproxy.upstream.h2_connection import StreamRefused
from meshproxy.upstream.lane import Lane

_REFUSED_RETRY_FLAGS: Final = {RetryVerdict.LIMIT_REACHED: ",URX", RetryVerdict.OVERFLOW: ",UO"}
"""What Envoy's users look for beside the failure's own flag."""
_HTTP_11: Final = (1, 1)


class HttpStream(HttpExchange):
    """Implements `ResponseSink`, `ConnectionWaiter` and `Filtered`."""

    __slots__ = ()

    # --- route and filters ---

    def start(self) -> None:
        """Route the request, ask the filters, and make the first attempt or answer it here."""
        head = self._head
        if head.method == b"CONNECT":
            self.reply(Outcome.METHOD_NOT_SUPPORTED)
            return
        manager = self._manager
        table = manager.routes()
        route = table.match(head, self._connection.facts.destination) if table is not None else None
        if route is None:
            self.reply(Outcome.NO_ROUTE)
            return
        self._route = route
        if route.action is not None:
            self._target = route.pick_target(self._services.rng.random())
        if manager.has_filters:
            target = self._target
            filters = manager.parts.filters(target.filter_configs if target else route.filter_configs)
            if filters:
                facts = self._connection.facts
                self._filters = FilterRun(
                    self, filters, head, facts, self._started_at, is_forwarded=target is not None
                )
                self._filters.run()
                return
        self.on_filters_passed()

    def on_filter_reply(self, reply: LocalReply) -> None:
        """A filter answers."""
        self._reply(reply.status, reply.body, reply.flag, False, reply.headers, reply.grpc_status)

    def on_filters_passed(self) -> None:
        """No filter objects: on to the cluster."""
        route, target = self._route, self._target
        assert route is not None
        if route.action is None:
            self._answer_here(route)
            return
        cluster = self._services.clusters(target.name) if target is not None else None
        if target is None or cluster is None:
            status = route.action.cluster_not_found_status if target is not None else 500
            self.reply(Outcome.CLUSTER_NOT_FOUND, status)
            return
        if cluster.active_requests >= cluster.cluster.max_requests:
            cluster.on_overflow("requests")
            self.reply(Outcome.OVERFLOW)
            return
        cluster.active_requests += 1
        cluster.exchanges += 1
        self._cluster = cluster
        if self._filters is not None:
            self._attempted_at = self._now()  # what filters took is not the endpoint's
            self._direct(route, target)
        elif route.is_directed:
            self._direct(route, target)
        if route.has_stream_limit:
            self._limit_stream(route.action)
        if self._request_done and route.timeout:
            self._start_timeout(route.timeout)
        if route.action.mirrors:
            held = self._body.held if self._body is not None else b""  # the attempt may let go of it
            self._attempt()
            if not self.is_done:
                self._start_mirrors(route, held)
        else:
            self._attempt()

    def _answer_here(self, route: CompiledRoute) -> None:
        if route.direct_response is not None:
            self._reply(route.direct_response.status, route.direct_response.body, "", False)
            return
        assert route.redirect is not None
        scheme, edge = self._connection.facts.scheme, self._manager.edge
        if edge is not None:
            scheme = edge.scheme(self._head, scheme)
        location = route.redirect.location(self._head, scheme)
        self._reply(route.redirect.status, b"", "", False, ((b"location", location),))

    def _direct(self, route: CompiledRoute, target: Target) -> None:
        """Say where in the cluster it wants to go: hash policies, labels, a session."""
        hashing = self._manager.parts.hashing(route)
        hashed = None
        if hashing is not None:
            peer, draw = self._connection.facts.peer_address, self._services.rng.getrandbits
            hashed, self._answer_lines = hashing.hash(self._head, peer, draw)
        run = self._filters
        override = run.override if run is not None else ""
        if hashed is not None or target.metadata_match or override:
            is_strict = run is not None and run.is_strict
            self._context = PickContext(hashed, override, is_strict, target.metadata_match)

    def _start_timeout(self, seconds: float) -> None:
        """The route's timeout runs from the end of the request, as Envoy's: a slow upload is not the
        upstream's fault."""
        begun = self._started_at if self._head.end_stream and self._filters is None else self._now()
        self._timer = self._services.timers.schedule(begun + seconds, self._on_timeout)

    def _limit_stream(self, action: RouteAction) -> None:
        """How long the exchange may last in all, from its head on; a call may ask for less."""
        seconds = action.max_stream_duration
        longest = action.grpc_timeout_max
        if self._call is not None and longest is not None:
            asked = grpc.timeout_of(self._head)
            if asked is not None:
                seconds = min(asked, longest) if longest else asked
                seconds = max(seconds - action.grpc_timeout_offset, grpc.LEAST_TIMEOUT)
                self._call.ends_at = self._started_at + seconds
        if seconds:
            timers = self._services.timers
            self._stream_timer = timers.schedule(self._started_at + seconds, self._on_stream_limit)

    def _on_stream_limit(self) -> None:
        self._stream_timer = None
        if not self.is_done:
            self._give_up(Outcome.STREAM_DURATION)

    def _now(self) -> float:
        return self._services.clock.monotonic()

    # --- attempts ---

    def _attempt(self) -> None:
        cluster = self._cluster
        assert cluster is not None
        endpoint = cluster.pick(self._tried, self._connection.facts.original_dst, self._context)
        if endpoint is None:
            self.reply(Outcome.NO_HEALTHY_UPSTREAM)
            return
        self._endpoint = endpoint
        endpoint.active_requests += 1
        if endpoint.is_watched:
            cluster.on_attempt_begun(endpoint, self)
        route = self._route
        assert route is not None
        if route.attempt_limits is not None and self._request_done:
            self._start_attempt_timer(route.attempt_limits)
        self._connect(cluster, endpoint)

    def _connect(self, cluster: ClusterRuntime, endpoint: EndpointRuntime) -> None:
        upstream = endpoint.take_idle()
        if upstream is not None:
            self.on_connection(upstream)
        elif not cluster.connect(endpoint, self):
            self.reply(Outcome.OVERFLOW)

    def on_connection(self, connection: Lane) -> None:
        """A connection is ours: send the head, and the body as far as it is here."""
        self._upstream = connection
        self._attempts += 1
        assert self._endpoint is not None
        self._endpoint.requests += 1
        head, request, body = self._head, self._request_head(self._endpoint.target.tls), self._body
        if head.end_stream and body is None:
            connection.begin(self, head.method, request)
            return
        if not self._request_done:
            self._connection.unpause_reading(PAUSED_BY_BODY)  # first: `begin` may pause it again
        connection.begin(
            self,
            head.method,
            request,
            body.held if body is not None else b"",
            chunked=head.chunked,
            is_complete=self._request_done,
            trailers=body.trailer_fields if body is not None else (),
        )
        if body is not None and body.is_too_large:
            body.let_go()

    def _request_head(self, tls: UpstreamTls | None) -> bytes:
        """The head to send on. What varies per request stands last: the next hop's memory still hits."""
        head = self._head
        services = self._services
        request_id = self._request_id
        if not request_id:
            request_id = self._request_id = services.new_request_id()
        route, target = self._route, self._target
        assert route is not None
        assert target is not None
        forward = head.forward
        if target.request_edit is not None:
            forward = target.request_edit.apply(forward)
        if route.attempt_count_in_request:
            forward = with_attempt_count(forward, max(1, self._attempts))
        if self._call is not None and self._call.ends_at:
            left = self._call.ends_at - self._now()
            forward = with_field(forward, grpc.TIMEOUT, grpc.timeout_value(left))
        return b"%b%b%b%bx-request-id: %b\r\n\r\n" % (
            forward,
            CHUNKED_LINE if head.chunked else b"",
            self._connection.forwarded_client_cert,
            services.peer_metadata_line if tls is not None else b"",
            request_id,
        )

    def on_request_end(self) -> None:
        super().on_request_end()
        route = self._route
        if route is None or self.is_done or self._cluster is None:
            return
        if route.timeout and self._timer is None:
            self._start_timeout(route.timeout)
        if route.attempt_limits is not None and self._endpoint is not None:
            self._start_attempt_timer(route.attempt_limits)

    def _start_mirrors(self, route: CompiledRoute, held: bytes) -> None:
        """`held` is the body as far as it is here."""
        services, head = self._services, self._head
        assert route.action is not None
        for policy in route.action.mirrors:
            cluster = services.clusters(policy.cluster)
            if cluster is None or services.rng.random() >= policy.fraction:
                continue
            sent = self._request_head(None)
            if policy.append_shadow:
                sent = with_shadow_host(sent)
            mirror = Mirror(services, cluster, head.method, sent, chunked=head.chunked)
            self._mirrors = (*self._mirrors, mirror)
            deadline = self._now() + route.timeout if route.timeout else None
            mirror.start(self._connection.facts.original_dst, deadline)
            if held:
                mirror.on_data(held)
            if self._request_done:
                mirror.on_end(self._body.trailers if self._body is not None else None)

    # --- answers ---

    def _take_head(self, response: Response, events: list[Event]) -> bytes | None:
        head = response.head
        if head.status < 200:
            if head.status == 101:  # we never pass `upgrade` on, so nobody can have agreed to it
                self.on_upstream_lost(RemoteProtocolError("upstream switched protocols unasked"))
                return None
            return head.forward + b"\r\n" if self._head.version >= _HTTP_11 else b""
        if head.status == 503 and self._is_unserved(response):
            return None
        endpoint, cluster, route = self._endpoint, self._cluster, self._route
        assert endpoint is not None
        assert cluster is not None
        assert route is not None
        status = head.status if self._call is None else grpc.counted_as(head)
        if status >= 500 or endpoint.is_watched:
            cluster.on_answer(endpoint, head, status, self._now() - self._attempted_at, self)
        retry = route.retry
        if retry is not None:
            if retry.judges(head.status) and self._retry_answer(response, events):
                return None
            if self._retry is not None:
                self._retry.end()
            if self._attempt_timer is not None:
                self._stop_attempt_timer()
        return self._accept(response)

    def _is_unserved(self, response: Response) -> bool:
        """The peer's sidecar says that its app did not serve this: judged as if we had failed to reach it."""
        failure = unserved.failure(response.head)
        if failure is None or self._endpoint is None or self._endpoint.tls is None:
            return False
        self._leave_upstream()
        self._fail_attempt(*failure)
        return True

    def _retry_answer(self, response: Response, events: list[Event]) -> bool:
        """True: this answer is not passed on, the request is tried again."""
        route, cluster = self._route, self._cluster
        assert route is not None
        assert route.retry is not None
        assert cluster is not None
        verdict = self._counted_retry(route.retry, cluster).decide_response(
            response.head, body_replayable=self._is_replayable, wall_now=self._services.clock.wall()
        )
        if verdict is RetryVerdict.OVERFLOW:
            self._services.reporter.retry_overflowed(cluster.cluster.name)
        if verdict is not RetryVerdict.RETRY:
            self._flag = _REFUSED_RETRY_FLAGS.get(verdict, "")[1:]
            return False
        upstream, self._upstream = self._upstream, None
        assert upstream is not None
        if self._request_done and is_whole(response, events):
            upstream.finish(response.keeps_open)
        else:
            upstream.abort()
        self._try_again("response")
        return True

    def _counted_retry(self, policy: RetryPolicy, cluster: ClusterRuntime) -> CountedRetry:
        """The exchange's retries; made when the first is in question."""
        if self._retry is None:
            self._retry = CountedRetry(policy, self._head, cluster)
        return self._retry

    # --- failures ---

    def on_connect_failed(self, error: ConnectFailed) -> None:
        self._fail_attempt(AttemptFailure.CONNECT_FAILURE, Outcome.CONNECT_FAILURE)

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
        elif isinstance(error, StreamRefused):
            self._fail_attempt(AttemptFailure.REFUSED, Outcome.UPSTREAM_RESET)
        elif isinstance(error, TlsFailure) and upstream is not None and upstream.requests == 1:
            # The first read brought the alert that rejects our handshake: nobody saw the request.
            self._fail_attempt(AttemptFailure.CONNECT_FAILURE, Outcome.CONNECT_FAILURE)
        else:
            self._fail_attempt(AttemptFailure.RESET_BEFORE_RESPONSE, Outcome.UPSTREAM_RESET)

    def _fail_attempt(self, failure: AttemptFailure, outcome: Outcome) -> None:
        """An attempt came to nothing before a response began: try another endpoint or answer."""
        route, cluster = self._route, self._cluster
        assert route is not None
        assert cluster is not None
        self._count_failure()
        verdict = RetryVerdict.NOT_SELECTED
        if route.retry is not None:
            retry = self._counted_retry(route.retry, cluster)
            verdict = retry.decide(failure, body_replayable=self._is_replayable)
        if verdict is RetryVerdict.RETRY:
            self._try_again(failure.value)
            return
        if verdict is RetryVerdict.OVERFLOW:
            self._services.reporter.retry_overflowed(cluster.cluster.name)
        self.reply(outcome, flag_suffix=_REFUSED_RETRY_FLAGS.get(verdict, ""))

    def _try_again(self, reason: str) -> None:
        """Leave the endpoint of the attempt that failed, and come back after a while."""
        endpoint, cluster, retry = self._endpoint, self._cluster, self._retry
        assert endpoint is not None
        assert cluster is not None
        assert retry is not None
        endpoint.active_requests -= 1
        self._tried = (*self._tried, id(endpoint))
        self._endpoint = None
        if self._attempt_timer is not None:
            self._stop_attempt_timer()
        self._services.reporter.retried(cluster.cluster.name, reason)
        retry.wait(self._services.rng, self._attempt_again)

    def _attempt_again(self) -> None:
        assert self._retry is not None
        self._retry.on_waited()
        self._attempted_at = self._now()
        self._attempt()

    def _count_failure(self) -> None:
        """The endpoint failed: no answer, or a broken one. For outlier detection and the like."""
        if self._cluster is not None and self._endpoint is not None:
            self._cluster.on_attempt_failed(self._endpoint, FailureKind.LOCAL, self)

    # --- time ---

    def _start_attempt_timer(self, settings: RetrySettings) -> None:
        if settings.per_try_timeout:
            deadline = self._now() + settings.per_try_timeout
            self._attempt_timer = self._services.timers.schedule(deadline, self._on_attempt_timeout)
        elif settings.per_try_idle_timeout:
            self._watch_progress(settings.per_try_idle_timeout, self.moved)

    def _watch_progress(self, seconds: float, moved: int) -> None:
        def check() -> None:
            if self.moved != moved:
                self._watch_progress(seconds, self.moved)
            else:
                self._on_attempt_timeout()

        self._attempt_timer = self._services.timers.schedule(self._now() + seconds, check)

    def _stop_attempt_timer(self) -> None:
        assert self._attempt_timer is not None
        self._services.timers.cancel(self._attempt_timer)
        self._attempt_timer = None

    def _on_attempt_timeout(self) -> None:
        self._attempt_timer = None
        if self.is_done or self._response is not None or self._endpoint is None:
            return
        self._leave_upstream()
        self._fail_attempt(AttemptFailure.TIMEOUT_BEFORE_RESPONSE, Outcome.PER_TRY_TIMEOUT)

    def _on_timeout(self) -> None:
        if self.is_done:
            return
        self._timer = None
        if self._upstream is not None and self._response is None:
            self._count_failure()
        self._give_up(Outcome.REQUEST_TIMEOUT)

    def on_idle(self) -> None:
        """No progress for the stream idle timeout. It is the client's fault while its request is not
        complete."""
        self._give_up(Outcome.STREAM_IDLE_TIMEOUT, 504 if self._request_done else 408)

    def _give_up(self, outcome: Outcome, status: int = 0) -> None:
        self._leave_upstream()
        if self._response is not None:
            self._truncate(RULES[outcome].flag)
        else:
            self.reply(outcome, status)

    def on_bad_request(self, error: RemoteProtocolError) -> None:
        """What follows the head is no body we accept: nothing more can be read from this client."""
        self._leave_upstream()
        if self._response is not None:
            self._truncate("DPE")
        else:
            self._reply(error.status, str(error).encode("ascii", "replace"), "DPE", True)
