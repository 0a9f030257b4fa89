"""Configuration values of the data plane (pure, frozen): listeners, clusters, endpoints.

They say what xDS says, in the words of Envoy's v3 API, restricted to what this proxy acts on;
`xds/translate.py` builds them and refuses the rest by name. The live twins are `…Runtime` objects elsewhere.
Nothing here is mutated after construction: a change is a new object, and the runtime compares by identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from meshproxy.config.dns import DnsSettings
from meshproxy.config.health_check import HealthCheck
from meshproxy.config.load_balancing import LoadBalancing, Locality
from meshproxy.config.resilience import CircuitBreakerSettings, RetryBudgetSettings
from meshproxy.config.route import FilterConfigs, RouteTable, WeightedCluster
from meshproxy.config.tls import EdgeTls, OriginTls


class Direction(Enum):
    """`Listener.traffic_direction`: a direction of the pod, not of the request."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


AUTO = "AUTO"
HTTP1 = "HTTP1"
HTTP2 = "HTTP2"
"""Of `HttpConnectionManager.codec`."""


# --- listeners ---


@dataclass(frozen=True, slots=True)
class FilterChainMatch:
    """`envoy.config.listener.v3.FilterChainMatch`: empty or None criteria match everything."""

    destination_port: int | None = None
    destination_prefixes: tuple[str, ...] = ()
    """CIDRs the original destination must lie in, e.g. `("10.244.0.7/32",)`."""
    transport_protocol: str = ""
    """`"tls"` or `"raw_buffer"`; empty matches both."""
    application_protocols: tuple[str, ...] = ()
    """ALPN values offered by the client (TLS), or `"http/1.1"`, `"h2c"` as found by the HTTP inspector
    (plain)."""
    server_names: tuple[str, ...] = ()
    """SNI: exact, or `*.suffix`."""


HTTP2_NAMES: Final = frozenset({"istio-h2", "h2"})
"""What ALPN calls HTTP/2, in the mesh and outside."""


@dataclass(frozen=True, slots=True)
class DownstreamTls:
    """`DownstreamTlsContext` with identity from the sidecar's own agent (SDS names `default` and
    `ROOTCA`)."""

    require_client_certificate: bool = True
    alpn_protocols: tuple[str, ...] = ()
    san_matchers: tuple[str, ...] = ()
    """Exact URI SANs the client may have; empty: any identity of the trust bundle."""
    san_prefixes: tuple[str, ...] = ()
    """URI SAN prefixes the client may have, e.g. `("spiffe://cluster.local/",)`."""


@dataclass(frozen=True, slots=True)
class TcpProxy:
    """`envoy.filters.network.tcp_proxy`: relay bytes to a cluster."""

    stat_prefix: str
    clusters: tuple[WeightedCluster, ...]
    idle_timeout: float = 3600.0
    """Seconds without a byte in either direction before both sides are closed; 0 disables. Envoy's default
    is 1 h."""


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """`use_remote_address`: who calls is no part of the mesh, and what its requests say is not believed."""

    trusted_hops: int = 0
    """`xff_num_trusted_hops`: proxies in front of us whose `x-forwarded-…` fields are believed."""
    append_forwarded_for: bool = True
    """False is `skip_xff_append`: `x-forwarded-for` is passed on as it came."""
    keep_request_id: bool = False
    """`preserve_external_request_id`."""


@dataclass(frozen=True, slots=True)
class HttpConnectionManager:
    """`envoy.filters.network.http_connection_manager`. Exactly one of `route_table` and `rds_name` is set."""

    stat_prefix: str
    route_table: RouteTable | None = None
    rds_name: str | None = None
    """Name of a RouteConfiguration delivered by RDS over ADS."""
    codec: str = "AUTO"
    """`codec_type`: `AUTO` (HTTP/1.1 or, by its preface, HTTP/2), `HTTP1` or `HTTP2`."""
    forward_client_cert: bool = False
    """True is SANITIZE_SET (a fresh `x-forwarded-client-cert` from the verified peer); False is SANITIZE."""
    client_cert_details: tuple[str, ...] = ("uri",)
    """`set_current_client_cert_details`: which of `subject`, `uri`, `dns`, `cert` are said of a peer
    outside the mesh. Of those inside it is always the URI."""
    stream_idle_timeout: float = 300.0
    """Seconds without progress on a stream; 0 disables. Envoy's default is 5 min."""
    idle_timeout: float = 3600.0
    """Seconds a downstream connection may sit without a stream; 0 disables. Envoy's default is 1 h."""
    request_headers_timeout: float = 0.0
    """Seconds from the first byte of a request to the end of its head; 0 disables."""
    max_request_headers_kb: int = 60
    """KiB of a request head, above which the answer is 431. Envoy's default is 60."""
    max_headers_count: int = 100
    """Fields of a request head, and of trailers, above which the answer is 431. Envoy's default is 100."""
    max_requests_per_connection: int = 0
    """After so many a connection ends with its answer; 0 is no limit, Envoy's default."""
    http_filters: FilterConfigs = ()
    """Filters before the router, in order: (name, their settings)."""
    upgrade_types: tuple[str, ...] = ()
    """`upgrade_configs`: protocols, in lower case, that a request may switch its connection to."""
    edge: EdgeSettings | None = None
    """None: callers are of the mesh, or the pod's own app."""


@dataclass(frozen=True, slots=True)
class FilterChain:
    """One way a listener may treat a connection; `network` is its terminal filter."""

    name: str
    match: FilterChainMatch
    network: HttpConnectionManager | TcpProxy
    tls: DownstreamTls | EdgeTls | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """`envoy.config.listener.v3.Listener`."""

    name: str
    direction: Direction
    address: str
    port: int
    filter_chains: tuple[FilterChain, ...]
    default_filter_chain: FilterChain | None = None
    additional_addresses: tuple[tuple[str, int], ...] = ()
    bind_to_port: bool = True
    """False: it has no socket; connections reach it through a listener with `use_original_dst`."""
    use_original_dst: bool = False
    """Hand the connection to the listener of its original destination: `ip_port`, else `0.0.0.0_port`, else
    keep it."""
    original_dst: bool = False
    """Listener filter `original_dst`: read SO_ORIGINAL_DST."""
    tls_inspector: bool = False
    http_inspector: bool = False
    proxy_protocol: bool = False
    """Listener filter `proxy_protocol`: connections begin with a PROXY header that says who the client is."""
    listener_filters_timeout: float = 15.0
    """Seconds to wait for enough bytes to tell the protocol; 0 waits for ever. Envoy's default is 15 s."""
    continue_on_listener_filters_timeout: bool = False
    """True: a silent client is treated as opaque when the timeout ends; False: it is closed."""


# --- clusters ---


class ClusterType(Enum):
    STATIC = "static"
    EDS = "eds"
    DNS = "dns"
    """STRICT_DNS, LOGICAL_DNS: the endpoints' addresses are names."""
    ORIGINAL_DST = "original_dst"
    """The endpoint is the connection's original destination."""


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """`UpstreamTlsContext` with identity from the sidecar's own agent."""

    sni: str = ""
    alpn_protocols: tuple[str, ...] = ()
    san_matchers: tuple[str, ...] = ()
    """URI SANs the server may have (cluster-wide); an endpoint's own `spiffe_id` is enforced besides."""
    max_session_keys: int | None = None
    """TLS sessions kept for resumption, at most; 0: none is resumed; None: as many as we like."""
    san_prefixes: tuple[str, ...] = ()
    """URI SAN prefixes the server may have, e.g. `("spiffe://cluster.local/",)`: whoever is of the mesh."""


@dataclass(frozen=True, slots=True)
class TransportSocketMatch:
    """First match whose `criteria` are all among the endpoint's `transport_socket_match` metadata wins."""

    name: str
    criteria: tuple[tuple[str, str], ...]
    tls: UpstreamTls | OriginTls | None
    """None is `raw_buffer`: plaintext."""


@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """Which Service a cluster stands for; from cluster metadata `meshproxy.io`, for metric labels."""

    host: str = "unknown"
    """`catalog.shop.svc.cluster.local`"""
    name: str = "unknown"
    namespace: str = "unknown"


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """Who runs at an address; from endpoint metadata `meshproxy.io`, peer metadata or the sidecar's own
    flags."""

    workload: str = "unknown"
    namespace: str = "unknown"
    app: str = "unknown"
    version: str = "unknown"
    service_account: str = "unknown"
    cluster: str = "unknown"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One `LbEndpoint`."""

    address: str
    port: int
    weight: int = 1
    healthy: bool = True
    """`health_status`; one that is not is used in panic only."""
    is_degraded: bool = False
    """`health_status` DEGRADED: used for what the others cannot take."""
    transport_socket_match: tuple[tuple[str, str], ...] = ()
    """Metadata `envoy.transport_socket_match`, sorted, e.g. `(("tlsMode", "mutual"),)`."""
    spiffe_id: str = ""
    """Metadata `meshproxy.io.spiffe_id`: the identity this endpoint must prove; empty when it is not
    meshed."""
    workload: WorkloadIdentity = field(default_factory=WorkloadIdentity)
    priority: int = 0
    """`LocalityLbEndpoints.priority`: 0 is used first."""
    locality: Locality = field(default_factory=Locality)
    locality_weight: int = 1
    """`LocalityLbEndpoints.load_balancing_weight`, the same for all of a locality and priority."""
    labels: tuple[tuple[str, str], ...] = ()
    """Metadata `envoy.lb` that subsets select by, sorted."""
    hash_key: str = ""
    """What consistent hashing knows it by; empty: `address:port`."""


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """`envoy.config.cluster.v3.OutlierDetection`. The defaults are Envoy's but for `enforcing_success_rate`:
    who translates sets it.

    `enforcing_…` is the percentage of due ejections of a kind that are carried out.
    """

    consecutive_5xx: int = 5
    """Failures in a row that eject an endpoint; 0 never does."""
    interval: float = 10.0
    """Seconds between looks at who may come back."""
    base_ejection_time: float = 30.0
    """Seconds of the first ejection; the next ones are as many times longer."""
    max_ejection_time: float = 300.0
    """Seconds no ejection exceeds; at least `base_ejection_time`."""
    max_ejection_percent: int = 10
    """Of the cluster's endpoints, how many may be ejected at once, rounded down."""
    always_eject_one_host: bool = False
    """One may be ejected whatever the percentage says: 10 % of three endpoints are none."""
    enforcing_consecutive_5xx: int = 100
    consecutive_gateway_failure: int = 5
    """502, 503, 504, and no answer (unless split), in a row; 0 never ejects."""
    enforcing_consecutive_gateway_failure: int = 0
    split_local_origin: bool = False
    """`split_external_local_origin_errors`: no answer (connection, timeout) is counted apart from answers."""
    consecutive_local_origin_failure: int = 5
    enforcing_consecutive_local_origin_failure: int = 100
    success_rate_minimum_hosts: int = 5
    """Endpoints with volume enough, below which rates are not compared."""
    success_rate_request_volume: int = 100
    """Requests in an interval, below which an endpoint's rate says nothing."""
    success_rate_stdev_factor: int = 1900
    """Thousandths of a standard deviation below the mean that are too few successes."""
    enforcing_success_rate: int = 0
    """Envoy's default is 100."""
    enforcing_local_origin_success_rate: int = 100
    failure_percentage_threshold: int = 85
    """Percentage of failures in an interval that ejects."""
    failure_percentage_minimum_hosts: int = 5
    failure_percentage_request_volume: int = 50
    enforcing_failure_percentage: int = 0
    enforcing_failure_percentage_local_origin: int = 0
    max_ejection_time_jitter: float = 0.0
    """Seconds at most added to an ejection, at random."""
    uneject_on_health_check: bool = True
    """`successful_active_health_check_uneject_host`."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """`envoy.config.cluster.v3.Cluster`."""

    name: str
    type: ClusterType
    eds_service_name: str = ""
    """Name of the ClusterLoadAssignment (`EdsClusterConfig.service_name`, else the cluster's name)."""
    endpoints: tuple[Endpoint, ...] = ()
    """Inline `load_assignment` (STATIC and DNS)."""
    connect_timeout: float = 5.0
    tls: UpstreamTls | OriginTls | None = None
    """`transport_socket` when no match of `transport_socket_matches` applies; None is plaintext."""
    transport_socket_matches: tuple[TransportSocketMatch, ...] = ()
    bind_address: str = ""
    """`upstream_bind_config.source_address`: 127.0.0.6 on inbound clusters."""
    bind_address_v6: str = ""
    """`extra_source_addresses`: `::6` on inbound clusters."""
    service: ServiceIdentity = field(default_factory=ServiceIdentity)
    max_connections: int = 1024
    max_pending_requests: int = 1024
    max_requests: int = 1024
    max_retries: int = 3
    """`circuit_breakers.thresholds` of the default priority; Envoy's defaults."""
    retry_budget: RetryBudgetSettings | None = None
    """In place of `max_retries`."""
    circuit_breaker: CircuitBreakerSettings | None = None
    """One for each endpoint; metadata `meshproxy.io.circuit_breaker`."""
    http2: bool = False
    """Its endpoints speak HTTP/2 (`HttpProtocolOptions.explicit_http_config.http2_protocol_options`)."""
    http2_alpn: tuple[str, ...] = ()
    """Offered to endpoints with TLS, which choose the version; HTTP/2's name first (`auto_config`). Empty:
    there is nothing to choose. Who does not ask for HTTP/2 says what `tls` says."""
    max_requests_per_connection: int = 0
    """After so many a connection is not used again; 0 is no limit, Envoy's default."""
    idle_timeout: float | None = None
    """Seconds a pooled connection may wait; 0 is for ever, None the pool's own default."""
    dns: DnsSettings | None = None
    """Set exactly for type DNS."""
    health_check: HealthCheck | None = None
    """None: no endpoint is asked how it is."""
    outlier_detection: OutlierDetection | None = None
    """None: no endpoint is ever ejected."""
    load_balancing: LoadBalancing = field(default_factory=LoadBalancing)
    """Of clusters whose type is not ORIGINAL_DST."""
    healthy_panic_threshold: float = 50.0
    """Percent of endpoints not ejected, below which all are used (`common_lb_config`); 0 disables. Envoy's
    default is 50."""
