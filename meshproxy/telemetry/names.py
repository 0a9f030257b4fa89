"""Every metric and label name, in one place (pure). Istio's names and labels are its documented standard
metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class MetricKind(Enum):
    """Prometheus metric types that are used here; the value is the word of the `# TYPE` line."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A metric's name, type, help text and label names in the order in which they are written."""

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()


# --- Istio's standard metrics ---

PEER_LABELS: Final = (
    "reporter",
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_service",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service_name",
    "destination_service_namespace",
    "destination_cluster",
    "request_protocol",
    "response_flags",
    "connection_security_policy",
)
"""Labels of every Istio metric, in the order in which Istio's proxy writes them."""
TCP_LABELS: Final = PEER_LABELS
REQUEST_LABELS: Final = (*PEER_LABELS, "response_code", "grpc_response_status")

HISTOGRAM_BOUNDS: Final = (
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 30_000.0,
    60_000.0, 300_000.0, 600_000.0, 1_800_000.0, 3_600_000.0,
)  # fmt: skip
"""Upper bounds (inclusive) of the buckets before `+Inf`: Istio's, for milliseconds and for bytes alike."""

ISTIO_REQUESTS: Final = MetricFamily(
    "istio_requests_total", MetricKind.COUNTER, "Requests answered.", REQUEST_LABELS
)
ISTIO_REQUEST_DURATION: Final = MetricFamily(
    "istio_request_duration_milliseconds",
    MetricKind.HISTOGRAM,
    "Time from the first byte of a request to the last byte of its response.",
    REQUEST_LABELS,
)
ISTIO_REQUEST_BYTES: Final = MetricFamily(
    "istio_request_bytes", MetricKind.HISTOGRAM, "Size of request bodies.", REQUEST_LABELS
)
ISTIO_RESPONSE_BYTES: Final = MetricFamily(
    "istio_response_bytes", MetricKind.HISTOGRAM, "Size of response bodies.", REQUEST_LABELS
)
ISTIO_REQUEST_MESSAGES: Final = MetricFamily(
    "istio_request_messages_total", MetricKind.COUNTER, "gRPC messages sent by clients.", REQUEST_LABELS
)
ISTIO_RESPONSE_MESSAGES: Final = MetricFamily(
    "istio_response_messages_total", MetricKind.COUNTER, "gRPC messages sent by servers.", REQUEST_LABELS
)
GRPC: Final = "grpc"
"""Value of `request_protocol`."""
ISTIO_TCP_OPENED: Final = MetricFamily(
    "istio_tcp_connections_opened_total", MetricKind.COUNTER, "TCP connections opened.", TCP_LABELS
)
ISTIO_TCP_CLOSED: Final = MetricFamily(
    "istio_tcp_connections_closed_total", MetricKind.COUNTER, "TCP connections closed.", TCP_LABELS
)
ISTIO_TCP_SENT: Final = MetricFamily(
    "istio_tcp_sent_bytes_total",
    MetricKind.COUNTER,
    "Bytes sent to the client of a TCP connection.",
    TCP_LABELS,
)
ISTIO_TCP_RECEIVED: Final = MetricFamily(
    "istio_tcp_received_bytes_total",
    MetricKind.COUNTER,
    "Bytes received from the client of a TCP connection.",
    TCP_LABELS,
)

UNKNOWN: Final = "unknown"
"""Istio's word for what a peer did not say."""
LATEST_REVISION: Final = "latest"
"""Istio's canonical revision of a workload without a version label."""
NO_FLAGS: Final = "-"
"""Istio's value of `response_flags` when nothing went wrong."""
OVERFLOW: Final = "overflow"
"""Label value of the series that counts what came after the bound on series was reached."""

# --- our own ---

CONNECTIONS_REFUSED: Final = MetricFamily(
    "meshproxy_connections_refused_total",
    MetricKind.COUNTER,
    "Downstream connections closed by policy or because they could not be understood.",
    ("listener", "reason"),
)
PROTOCOL_DETECTION: Final = MetricFamily(
    "meshproxy_protocol_detection_total",
    MetricKind.COUNTER,
    "Connections whose protocol was detected, by what was found.",
    ("listener", "outcome"),
)
DOWNSTREAM_ACTIVE: Final = MetricFamily(
    "meshproxy_downstream_connections_active",
    MetricKind.GAUGE,
    "Downstream connections open now.",
    ("listener",),
)
TLS_HANDSHAKES: Final = MetricFamily(
    "meshproxy_tls_handshakes_total",
    MetricKind.COUNTER,
    "TLS handshakes that succeeded, by the side they were made with and whether they resumed a session.",
    ("side", "resumed"),
)
UPSTREAM_CONNECT_FAILURES: Final = MetricFamily(
    "meshproxy_upstream_connect_failures_total",
    MetricKind.COUNTER,
    "Upstream connections that did not come about.",
    ("cluster", "reason"),
)
UPSTREAM_RETRIES: Final = MetricFamily(
    "meshproxy_upstream_retries_total",
    MetricKind.COUNTER,
    "Attempts made again, by how the one before failed.",
    ("cluster", "reason"),
)
RETRIES_OVERFLOWED: Final = MetricFamily(
    "meshproxy_upstream_retries_overflowed_total",
    MetricKind.COUNTER,
    "Retries not made because the retry budget, or `max_retries` in its place, did not allow them.",
    ("cluster",),
)
UPSTREAM_OVERFLOWED: Final = MetricFamily(
    "meshproxy_upstream_overflowed_total",
    MetricKind.COUNTER,
    "Requests and connections refused by a circuit limit of a cluster.",
    ("cluster", "limit"),
)
BREAKER_OPENED: Final = MetricFamily(
    "meshproxy_circuit_breaker_opened_total",
    MetricKind.COUNTER,
    "Circuit breakers of endpoints that opened, or opened again after a probe.",
    ("cluster",),
)
HEALTH_CHECKS: Final = MetricFamily(
    "meshproxy_health_checks_total",
    MetricKind.COUNTER,
    "Active health checks of endpoints, by how they ended.",
    ("cluster", "result"),
)
DNS_LOOKUPS: Final = MetricFamily(
    "meshproxy_upstream_dns_lookups_total",
    MetricKind.COUNTER,
    "Names of DNS clusters looked up, by whether addresses were found.",
    ("cluster", "result"),
)
DNS_REQUESTS: Final = MetricFamily(
    "meshproxy_dns_requests_total",
    MetricKind.COUNTER,
    "Questions of the app that the resolver answered, by where the answer came from and its code.",
    ("source", "code"),
)
DNS_UPSTREAM_QUERIES: Final = MetricFamily(
    "meshproxy_dns_upstream_queries_total",
    MetricKind.COUNTER,
    "Queries sent to the DNS servers of resolv.conf.",
)
DNS_UPSTREAM_FAILURES: Final = MetricFamily(
    "meshproxy_dns_upstream_failures_total",
    MetricKind.COUNTER,
    "Queries that a DNS server of resolv.conf did not answer in time, or could not.",
)
OUTLIER_ACTIVE: Final = MetricFamily(
    "meshproxy_outlier_ejections_active", MetricKind.GAUGE, "Endpoints ejected now.", ("cluster",)
)
OUTLIER_ENFORCED: Final = MetricFamily(
    "meshproxy_outlier_ejections_enforced_total", MetricKind.COUNTER, "Endpoints ejected.", ("cluster",)
)
OUTLIER_CAPPED: Final = MetricFamily(
    "meshproxy_outlier_ejections_overflowed_total",
    MetricKind.COUNTER,
    "Ejections not made because as many as `max_ejection_percent` allows were ejected.",
    ("cluster",),
)
HEALTHY_PANIC: Final = MetricFamily(
    "meshproxy_upstream_healthy_panic_total",
    MetricKind.COUNTER,
    "Endpoints chosen among all, ejected ones too, because too few were left.",
    ("cluster",),
)
XDS_CONNECTED: Final = MetricFamily(
    "meshproxy_xds_connected", MetricKind.GAUGE, "1 while the stream to the control plane is up."
)
XDS_UPDATE_REJECTED: Final = MetricFamily(
    "meshproxy_xds_update_rejected_total",
    MetricKind.COUNTER,
    "Configuration updates answered with a NACK.",
    ("type",),
)
CERTIFICATE_EXPIRY: Final = MetricFamily(
    "meshproxy_certificate_expiry_timestamp_seconds",
    MetricKind.GAUGE,
    "When the workload certificate in use expires, as Unix time.",
)
CERTIFICATE_RENEWALS: Final = MetricFamily(
    "meshproxy_certificate_renewals_total",
    MetricKind.COUNTER,
    "Workload certificates obtained after the first.",
)
SERIES_OVERFLOWED: Final = MetricFamily(
    "meshproxy_metric_series_overflowed_total",
    MetricKind.COUNTER,
    "Label sets counted in an overflow series because a family had reached its bound.",
)
WORKERS_SERVING: Final = MetricFamily(
    "meshproxy_workers_serving", MetricKind.GAUGE, "Worker processes that serve the configuration in force."
)
WORKER_RESTARTS: Final = MetricFamily(
    "meshproxy_worker_restarts_total", MetricKind.COUNTER, "Worker processes started in place of dead ones."
)
# Not `process_…`: the app has those, and one scrape has both.
RESIDENT_MEMORY: Final = MetricFamily(
    "meshproxy_resident_memory_bytes", MetricKind.GAUGE, "Resident memory of the sidecar, all its processes."
)
CPU_SECONDS: Final = MetricFamily(
    "meshproxy_cpu_seconds_total",
    MetricKind.COUNTER,
    "User and system CPU time of the sidecar, all its processes.",
)

APP_SCRAPE_UP: Final = MetricFamily(
    "meshproxy_app_scrape_up", MetricKind.GAUGE, "1 where the app's own metrics are among these, else 0."
)
"""Beside those below: it is on port 15020 only, where the app has metrics."""

OWN_FAMILIES: Final = {
    family.name: family
    for family in (
        CONNECTIONS_REFUSED, PROTOCOL_DETECTION, DOWNSTREAM_ACTIVE, TLS_HANDSHAKES, UPSTREAM_CONNECT_FAILURES,
        UPSTREAM_RETRIES, RETRIES_OVERFLOWED, UPSTREAM_OVERFLOWED, BREAKER_OPENED, HEALTH_CHECKS,
        DNS_LOOKUPS, DNS_REQUESTS, DNS_UPSTREAM_QUERIES, DNS_UPSTREAM_FAILURES,
        OUTLIER_ACTIVE, OUTLIER_ENFORCED, OUTLIER_CAPPED,
        HEALTHY_PANIC, XDS_CONNECTED, XDS_UPDATE_REJECTED, CERTIFICATE_EXPIRY, CERTIFICATE_RENEWALS,
        SERIES_OVERFLOWED, WORKERS_SERVING, WORKER_RESTARTS, RESIDENT_MEMORY, CPU_SECONDS,
    )
}  # fmt: skip
"""By metric name: everything that `MeshMetrics.counter`, `gauge` and `observe` accept."""
