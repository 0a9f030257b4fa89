"""What the proxy's machines are given: the worker's shared parts, and the facts of one connection."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from meshproxy.clock import Clock
from meshproxy.config.model import Direction
from meshproxy.config.route import FilterConfigs
from meshproxy.filters.api import HttpFilter
from meshproxy.http.codec import CodecMaker
from meshproxy.http.h2.message import Messages
from meshproxy.http.limits import HeadLimits
from meshproxy.policy.timeout_wheel import TimeoutWheel
from meshproxy.proxy.drain import DrainSchedule
from meshproxy.proxy.reporter import Reporter
from meshproxy.routing.table import CompiledRouteTable
from meshproxy.tasks import TaskGroupRegistry
from meshproxy.telemetry.series import RequestSeries
from meshproxy.transport.connection_limit import Seat
from meshproxy.transport.outside_peer import OutsidePeer
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.connector import Connector

PAUSED_BY_BODY: Final = 1
"""Reading from the client rests: the upstream does not take the body as fast as it comes."""
PAUSED_BY_PIPELINE: Final = 2
"""Reading from the client rests: it is too far ahead with further requests."""


FilterMaker = Callable[[FilterConfigs, FilterConfigs], tuple[HttpFilter, ...]]
"""(the connection manager's filters in order, a route's own settings) -> the filters that apply to it."""


def no_filters(chain: FilterConfigs, own: FilterConfigs) -> tuple[HttpFilter, ...]:
    """For proxies that were given none."""
    return ()


@dataclass(slots=True)
class ConnectionFacts:
    """Who is on a downstream connection and where it wanted to go. Fixed once the protocol is known."""

    direction: Direction
    peer_address: str
    """Source address, without port."""
    original_dst: tuple[str, int]
    """Where the client dialled."""
    destination: str = ""
    """`original_dst` as an authority spells it; empty where nobody routes by it."""
    peer_principal: str = ""
    """The client's verified SPIFFE id; empty over plaintext."""
    local_principal: str = ""
    """The SPIFFE id we proved on this connection; empty over plaintext."""
    client: OutsidePeer | None = None
    """The certificate that a client from outside the mesh has proved to hold."""
    scheme: bytes = b"http"
    """How the client came: `http` or `https`. Mesh TLS is none of its doing and does not count."""
    seat: Seat | None = None
    """Its place in the listener's count of connections; whoever serves it leaves it at the end."""
    series: dict[tuple[bytes, int, str, str, str | None], RequestSeries] = field(default_factory=dict)
    """Metric series of this connection by what varies on it; kept by `Reporter`."""

    def on_closed(self) -> None:
        """The client's connection is over."""
        if self.seat is not None:
            self.seat.leave()

    @property
    def is_mtls(self) -> bool:
        return bool(self.peer_principal)


@dataclass(slots=True)
class ProxyServices:
    """Shared by all connections of a worker."""

    clock: Clock
    rng: random.Random
    codec: CodecMaker
    """Of the connections that clients open."""
    messages: Callable[[HeadLimits], Messages]
    """The same for HTTP/2."""
    clusters: Callable[[str], ClusterRuntime | None]
    route_table: Callable[[str], CompiledRouteTable | None]
    """RDS tables by name; None while one has not arrived."""
    timers: TimeoutWheel[Callable[[], None]]
    tasks: TaskGroupRegistry
    connector: Connector
    reporter: Reporter
    new_request_id: Callable[[], bytes]
    peer_metadata_line: bytes
    """Our own `x-envoy-peer-metadata` header line, with CRLF, for upstreams that speak mesh TLS."""
    make_filters: FilterMaker = no_filters
    drain: DrainSchedule | None = None
    """Set on SIGTERM: which responses end their connection from then on."""
