"""The ADS server: Envoy's AggregatedDiscoveryService, state of the world, over grpc.aio.

This side only moves messages. What to send and when is decided by `push.StreamState`, which snapshot a node
should have by `cache.SnapshotCache`. Per stream at most `_INBOX_SIZE` requests and one snapshot wait: a
client that does not read is not read from either, and of the snapshots that arrive meanwhile only the
newest is kept.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final, NoReturn, Protocol

import grpc
import grpc.aio

from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.api.envoy.service.discovery.v3 import ads_pb2_grpc
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from control_plane.cache import SnapshotCache, Stream
from control_plane.push import ANSWER_TIMEOUT, StreamState
from control_plane.snapshot import SHORT_NAMES, Snapshot
from control_plane.subscription import TypeStatus

Authorize = Callable[[Node, str | None], str | None]
"""(node, the peer's verified SPIFFE id or None on a plaintext port) -> None to serve it, else why not."""

SERVER_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.so_reuseport", 0),
)
"""For `grpc.aio.server(options=…)`: a peer that vanished is noticed within 40 s, and sidecars may ping as
often.
"""

_INBOX_SIZE = 16
_FIRST_REQUEST_TIMEOUT = 15.0
"""Seconds a client may keep a stream open without having said who it is."""

_Context = grpc.aio.ServicerContext[DiscoveryRequest, DiscoveryResponse]
_log = logging.getLogger(__name__)


class StreamObserver(Protocol):
    """Who counts what the streams do; defined here so that this side does not know of metrics."""

    def on_response(self, short_type: str) -> None:
        """A response of a type (`cds`, …) is sent."""
        ...

    def on_answer(self, stream: Stream, short_type: str, *, is_refusal: bool) -> None:
        """The client has answered one, and the stream's state has taken that in."""
        ...

    def on_nothing_to_send(self, stream: Stream) -> None:
        """A new snapshot has nothing new in what the client asks for."""
        ...


class AdsServicer(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    """Serves what `cache` holds to every node that `authorize` admits."""

    def __init__(
        self,
        cache: SnapshotCache,
        *,
        authorize: Authorize,
        answer_timeout: float = ANSWER_TIMEOUT,
        observer: StreamObserver | None = None,
        withheld: frozenset[str] = frozenset(),
    ) -> None:
        """`answer_timeout`: seconds a group of a push waits for the client's answers; `observer` counts.
        `withheld`: type URLs that nobody gets here, because nobody here has proved who he is."""
        self._cache = cache
        self._authorize = authorize
        self._answer_timeout = answer_timeout
        self._observer = observer
        self._withheld = withheld

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register with a server that has not started yet."""
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, server)  # type: ignore[no-untyped-call]

    async def StreamAggregatedResources(self, _requests: object, context: _Context) -> None:
        """One client's stream, until it ends it or is refused."""
        first = await _first_request(context)
        if first is None:
            return
        node, peer = first.node, peer_spiffe_id(context)
        if not node.id:
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "the first request must carry node.id")
        if (reason := self._authorize(node, peer)) is not None:
            _log.warning("ads: node %r with identity %s refused: %s", node.id, peer, reason)
            await _refuse(context, grpc.StatusCode.PERMISSION_DENIED, reason)
        state = StreamState(
            nonce_prefix=secrets.token_hex(4),
            answer_timeout=self._answer_timeout,
            withheld=self._withheld,
        )
        stream = AdsStream(node, state, self._observer)
        _log.info("ads: node %r with identity %s connected", node.id, peer)
        try:
            self._cache.attach(stream)
            await stream.serve(first, context)
        finally:
            self._cache.detach(stream)
            _log.info("ads: node %r disconnected", node.id)


class AdsStream:
    """The tasks and queues of one stream around its `StreamState`."""

    def __init__(self, node: Node, state: StreamState, observer: StreamObserver | None = None) -> None:
        self.node = node
        self._observer = observer
        self.connected_at = time.time()
        self._state = state
        self._inbox: asyncio.Queue[DiscoveryRequest] = asyncio.Queue(_INBOX_SIZE)
        self._snapshot: Snapshot | None = None
        self._is_over = False
        self._wake = asyncio.Event()

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Push `snapshot` soon; replaces one that was not taken up yet."""
        self._snapshot = snapshot
        self._wake.set()

    def statuses(self) -> Mapping[str, TypeStatus]:
        """By short type name: how far the client is."""
        return self._state.statuses()

    async def serve(self, first: DiscoveryRequest, context: _Context) -> None:
        """Answer until the client ends its side; `first` has been read already."""
        await self._take_in(first)
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(self._read(context), name=f"ads-read-{self.node.id}")
            while not self._is_over:
                for response in self._react():
                    if self._observer is not None:
                        self._observer.on_response(SHORT_NAMES[response.type_url])
                    await context.write(response)
                await self._wait()
            reader.cancel()

    async def _read(self, context: _Context) -> None:
        while isinstance(request := await context.read(), DiscoveryRequest):
            await self._take_in(request)
        self._is_over = True
        self._wake.set()

    async def _take_in(self, request: DiscoveryRequest) -> None:
        if request.HasField("error_detail"):
            kind = SHORT_NAMES.get(request.type_url, request.type_url)
            _log.warning("ads: node %r refused %s: %s", self.node.id, kind, request.error_detail.message)
        await self._inbox.put(request)
        self._wake.set()

    def _react(self) -> list[DiscoveryResponse]:
        """Feed the state what has happened since the last call."""
        now = time.monotonic()
        self._wake.clear()
        responses: list[DiscoveryResponse] = []
        while not self._inbox.empty():
            request = self._inbox.get_nowait()
            responses += self._state.on_request(request, now)
            if self._observer is not None and request.response_nonce and request.type_url in SHORT_NAMES:
                refused = request.HasField("error_detail")
                self._observer.on_answer(self, SHORT_NAMES[request.type_url], is_refusal=refused)
        if self._snapshot is not None:
            snapshot, self._snapshot = self._snapshot, None
            pushed = self._state.on_snapshot(snapshot, now)
            responses += pushed
            if not pushed and self._observer is not None:
                self._observer.on_nothing_to_send(self)
        return responses + self._state.on_timer(now)

    async def _wait(self) -> None:
        deadline = self._state.next_deadline()
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            async with asyncio.timeout(timeout):  # `wait_for` of Python 3.11 may lose a cancellation
                await self._wake.wait()
        except TimeoutError:
            pass


def peer_spiffe_id(context: _Context) -> str | None:
    """The SPIFFE id of the client certificate that gRPC verified; None without one or with several."""
    ids = list(context.auth_context().get("peer_spiffe_id", ()))
    return ids[0].decode() if len(ids) == 1 else None


async def _first_request(context: _Context) -> DiscoveryRequest | None:
    try:
        async with asyncio.timeout(_FIRST_REQUEST_TIMEOUT):
            request = await context.read()
    except TimeoutError:
        await _refuse(context, grpc.StatusCode.DEADLINE_EXCEEDED, "no first request; send one with node.id")
    return request if isinstance(request, DiscoveryRequest) else None


async def _refuse(context: _Context, code: grpc.StatusCode, details: str) -> NoReturn:
    await context.abort(code, details)
    raise AssertionError("abort always raises")
