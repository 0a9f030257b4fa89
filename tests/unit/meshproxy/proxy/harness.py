"""A worker on loopback with scripted upstreams: the data path without control plane, TLS or iptables."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from meshproxy.clock import Clock
from meshproxy.config.model import (
    Cluster,
    ClusterType,
    Direction,
    DownstreamTls,
    Endpoint,
    FilterChain,
    FilterChainMatch,
    HttpConnectionManager,
    Listener,
    TcpProxy,
    WorkloadIdentity,
)
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import Route, RouteAction, RouteTable, VirtualHost, WeightedCluster
from meshproxy.config.route_match import EVERY_PATH
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.config.tls import EdgeTls
from meshproxy.filters.factory import FilterFactory
from meshproxy.http.codec import codec_maker, scan_codec
from meshproxy.http.h2.message import messages_of
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from meshproxy.identity import contexts
from meshproxy.identity.edge_contexts import EdgeContexts
from meshproxy.identity.identity import Identity
from meshproxy.identity.peer_identity import PeerIdentities
from meshproxy.policy.timeout_wheel import TimeoutWheel
from meshproxy.proxy import peer
from meshproxy.proxy.reporter import Reporter
from meshproxy.proxy.request_id import request_ids
from meshproxy.proxy.services import ProxyServices
from meshproxy.proxy.worker import LiveConfig, Worker
from meshproxy.tasks import TaskGroupRegistry
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.transport.handshake_gate import HandshakeGate
from meshproxy.transport.listener import ListenerServices
from meshproxy.upstream.connector import Connector
from meshproxy.upstream.origin_dialler import OriginDialler
from meshproxy.upstream.pool import PoolSettings
from meshproxy.upstream.services import UpstreamServices

OWN = WorkloadIdentity(workload="web", namespace="shop", app="web", version="v1", service_account="web")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Upstream:
    """A scripted server; each connection runs `handler`."""

    handler: Handler
    connections: int = 0
    port: int = 0
    server: asyncio.Server | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> Upstream:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self.handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def answering(response: bytes, seen: list[bytes] | None = None) -> Handler:
    """Answers every request that has no body with `response`, on one connection after the other."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            if seen is not None:
                seen.append(head)
            writer.write(response)
            await writer.drain()

    return handle


def ok(body: bytes = b"hello") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def static_cluster(name: str, *endpoints: Endpoint, **changes: object) -> Cluster:
    return Cluster(name=name, type=ClusterType.STATIC, endpoints=endpoints, **changes)  # type: ignore[arg-type]


def http_listener(
    *weighted: WeightedCluster,
    timeout: float = 15.0,
    retry: RetrySettings | None = None,
    direction: Direction = Direction.OUTBOUND,
    action: dict[str, object] | None = None,
    **manager: object,
) -> Listener:
    """`action`: further fields of the route's."""
    routed = RouteAction(weighted, timeout=timeout, retry=retry, **(action or {}))  # type: ignore[arg-type]
    route = Route("all", EVERY_PATH, routed)
    table = RouteTable("table", (VirtualHost("all", ("*",), (route,)),))
    network = HttpConnectionManager("test", route_table=table, **manager)  # type: ignore[arg-type]
    chain = FilterChain("http", FilterChainMatch(), network)
    return Listener("listener", direction, "127.0.0.1", 0, (chain,))


def tcp_listener(cluster: str, idle_timeout: float = 3600.0) -> Listener:
    network = TcpProxy("test", (WeightedCluster(cluster, 1),), idle_timeout)
    return Listener(
        "listener", Direction.OUTBOUND, "127.0.0.1", 0, (FilterChain("tcp", FilterChainMatch(), network),)
    )


@dataclass
class MovableClock:
    """The machine's, which a test puts forward instead of waiting: what a timeout must not end has real time
    enough, however slow the machine is."""

    ahead: float = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def wall(self) -> float:
        return time.time() + self.ahead


@dataclass
class Mesh:
    """A running worker and its ears."""

    worker: Worker
    live: LiveConfig
    metrics: MeshMetrics
    services: ProxyServices
    refused: list[tuple[str, str]]

    @property
    def port(self) -> int:
        return self.worker.listeners.bound_ports("listener")[0]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def pass_time(self, seconds: float) -> None:
        """So much later the worker looks at its timers and at what is idle."""
        clock = self.services.clock
        assert isinstance(clock, MovableClock)
        clock.ahead += seconds
        now = clock.monotonic()
        self.worker._expire(now)
        self.worker._sweep(now)

    def metric(self, name: str, **labels: str) -> float:
        """Sum of all samples of `name` whose labels include `labels`."""
        from prometheus_client.parser import text_string_to_metric_families

        self.worker.flush_counters()
        text = "".join(self.metrics.exposition())
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def snapshot(listener: Listener, *clusters: Cluster) -> ConfigSnapshot:
    return ConfigSnapshot(
        listeners={listener.name: listener}, clusters={cluster.name: cluster for cluster in clusters}
    )


@asynccontextmanager
async def running(
    config: ConfigSnapshot,
    identity: Identity | None = None,
    own: WorkloadIdentity = OWN,
    original_dst: tuple[str, int] | None = None,
    clock: Clock | None = None,
    codec: str = "scan",
    **upstream_services: object,
) -> AsyncIterator[Mesh]:
    """A worker with `config` in force; with `identity` it can speak TLS. `upstream_services` are fields of
    `UpstreamServices`."""

    def client_context(alpn: tuple[str, ...]) -> ssl.SSLContext | None:
        return contexts.client_context(identity, alpn=alpn) if identity else None

    def server_context(tls: DownstreamTls | EdgeTls) -> ssl.SSLContext | None:
        if isinstance(tls, EdgeTls):
            return edge.server(tls)
        if identity is None:
            return None
        return contexts.server_context(
            identity, require_client_certificate=tls.require_client_certificate, alpn=tls.alpn_protocols
        )

    principal = str(identity.spiffe_id) if identity else ""
    clock = clock or MovableClock()
    rng, tasks, live = random.Random(1), TaskGroupRegistry(), LiveConfig()
    memory, metrics = HeadMemory(), MeshMetrics()
    reporter = Reporter(metrics, own, principal, lambda address: live.workloads.get(address))
    gate, peer_identity = HandshakeGate(), PeerIdentities(clock.wall)
    edge = EdgeContexts(lambda name: live.secrets.get(name))
    origin = OriginDialler(edge.client, gate, clock.wall)
    connector = Connector(client_context, peer_identity, gate, reporter.upstream_handshake, origin)
    refused: list[tuple[str, str]] = []
    upstream = UpstreamServices(
        connector,
        clock,
        tasks,
        scan_codec(memory, HeadLimits()),
        messages_of(memory, HeadLimits()),
        rng,
        PoolSettings(),
        reporter.connect_failed,
        reporter.outlier,
        reporter.overflowed,
        reporter.breaker_opened,
        reporter.health_checked,
        reporter.looked_up,
        **upstream_services,  # type: ignore[arg-type]
    )
    services = ProxyServices(
        clock=clock,
        rng=rng,
        codec=codec_maker(codec, memory),
        messages=partial(messages_of, memory),
        clusters=lambda name: live.clusters.get(name),
        route_table=lambda name: live.tables.get(name),
        timers=TimeoutWheel(clock.monotonic(), 0.01),
        tasks=tasks,
        connector=connector,
        reporter=reporter,
        new_request_id=request_ids(rng),
        peer_metadata_line=peer.header_line(own),
        make_filters=FilterFactory(clock, rng).make,
    )
    listener_services = ListenerServices(
        make_protocol=lambda accepted: worker.make_protocol(accepted),
        server_context=server_context,
        peer_identity=peer_identity,
        original_dst=lambda transport: original_dst,
        on_refused=lambda listener, reason: refused.append((listener, reason)),
        on_detected=lambda listener, outcome: None,
        on_handshake=reporter.downstream_handshake,
        gate=gate,
    )
    worker = Worker(live, services, upstream, listener_services, principal)
    await worker.apply(config)
    tasks.start(worker.run(), "worker")
    try:
        yield Mesh(worker, live, metrics, services, refused)
    finally:
        worker.end_drain()
        for connection in [c for _, m in worker._managers.values() for c in list(m.connections)]:
            connection.abort()
        for cluster in live.clusters.values():
            cluster.retire()
        await tasks.close()
        await asyncio.sleep(0)
