"""One TCP connection relayed to a cluster; half-close, resets and back-pressure stay what they are. [2, 8]

FIN on one side becomes FIN on the other (close_notify and FIN over TLS); a reset, or a TLS stream cut without
close_notify, becomes a reset: an unclean end is never turned into a clean one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from meshproxy.config.model import TcpProxy
from meshproxy.policy.outlier import FailureKind
from meshproxy.policy.timeout_wheel import Timer
from meshproxy.proxy.services import ConnectionFacts, ProxyServices
from meshproxy.routing.cluster_choice import ClusterChoice
from meshproxy.telemetry.series import TcpSeries
from meshproxy.transport import socket_option
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.connector import ConnectFailed
from meshproxy.upstream.endpoint import EndpointRuntime

MAX_CONNECT_ATTEMPTS: Final = 3
"""Endpoints tried before the client is reset. Nothing was sent yet, so another one is always safe."""


class _Side(asyncio.Protocol):
    """One socket of the pair."""

    __slots__ = ("bytes_received", "eof_received_from", "held", "is_lost", "other", "relay", "transport")

    def __init__(self, relay: TcpRelay) -> None:
        self.relay = relay
        self.other: _Side | None = None
        self.transport: asyncio.Transport | None = None
        self.bytes_received = 0
        self.held: list[bytes] = []
        """Received before the other side was there: the client's first read, and what a server that speaks
        first says while its connection is being joined."""
        self.eof_received_from = False
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.relay.on_side_connected(self)

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        self.relay.forward(self, data)

    def eof_received(self) -> bool:
        self.eof_received_from = True
        self.relay.on_eof(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self is self.relay.downstream:
            self.relay.facts.on_closed()
        self.relay.on_side_lost(self, exc)
        self.relay.part()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.resume_reading()

    def pause_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()


class TcpRelay:
    """Give `downstream` to the client's transport; the rest happens by itself."""

    def __init__(
        self, config: TcpProxy, choice: ClusterChoice, services: ProxyServices, facts: ConnectionFacts
    ) -> None:
        self._config = config
        self._services = services
        self.facts = facts
        self._choice = choice
        self._cluster: ClusterRuntime | None = None
        self._endpoint: EndpointRuntime | None = None
        self._series: TcpSeries | None = None
        self._timer: Timer[Callable[[], None]] | None = None
        self._last_progress = 0.0
        self._is_over = False
        self._reported = (0, 0)
        self.flag = ""
        self.downstream = _Side(self)
        self.upstream = _Side(self)
        self._connect_task: asyncio.Task[None] | None = None

    # --- joining the two sides ---

    def on_side_connected(self, side: _Side) -> None:
        if side is not self.downstream:
            return
        now = self._services.clock.monotonic()
        self._last_progress = now
        if self._config.idle_timeout:
            self._schedule_idle_check(now + self._config.idle_timeout)
        side.pause_reading()  # until there is somewhere to put it
        name = self._choice.pick(self._services.rng.random())
        self._cluster = self._services.clusters(name) if name is not None else None
        self._connect_task = self._services.tasks.start(self._connect(), f"tcp relay to {name}")
        self._connect_task.add_done_callback(self._on_dialled)

    def _on_dialled(self, task: asyncio.Task[None]) -> None:
        self._connect_task = None
        self.part()

    async def _connect(self) -> None:
        tried: tuple[int, ...] = ()
        cluster = self._cluster
        for _ in range(MAX_CONNECT_ATTEMPTS):
            endpoint = cluster.pick(tried, self.facts.original_dst) if cluster is not None else None
            if cluster is None or endpoint is None or id(endpoint) in tried:
                break
            if cluster.connections >= cluster.cluster.max_connections:
                cluster.on_overflow("connections")
                self.flag = "UO"
                break
            tried = (*tried, id(endpoint))
            endpoint.requests += 1
            cluster.connections += 1
            endpoint.active_requests += 1
            if endpoint.is_watched:
                cluster.on_attempt_begun(endpoint, self)
            try:
                await self._services.connector.connect(endpoint.target, self.upstream)
                self._endpoint = endpoint
                if endpoint.is_watched:
                    cluster.on_connected(endpoint, self)
            except ConnectFailed as error:
                self.flag = "UF"
                endpoint.connect_failures += 1
                cluster.on_attempt_failed(endpoint, FailureKind.LOCAL, self)
                self._services.reporter.connect_failed(cluster.cluster.name, error)
                continue
            except BaseException:
                if endpoint.is_watched:
                    cluster.on_attempt_over(endpoint, self)
                self._end(reset=True)
                raise
            finally:
                if self._is_over or self._endpoint is None:  # nobody else will give them back
                    cluster.connections -= 1
                    endpoint.active_requests -= 1
            self.flag = ""
            self._join()
            return
        if not self.flag:
            self.flag = "NC" if cluster is None else "UH"
        self._end(reset=True)

    def _join(self) -> None:
        if self._is_over:  # the client left while we dialled
            self._reset(self.upstream)
            return
        downstream, upstream = self.downstream, self.upstream
        downstream.other, upstream.other = upstream, downstream
        self._series = self._services.reporter.tcp_opened(self)
        downstream.resume_reading()  # first: what is released may pause it
        self._release(downstream, upstream)
        self._release(upstream, downstream)

    def _release(self, source: _Side, target: _Side) -> None:
        """Pass on what `source` said before they were joined."""
        assert target.transport is not None
        for data in source.held:
            target.transport.write(data)
        source.held.clear()
        if source.eof_received_from:
            target.transport.write_eof()

    # --- bytes ---

    def forward(self, side: _Side, data: bytes) -> None:
        other = side.other
        if other is None:
            side.held.append(data)
            if side is self.downstream:
                side.pause_reading()  # one read is all; uvloop undoes a pause made in `connection_made`
            return
        self._last_progress = self._services.clock.monotonic()
        transport = other.transport
        assert transport is not None
        transport.write(data)

    def on_eof(self, side: _Side) -> None:
        other = side.other
        if other is None or other.transport is None or other.is_lost:
            return
        if not other.transport.is_closing():
            other.transport.write_eof()
        if other.eof_received_from:
            self._end(reset=False)

    def on_side_lost(self, side: _Side, error: Exception | None) -> None:
        if self._is_over:
            return
        clean = (
            error is None and side.eof_received_from and (side.other is None or side.other.eof_received_from)
        )
        if not clean and not self.flag:
            self.flag = "DC" if side is self.downstream else "UC"
        self._end(reset=not clean)

    # --- the end ---

    def _end(self, *, reset: bool) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._timer is not None:
            self._services.timers.cancel(self._timer)
            self._timer = None
        if (
            self._connect_task is not None
            and self._endpoint is None
            and self._connect_task is not asyncio.current_task()
        ):
            self._connect_task.cancel()
        for side in (self.downstream, self.upstream):
            if side.transport is None or side.is_lost:
                continue
            if reset:
                self._reset(side)
            else:
                socket_option.bound_flush(side.transport)
                side.transport.close()
        if self._endpoint is not None:
            self._endpoint.active_requests -= 1
        if self._cluster is not None and self._endpoint is not None:
            self._cluster.connections -= 1
        self.flush_bytes()
        if self._series is not None:
            self._series.on_closed()

    def part(self) -> None:
        """Let the two sides and this go once nobody will call them any more: they name each other, and what
        is in a cycle may never be freed (decision 14)."""
        if not self._is_over or self._connect_task is not None:
            return
        sides = (self.downstream, self.upstream)
        if all(side.is_lost or side.transport is None for side in sides):
            for side in sides:
                side.other = side.transport = None
                del side.relay

    def _reset(self, side: _Side) -> None:
        if side.transport is not None:
            socket_option.reset(side.transport)

    def _schedule_idle_check(self, at: float) -> None:
        self._timer = self._services.timers.schedule(at, self._check_idle)

    def _check_idle(self) -> None:
        if self._is_over:
            return
        due = self._last_progress + self._config.idle_timeout
        if self._services.clock.monotonic() >= due:
            self.flag = "SI"
            self._end(reset=False)
        else:
            self._schedule_idle_check(due)

    def flush_bytes(self) -> None:
        """Add what was moved since the last time to the metrics; also called while it lasts."""
        if self._series is None:
            return
        received, sent = self.downstream.bytes_received, self.upstream.bytes_received
        self._series.add_bytes(sent=sent - self._reported[0], received=received - self._reported[1])
        self._reported = (sent, received)

    # --- for the reporter and the drain ---

    @property
    def is_over(self) -> bool:
        return self._is_over

    @property
    def cluster(self) -> ClusterRuntime | None:
        return self._cluster

    @property
    def endpoint(self) -> EndpointRuntime | None:
        return self._endpoint

    def close(self) -> None:
        """End it in an orderly way: the drain time is over."""
        self._end(reset=False)
