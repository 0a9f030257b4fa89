"""Clusters (pure): one per Service port towards others, one per inbound port towards the local app, and the
fixed ones."""

from collections.abc import Iterable, Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from control_plane.api.envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection
from control_plane.api.envoy.config.core.v3.address_pb2 import BindConfig, ExtraSourceAddress, SocketAddress
from control_plane.api.envoy.config.core.v3.base_pb2 import Metadata, TransportSocket
from control_plane.api.envoy.type.v3.percent_pb2 import Percent
from control_plane.discovery.model import ObjectName, PortProtocol, ServicePort, ServiceView
from control_plane.resources.traffic_policy import TrafficPolicySpec
from control_plane.translate import names
from control_plane.translate.cluster_policy import apply_to_cluster, http_options
from control_plane.translate.endpoints import struct
from control_plane.translate.settings import Client, MeshSettings
from control_plane.translate.tls import ads_source, raw_buffer, upstream_socket
from control_plane.translate.upstream_protocol import ALPN, add_common, let_choose, speak, speaks_http

CONNECT_TIMEOUT_SECONDS = 5
INBOUND_SOURCE = "127.0.0.6"
"""The sidecar dials its app from here, so that the interception rules can tell these connections from the
app's own."""
INBOUND_SOURCE_V6 = "::6"

MAX_CONNECTIONS = 65_535
"""As many as one client address has ports towards one endpoint: in effect no limit until somebody sets
one."""
MAX_RETRIES = 1_024
"""Concurrent retries. Envoy's default of 3 would refuse most retries when a pod dies under load."""

CONSECUTIVE_5XX = 5
EJECTION_INTERVAL_SECONDS = 10
BASE_EJECTION_SECONDS = 30
MAX_EJECTION_SECONDS = 300
MAX_EJECTION_PERCENT = 10
PANIC_THRESHOLD_PERCENT = 50.0
"""All six are Envoy's defaults, sent so that no proxy has to know them."""

PortPolicies = Mapping[int, TrafficPolicySpec]
"""Effective TrafficPolicies by port number."""


def service_clusters(
    view: ServiceView, settings: MeshSettings, client: Client, policies: PortPolicies
) -> tuple[Cluster, ...]:
    """The clusters of every port of a Service; an undeclared port has one for HTTP and one for other
    bytes."""
    secrets_dir = client.secrets_dir
    identities = service_identities(view, settings)
    built = []
    for port in view.service.ports:
        http_name = names.outbound_cluster(view.service.key, port.number)
        both = [
            service_cluster(
                http_name,
                view,
                port,
                port.protocol,
                identities,
                secrets_dir,
                is_upgraded=_is_upgraded(port, policies.get(port.number), client),
            )
        ]
        if port.protocol is PortProtocol.UNDECLARED:
            opaque = names.opaque_cluster(view.service.key, port.number)
            both.append(service_cluster(opaque, view, port, PortProtocol.TCP, identities, secrets_dir))
        for cluster in both:
            finish(cluster, policies.get(port.number), names.fqdn(view.service.key), client)
        built += both
    return tuple(built)


def service_identities(view: ServiceView, settings: MeshSettings) -> list[str]:
    """SPIFFE ids of which a server of the Service must prove one."""
    # No meshed pod: nobody is trusted yet. The bare trust domain is an id that no workload can hold.
    return [settings.identity(*one) for one in view.identities] or [str(settings.trust_domain.spiffe_id)]


def finish(cluster: Cluster, policy: TrafficPolicySpec | None, host: str, client: Client) -> None:
    """What the policy changes on a cluster that has the defaults; `host` is asked for by health checks."""
    is_http = speaks_http(cluster)
    apply_to_cluster(cluster, policy, host=host, is_http=is_http, is_envoy=client.is_envoy)
    if is_http and (common := http_options(policy)) is not None:
        add_common(cluster, common)


def service_cluster(
    name: str,
    view: ServiceView,
    port: ServicePort,
    protocol: PortProtocol,
    identities: Iterable[str],
    secrets_dir: str,
    *,
    is_upgraded: bool = False,
) -> Cluster:
    """To the endpoints of a Service's port, by discovery; `protocol` is what is said to them, or HTTP/2
    instead of HTTP/1.1 by those of the mesh if it `is_upgraded`."""
    key = view.service.key
    alpn = names.ALPN_REQUESTS if is_upgraded else ALPN[protocol]
    tls = upstream_socket(names.sni(key, port.number), alpn, identities, secrets_dir)
    cluster = Cluster(
        name=name,
        type=Cluster.EDS,
        eds_cluster_config=Cluster.EdsClusterConfig(
            eds_config=ads_source(), service_name=names.outbound_cluster(key, port.number)
        ),
        connect_timeout=Duration(seconds=CONNECT_TIMEOUT_SECONDS),
        lb_policy=Cluster.ROUND_ROBIN,
        circuit_breakers=limits(),
        outlier_detection=_outlier_detection(),
        common_lb_config=Cluster.CommonLbConfig(
            healthy_panic_threshold=Percent(value=PANIC_THRESHOLD_PERCENT)
        ),
        metadata=service_metadata(key),
        transport_socket_matches=socket_matches(tls),
    )
    if is_upgraded:
        let_choose(cluster)
    else:
        speak(cluster, protocol)
    return cluster


def _is_upgraded(port: ServicePort, policy: TrafficPolicySpec | None, client: Client) -> bool:
    """Envoy takes no `auto_config` for a cluster that has endpoints without TLS."""
    is_wanted = policy is not None and policy.h2_upgrade_policy == "Upgrade"
    return is_wanted and not client.is_envoy and port.protocol in (PortProtocol.HTTP, PortProtocol.UNDECLARED)


def socket_matches(tls: TransportSocket) -> list[Cluster.TransportSocketMatch]:
    """Mesh TLS to endpoints that have it, plaintext to the others."""
    mutual = struct({names.TLS_MODE_KEY: names.TLS_MODE_MUTUAL})
    return [
        Cluster.TransportSocketMatch(name="tlsMode-mutual", match=mutual, transport_socket=tls),
        Cluster.TransportSocketMatch(
            name="tlsMode-disabled", match=struct({}), transport_socket=raw_buffer()
        ),
    ]


def inbound_cluster(port: int, service: ObjectName, protocol: PortProtocol) -> Cluster:
    """To the local app on `port`; `service` names it in metrics."""
    cluster = _to_local_app(names.inbound_cluster(port))
    if protocol is PortProtocol.HTTP2:
        speak(cluster, protocol)
    cluster.metadata.CopyFrom(service_metadata(service))
    return cluster


def fixed_clusters() -> tuple[Cluster, ...]:
    """Those every node has: unknown destinations outbound and inbound, and the place for what is refused."""
    passthrough = Cluster(
        name=names.PASSTHROUGH_CLUSTER,
        type=Cluster.ORIGINAL_DST,
        lb_policy=Cluster.CLUSTER_PROVIDED,
        connect_timeout=Duration(seconds=CONNECT_TIMEOUT_SECONDS),
        circuit_breakers=limits(),
    )
    speak(passthrough, PortProtocol.HTTP)
    black_hole = Cluster(
        name=names.BLACK_HOLE_CLUSTER,
        type=Cluster.STATIC,
        connect_timeout=Duration(seconds=CONNECT_TIMEOUT_SECONDS),
    )
    return passthrough, _to_local_app(names.INBOUND_PASSTHROUGH_CLUSTER), black_hole


def _to_local_app(name: str) -> Cluster:
    """Dial the address the caller meant, from an address that is not intercepted again."""
    cluster = Cluster(
        name=name,
        type=Cluster.ORIGINAL_DST,
        lb_policy=Cluster.CLUSTER_PROVIDED,
        connect_timeout=Duration(seconds=CONNECT_TIMEOUT_SECONDS),
        circuit_breakers=limits(),
        upstream_bind_config=BindConfig(
            source_address=SocketAddress(address=INBOUND_SOURCE, port_value=0),
            extra_source_addresses=[
                ExtraSourceAddress(address=SocketAddress(address=INBOUND_SOURCE_V6, port_value=0))
            ],
        ),
    )
    speak(cluster, PortProtocol.HTTP)
    return cluster


def limits() -> CircuitBreakers:
    """In effect none, until a policy sets one."""
    return CircuitBreakers(
        thresholds=[
            CircuitBreakers.Thresholds(
                max_connections=UInt32Value(value=MAX_CONNECTIONS),
                max_pending_requests=UInt32Value(value=MAX_CONNECTIONS),
                max_requests=UInt32Value(value=MAX_CONNECTIONS),
                max_retries=UInt32Value(value=MAX_RETRIES),
            )
        ]
    )


def _outlier_detection() -> OutlierDetection:
    """Consecutive failures only. Services are small: one endpoint may always be ejected, and to compare
    success rates, which Envoy does by default, there are too few of them."""
    return OutlierDetection(
        consecutive_5xx=UInt32Value(value=CONSECUTIVE_5XX),
        interval=Duration(seconds=EJECTION_INTERVAL_SECONDS),
        base_ejection_time=Duration(seconds=BASE_EJECTION_SECONDS),
        max_ejection_time=Duration(seconds=MAX_EJECTION_SECONDS),
        max_ejection_percent=UInt32Value(value=MAX_EJECTION_PERCENT),
        always_eject_one_host=BoolValue(value=True),
        enforcing_success_rate=UInt32Value(value=0),
    )


def service_metadata(service: ObjectName) -> Metadata:
    """What metrics say of the Service that a cluster stands for."""
    labels = {
        "service_host": names.fqdn(service),
        "service_name": service.name,
        "service_namespace": service.namespace,
    }
    return Metadata(filter_metadata={names.LABEL_METADATA: struct(labels)})
