"""The live twin of an `Endpoint`: its pool, who waits for a connection, and its counters. [6, 7]"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from meshproxy.config.model import Endpoint, UpstreamTls
from meshproxy.policy.circuit_breaker import BreakerState, CircuitBreaker
from meshproxy.policy.health_state import HealthState
from meshproxy.policy.latency import LatencyEstimate
from meshproxy.policy.outlier import EndpointHealth
from meshproxy.telemetry.series import RequestSeries, TcpSeries
from meshproxy.upstream.balancer.api import Fitness
from meshproxy.upstream.connector import ConnectFailed, DialTarget, Security
from meshproxy.upstream.h2_connection import H2UpstreamConnection
from meshproxy.upstream.http_connection import HttpUpstreamConnection
from meshproxy.upstream.lane import Lane
from meshproxy.upstream.pool import IdlePool, PoolSettings


class ConnectionWaiter(Protocol):
    """An exchange that waits for a connection to one endpoint. Defined here for the proxy above."""

    def on_connection(self, connection: Lane) -> None: ...

    def on_connect_failed(self, error: ConnectFailed) -> None: ...


class EndpointRuntime:
    """One address of one cluster. Outlives its `Endpoint` until its last exchange has ended."""

    __slots__ = (
        "active_requests",
        "added_at",
        "alone",
        "breaker",
        "check",
        "connect_failures",
        "connecting",
        "connections",
        "endpoint",
        "health",
        "idle",
        "is_http1",
        "is_presumed_well",
        "is_removed",
        "is_watched",
        "latency",
        "multiplexed",
        "prober",
        "requests",
        "series",
        "target",
        "tcp_series",
        "waiters",
    )

    def __init__(
        self, endpoint: Endpoint, target: DialTarget, pool: PoolSettings, added_at: float = 0.0
    ) -> None:
        self.endpoint = endpoint
        self.target = target
        self.idle: IdlePool[HttpUpstreamConnection] = IdlePool(pool)
        self.multiplexed: list[H2UpstreamConnection] = []
        """Open HTTP/2 connections, busy or not."""
        self.waiters: deque[ConnectionWaiter] = deque()
        self.alone: list[ConnectionWaiter] = []
        """For each of them a connection of HTTP/1.1 is being dialled, in a cluster that negotiates."""
        self.is_http1 = False
        """It chose HTTP/1.1 when it was last asked."""
        self.connecting = 0
        self.connections = 0
        """Open HTTP connections, idle ones included."""
        self.active_requests = 0
        self.requests = 0
        self.connect_failures = 0
        self.health = EndpointHealth()
        self.added_at = added_at
        """When it came, or was fit again; monotonic seconds. For slow start."""
        self.latency: LatencyEstimate | None = None
        """What attempts take; only in clusters that balance by it."""
        self.breaker: CircuitBreaker | None = None
        """Only where the cluster has one for each endpoint."""
        self.prober: object = None
        """The attempt that is the breaker's probe; None: none is under way."""
        self.check: HealthState | None = None
        """What active health checks found; None: there are none."""
        self.is_presumed_well = False
        """It served before it was ever checked: until the first check ends it is taken as well."""
        self.is_removed = False
        self.is_watched = False
        """Answers that are no failures are of interest too: the cluster wants to hear of every attempt."""
        self.series: dict[tuple[int, str, str | None], RequestSeries] = {}
        """Metric series by (response code, response flag, gRPC status): found without building labels."""
        self.tcp_series: TcpSeries | None = None

    @property
    def fitness(self) -> Fitness:
        check, endpoint = self.check, self.endpoint
        if check is not None and not check.is_healthy:
            if check.is_excluded:
                return Fitness.EXCLUDED
            if not (check.is_pending and self.is_presumed_well):
                return Fitness.UNFIT
        if self.health.is_ejected or not endpoint.healthy:
            return Fitness.UNFIT
        is_degraded = endpoint.is_degraded or (check is not None and check.is_degraded)
        return Fitness.DEGRADED if is_degraded else Fitness.FIT

    def is_barred(self, now: float) -> bool:
        """Its breaker lets nothing pass, in panic neither."""
        breaker = self.breaker
        return breaker is not None and (self.prober is not None or breaker.state(now) is BreakerState.OPEN)

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.target.address}:{self.target.port}"

    @property
    def tls(self) -> UpstreamTls | None:
        return self.target.tls

    @property
    def key(self) -> tuple[str, int, str, Security]:
        """What makes it the same endpoint across updates: address, identity and how it is secured."""
        return (
            self.endpoint.address,
            self.endpoint.port,
            self.endpoint.spiffe_id,
            self.target.security,
        )

    def take_idle(self) -> Lane | None:
        """The pooled connection that was used last, or a stream of one that has room; None: one has to be
        dialled."""
        for multiplexed in self.multiplexed:
            if multiplexed.has_room:
                return multiplexed.lane()
        connection = self.idle.take()
        while connection is not None and connection.is_lost:
            connection = self.idle.take()
        return connection

    def retire(self) -> None:
        """It is no longer in the configuration: idle connections go, busy ones finish their exchange."""
        self.is_removed = True
        for connection in self.idle.clear():
            connection.close()
        for multiplexed in list(self.multiplexed):
            multiplexed.retire()
