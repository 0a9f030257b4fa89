"""From an exchange's end to the right metric series: the only place of the proxy that knows label values.

Series are found by small keys on the object they belong to (an endpoint, a connection), so that the common
case is one dictionary look-up and integer additions; label sets are built once per key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from meshproxy.config.model import Direction, ServiceIdentity, WorkloadIdentity
from meshproxy.http.events import RequestHead
from meshproxy.http.grpc import GrpcCall
from meshproxy.policy.outlier import OutlierEvent
from meshproxy.proxy import peer
from meshproxy.telemetry.labels import SecurityPolicy, request_labels, tcp_labels
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.telemetry.names import GRPC
from meshproxy.telemetry.series import RequestSeries, TcpSeries
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.connector import ConnectFailed
from meshproxy.upstream.endpoint import EndpointRuntime

if TYPE_CHECKING:
    from meshproxy.proxy.services import ConnectionFacts
    from meshproxy.proxy.tcp_proxy import TcpRelay

MAX_CACHED: Final = 256
"""Series remembered per endpoint or connection; a peer that varies more costs itself time, not us memory."""

_OUTLIER_COUNTERS: Final = {
    OutlierEvent.EJECTED: "meshproxy_outlier_ejections_enforced_total",
    OutlierEvent.CAPPED: "meshproxy_outlier_ejections_overflowed_total",
    OutlierEvent.PANICKED: "meshproxy_upstream_healthy_panic_total",
}

_NO_SERVICE: Final = ServiceIdentity()
_HTTP: Final = "http"


class Reporter:
    """Counts for one sidecar."""

    def __init__(
        self,
        metrics: MeshMetrics,
        own: WorkloadIdentity,
        own_principal: str,
        workload_at: Callable[[str], WorkloadIdentity | None],
    ) -> None:
        """`workload_at(address)` finds who lives at an address among the configured endpoints."""
        self._metrics = metrics
        self._own = own
        self._own_principal = own_principal
        self._workload_at = workload_at
        self._unrouted: dict[tuple[str, int, str, str | None], RequestSeries] = {}

    # --- HTTP ---

    def http(
        self,
        facts: ConnectionFacts,
        head: RequestHead,
        cluster: ClusterRuntime | None,
        endpoint: EndpointRuntime | None,
        status: int,
        flag: str,
        duration_ms: float,
        request_bytes: int,
        response_bytes: int,
        call: GrpcCall | None = None,
    ) -> None:
        """Count an exchange that ended with `status` (0: the client left first). `call`: of gRPC."""
        grpc = call.status if call is not None else None
        if facts.direction is Direction.INBOUND:
            series = self._inbound(facts, head, cluster, status, flag, grpc)
        elif endpoint is not None:
            cached = endpoint.series.get((status, flag, grpc))
            series = cached if cached is not None else self._outbound(cluster, endpoint, status, flag, grpc)
        else:
            series = self._without_endpoint(cluster, status, flag, grpc)
        series.observe(duration_ms, request_bytes, response_bytes)
        if call is not None:
            series.request_messages += call.request_messages
            series.response_messages += call.response_messages

    def _outbound(
        self,
        cluster: ClusterRuntime | None,
        endpoint: EndpointRuntime,
        status: int,
        flag: str,
        grpc: str | None,
    ) -> RequestSeries:
        labels = tcp_labels(
            Direction.OUTBOUND,
            self._own,
            self._callee(endpoint),
            own_principal=self._own_principal if endpoint.tls is not None else "",
            peer_principal=_proved_by(endpoint),
            service=cluster.cluster.service if cluster is not None else _NO_SERVICE,
            security=SecurityPolicy.UNKNOWN,  # Istio: only the destination knows for certain
            response_flags=flag,
            request_protocol=_HTTP if grpc is None else GRPC,
        )
        series = self._metrics.request_series(request_labels(labels, status, grpc or ""))
        if len(endpoint.series) >= MAX_CACHED:
            endpoint.series.clear()
        endpoint.series[(status, flag, grpc)] = series
        return series

    def _without_endpoint(
        self, cluster: ClusterRuntime | None, status: int, flag: str, grpc: str | None
    ) -> RequestSeries:
        key = (cluster.cluster.name if cluster is not None else "", status, flag, grpc)
        series = self._unrouted.get(key)
        if series is None:
            labels = tcp_labels(
                Direction.OUTBOUND,
                self._own,
                peer.UNKNOWN,
                service=cluster.cluster.service if cluster is not None else _NO_SERVICE,
                security=SecurityPolicy.UNKNOWN,
                response_flags=flag,
                request_protocol=_HTTP if grpc is None else GRPC,
            )
            series = self._metrics.request_series(request_labels(labels, status, grpc or ""))
            if len(self._unrouted) >= MAX_CACHED:
                self._unrouted.clear()
            self._unrouted[key] = series
        return series

    def _inbound(
        self,
        facts: ConnectionFacts,
        head: RequestHead,
        cluster: ClusterRuntime | None,
        status: int,
        flag: str,
        grpc: str | None,
    ) -> RequestSeries:
        service = cluster.cluster.service if cluster is not None else _NO_SERVICE
        metadata = head.peer_metadata
        if not facts.peer_principal or len(metadata) > peer.MAX_VALUE:
            metadata = b""  # worth nothing, so not worth being remembered
        key = (metadata, status, flag, service.host, grpc)
        series = facts.series.get(key)
        if series is None:
            labels = tcp_labels(
                Direction.INBOUND,
                self._own,
                peer.verified(metadata, facts.peer_principal),
                own_principal=facts.local_principal,
                peer_principal=facts.peer_principal,
                service=service,
                security=SecurityPolicy.MUTUAL_TLS if facts.is_mtls else SecurityPolicy.NONE,
                response_flags=flag,
                request_protocol=_HTTP if grpc is None else GRPC,
            )
            series = self._metrics.request_series(request_labels(labels, status, grpc or ""))
            if len(facts.series) >= MAX_CACHED:
                facts.series.clear()
            facts.series[key] = series
        return series

    # --- TCP ---

    def tcp_opened(self, relay: TcpRelay) -> TcpSeries:
        """A relay joined its two sides: count it, and give the series its bytes go to."""
        series = self._tcp_series(relay)
        series.on_opened()
        return series

    def _tcp_series(self, relay: TcpRelay) -> TcpSeries:
        facts, cluster, endpoint = relay.facts, relay.cluster, relay.endpoint
        assert endpoint is not None
        outbound = facts.direction is Direction.OUTBOUND
        if outbound and endpoint.tcp_series is not None:
            return endpoint.tcp_series
        security = SecurityPolicy.MUTUAL_TLS if facts.is_mtls else SecurityPolicy.NONE
        series = self._metrics.tcp_series(
            tcp_labels(
                facts.direction,
                self._own,
                self._callee(endpoint) if outbound else self._caller(facts),
                own_principal=self._own_principal if outbound and endpoint.tls else facts.local_principal,
                peer_principal=_proved_by(endpoint) if outbound else facts.peer_principal,
                service=cluster.cluster.service if cluster is not None else _NO_SERVICE,
                security=SecurityPolicy.UNKNOWN if outbound else security,
                request_protocol="tcp",
            )
        )
        if outbound:
            endpoint.tcp_series = series
        return series

    def _callee(self, endpoint: EndpointRuntime) -> WorkloadIdentity:
        """Who is called: as its metadata says, else whose the address is among all that are known."""
        workload = endpoint.endpoint.workload
        if workload is not peer.UNKNOWN and workload != peer.UNKNOWN:
            return workload
        return self._workload_at(endpoint.endpoint.address) or peer.UNKNOWN

    def _caller(self, facts: ConnectionFacts) -> WorkloadIdentity:
        """Who calls over TCP: the workload at the source address, if its proved identity agrees."""
        found = self._workload_at(facts.peer_address)
        if found is None or not facts.is_mtls:
            return peer.UNKNOWN
        return peer.agreeing(found, facts.peer_principal)

    # --- the rest ---

    def retried(self, cluster: str, reason: str) -> None:
        self._metrics.counter("meshproxy_upstream_retries_total", cluster=cluster, reason=reason).add()

    def retry_overflowed(self, cluster: str) -> None:
        self._metrics.counter("meshproxy_upstream_retries_overflowed_total", cluster=cluster).add()

    def overflowed(self, cluster: str, limit: str) -> None:
        self._metrics.counter("meshproxy_upstream_overflowed_total", cluster=cluster, limit=limit).add()

    def breaker_opened(self, cluster: str) -> None:
        self._metrics.counter("meshproxy_circuit_breaker_opened_total", cluster=cluster).add()

    def health_checked(self, cluster: str, result: str) -> None:
        self._metrics.counter("meshproxy_health_checks_total", cluster=cluster, result=result).add()

    def looked_up(self, cluster: str, result: str) -> None:
        self._metrics.counter("meshproxy_upstream_dns_lookups_total", cluster=cluster, result=result).add()

    def outlier(self, cluster: str, event: OutlierEvent, ejected: int) -> None:
        """Something happened to a cluster that now has `ejected` endpoints ejected."""
        self._metrics.gauge("meshproxy_outlier_ejections_active", cluster=cluster).set(ejected)
        if event in _OUTLIER_COUNTERS:
            self._metrics.counter(_OUTLIER_COUNTERS[event], cluster=cluster).add()

    def connect_failed(self, cluster: str, error: ConnectFailed) -> None:
        self._metrics.counter(
            "meshproxy_upstream_connect_failures_total", cluster=cluster, reason=error.reason
        ).add()

    def refused(self, listener: str, reason: str) -> None:
        self._metrics.counter("meshproxy_connections_refused_total", listener=listener, reason=reason).add()

    def detected(self, listener: str, outcome: str) -> None:
        self._metrics.counter("meshproxy_protocol_detection_total", listener=listener, outcome=outcome).add()

    def downstream_handshake(self, resumed: bool) -> None:
        self._handshake("downstream", resumed)

    def upstream_handshake(self, resumed: bool) -> None:
        self._handshake("upstream", resumed)

    def _handshake(self, side: str, resumed: bool) -> None:
        self._metrics.counter(
            "meshproxy_tls_handshakes_total", side=side, resumed="true" if resumed else "false"
        ).add()

    def protocol_error(self, direction: Direction, reason: str) -> None:
        """A downstream sent what is not HTTP we accept."""
        self.refused(direction.value, reason)


def _proved_by(endpoint: EndpointRuntime) -> str:
    """The identity that an endpoint must prove; of one that is only an address, that of its cluster, where
    that is one."""
    if endpoint.endpoint.spiffe_id or endpoint.tls is None:
        return endpoint.endpoint.spiffe_id
    accepted = endpoint.tls.san_matchers
    return accepted[0] if len(accepted) == 1 else ""
