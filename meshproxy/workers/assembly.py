"""Puts the data path of one event loop together: the only place that knows all of its parts."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import cast

from certs.spiffe_id import SpiffeId
from meshproxy.clock import Clock
from meshproxy.config.model import DownstreamTls, WorkloadIdentity
from meshproxy.config.tls import EdgeTls, TlsCertificate
from meshproxy.filters.factory import FilterFactory
from meshproxy.http.codec import codec_maker, scan_codec
from meshproxy.http.h2.message import messages_of
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from meshproxy.identity import contexts
from meshproxy.identity.edge_contexts import EdgeContexts
from meshproxy.identity.identity import Identity
from meshproxy.identity.peer_identity import PeerIdentities
from meshproxy.interception.original_dst import original_destination
from meshproxy.policy.timeout_wheel import TimeoutWheel
from meshproxy.proxy import peer
from meshproxy.proxy.reporter import Reporter
from meshproxy.proxy.request_id import request_ids
from meshproxy.proxy.services import ProxyServices
from meshproxy.proxy.worker import LiveConfig, Worker
from meshproxy.tasks import TaskGroupRegistry
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.transport.connection_limit import allowed_connections
from meshproxy.transport.handshake_gate import HandshakeGate
from meshproxy.transport.listener import ListenerServices
from meshproxy.upstream.connector import Connector
from meshproxy.upstream.origin_dialler import OriginDialler
from meshproxy.upstream.pool import PoolSettings
from meshproxy.upstream.services import UpstreamServices


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker, and the configuration that it serves as its exchanges see it."""

    worker: Worker
    config: LiveConfig


def assemble(
    *,
    workload: WorkloadIdentity,
    spiffe_id: SpiffeId,
    identity: Callable[[], Identity | None],
    metrics: MeshMetrics,
    tasks: TaskGroupRegistry,
    clock: Clock,
    rng: Random,
    max_connections: int | None = None,
    downstream_codec: str = "scan",
) -> LiveWorker:
    """A worker without configuration. `identity()` is asked for each connection; None is none yet.
    `max_connections` is of each listener; None: the default.
    `downstream_codec` is one of `http.codec.CODECS`."""
    live, memory, own_principal = LiveConfig(), HeadMemory(), str(spiffe_id)
    reporter = Reporter(
        metrics,
        workload,
        own_principal,
        lambda address: live.workloads.get(address),  # noqa: PLW0108  the table is replaced by updates
    )
    tls = _TlsContexts(identity, clock, lambda name: live.secrets.get(name))  # noqa: PLW0108  as above
    gate, peer_identity = HandshakeGate(), PeerIdentities(clock.wall)
    origin = OriginDialler(tls.edge.client, gate, clock.wall)
    connector = Connector(tls.client, peer_identity, gate, reporter.upstream_handshake, origin)
    upstream = UpstreamServices(
        connector=connector,
        clock=clock,
        tasks=tasks,
        codec=scan_codec(memory, HeadLimits()),
        messages=messages_of(memory, HeadLimits()),
        rng=rng,
        pool=PoolSettings(),
        on_connect_failed=reporter.connect_failed,
        on_outlier=reporter.outlier,
        on_overflow=reporter.overflowed,
        on_breaker_opened=reporter.breaker_opened,
        on_health_check=reporter.health_checked,
        on_lookup=reporter.looked_up,
    )
    services = ProxyServices(
        clock=clock,
        rng=rng,
        codec=codec_maker(downstream_codec, memory),
        messages=partial(messages_of, memory),
        clusters=lambda name: live.clusters.get(name),  # noqa: PLW0108  as above
        route_table=lambda name: live.tables.get(name),  # noqa: PLW0108  as above
        timers=TimeoutWheel(clock.monotonic()),
        tasks=tasks,
        connector=connector,
        reporter=reporter,
        new_request_id=request_ids(rng),
        peer_metadata_line=peer.header_line(workload),
        make_filters=FilterFactory(clock, rng).make,
    )
    listener_services = ListenerServices(
        make_protocol=lambda accepted: worker.make_protocol(accepted),  # noqa: PLW0108  made below
        server_context=tls.server,
        peer_identity=peer_identity,
        original_dst=_original_dst,
        on_refused=reporter.refused,
        on_detected=reporter.detected,
        on_handshake=reporter.downstream_handshake,
        wall=clock.wall,
        gate=gate,
        max_connections=allowed_connections(max_connections),
    )
    worker = Worker(live, services, upstream, listener_services, own_principal)
    return LiveWorker(worker, live)


class _TlsContexts:
    """TLS with the identity of the moment."""

    def __init__(
        self,
        identity: Callable[[], Identity | None],
        clock: Clock,
        certificate: Callable[[str], TlsCertificate | None],
    ) -> None:
        self._identity = identity
        self._clock = clock
        self.edge = EdgeContexts(certificate)

    def server(self, tls: DownstreamTls | EdgeTls) -> ssl.SSLContext | None:
        if isinstance(tls, EdgeTls):
            return self.edge.server(tls)
        identity = self._identity()
        if identity is None:
            return None
        return contexts.server_context(
            identity, require_client_certificate=tls.require_client_certificate, alpn=tls.alpn_protocols
        )

    def client(self, alpn: tuple[str, ...]) -> ssl.SSLContext | None:
        identity = self._identity()
        if identity is None or not identity.is_valid(self._clock.wall()):
            return None  # a session made while it was valid must not be resumed with it
        return contexts.client_context(identity, alpn=alpn)


def _original_dst(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """Where the client dialled before the redirect; None when the kernel does not know."""
    return original_destination(cast("socket.socket", transport.get_extra_info("socket")))
