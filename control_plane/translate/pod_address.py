"""Connections to the address of a pod (pure): mesh TLS to that pod; no route holds but headless Services'.

- A pod of the mesh, on any port: its bytes are relayed to it (`MeshPodCluster`). Who dials an address says
  nothing but the address, so any identity of the trust domain may answer there.
- A pod of a headless Service, on a port of it: a listener of its own, `10.244.0.7_3306`. Opaque bytes go to
  that pod, which must prove an identity of the Service. Requests are routed by Host among headless Services;
  any other Host means the pod itself.
- A port that a pod takes out of its interception is reached as it is.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.core.v3.address_pb2 import CidrRange
from control_plane.api.envoy.config.core.v3.base_pb2 import TransportSocket
from control_plane.api.envoy.config.listener.v3.listener_components_pb2 import FilterChain, FilterChainMatch
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.discovery.model import Endpoint, MeshPod, PortProtocol, ServicePort, ServiceView
from control_plane.resources.traffic_policy import TrafficPolicySpec
from control_plane.translate import names
from control_plane.translate.address_block import Block, blocks
from control_plane.translate.clusters import (
    CONNECT_TIMEOUT_SECONDS,
    finish,
    limits,
    service_identities,
    service_metadata,
)
from control_plane.translate.listeners import http_or_opaque, outbound_http, tcp_proxy, unbound
from control_plane.translate.settings import Client, MeshSettings, MtlsMode
from control_plane.translate.tls import upstream_socket, upstream_socket_of_anyone
from control_plane.translate.upstream_protocol import speak

OWN_PORTS = (15020, 15021, 15090)
"""Of every sidecar: metrics and readiness, in plaintext; never intercepted."""
WITHOUT_ENDPOINTS = {
    **dict.fromkeys(("load_balancer", "outlier_detection", "health_check", "circuit_breaker")),
    "subsets": (),
}
"""What a TrafficPolicy cannot say of a cluster without endpoints."""


# --- any pod of the mesh ------------------------------------------------------------------------------------


def pod_chains(pods: Iterable[MeshPod], settings: MeshSettings, *, any_port: bool) -> list[FilterChain]:
    """Chains for a listener that connections to pods reach; `any_port`: its connections are to any port."""
    if settings.mtls_mode is MtlsMode.DISABLE:
        return []
    intercepted = [pod.ip for pod in pods if pod.included_ports is None]
    if not intercepted:
        return []
    match = FilterChainMatch(prefix_ranges=[_range(block) for block in blocks(intercepted)])
    chains = [_chain("pods", names.POD_CLUSTER, match)]
    if any_port:
        for port in OWN_PORTS:
            chains.append(_chain(f"pods-{port}", names.PASSTHROUGH_CLUSTER, match, port))
    return chains


def _chain(name: str, cluster: str, match: FilterChainMatch, port: int | None = None) -> FilterChain:
    chain = FilterChain(name=name, filter_chain_match=match, filters=[tcp_proxy(cluster)])
    if port is not None:
        chain.filter_chain_match.destination_port.CopyFrom(UInt32Value(value=port))
    return chain


def _range(block: Block) -> CidrRange:
    return CidrRange(address_prefix=block.address, prefix_len=UInt32Value(value=block.length))


def exceptional_listeners(pods: Iterable[MeshPod], settings: MeshSettings) -> Iterator[Listener]:
    """Of pods that have only some of their ports intercepted, or all but some."""
    if settings.mtls_mode is MtlsMode.DISABLE:
        return
    for pod in pods:
        exceptions = pod.excluded_ports if pod.included_ports is None else pod.included_ports
        cluster = names.PASSTHROUGH_CLUSTER if pod.included_ports is None else names.POD_CLUSTER
        for port in sorted(exceptions):
            yield _tcp(pod.ip, port, cluster)


def pod_clusters(settings: MeshSettings, secrets_dir: str) -> tuple[Cluster, ...]:
    """To whoever is at the address that the client meant."""
    if settings.mtls_mode is MtlsMode.DISABLE:
        return ()
    anyone = f"spiffe://{settings.trust_domain}/"
    opaque = _by_address(names.POD_CLUSTER, upstream_socket_of_anyone(names.ALPN_TCP, anyone, secrets_dir))
    http = _by_address(
        names.POD_HTTP_CLUSTER, upstream_socket_of_anyone(names.ALPN_HTTP, anyone, secrets_dir)
    )
    speak(http, PortProtocol.HTTP)
    return opaque, http


# --- pods of a headless Service -----------------------------------------------------------------------------


def is_headless(view: ServiceView) -> bool:
    return not view.service.vip and not view.service.external_name


def headless_listeners(
    view: ServiceView, settings: MeshSettings, filters: Mapping[int, Collection[str]]
) -> Iterator[Listener]:
    """One for each address and port; `filters`: names of HTTP filters by port number."""
    for port, endpoints in zip(view.service.ports, view.endpoints, strict=True):
        for endpoint in endpoints:
            is_meshed = endpoint.is_meshed and settings.mtls_mode is not MtlsMode.DISABLE
            yield _headless_listener(view, port, endpoint, is_meshed, filters.get(port.number, ()))


def _headless_listener(
    view: ServiceView, port: ServicePort, endpoint: Endpoint, is_meshed: bool, filters: Collection[str]
) -> Listener:
    direct = names.direct_cluster(view.service.key, port.number) if is_meshed else names.PASSTHROUGH_CLUSTER
    if port.protocol is PortProtocol.TCP:
        return _tcp(endpoint.address, endpoint.port, direct)
    name = names.service_listener(endpoint.address, endpoint.port)
    listener = unbound(name, endpoint.address, endpoint.port)
    http = outbound_http(name, names.headless_table(port.number, is_meshed=is_meshed), filters)
    if port.protocol.is_http:
        listener.filter_chains.append(FilterChain(name="http", filters=[http]))
    else:
        http_or_opaque(listener, http, direct)
    return listener


def headless_clusters(
    view: ServiceView,
    settings: MeshSettings,
    client: Client,
    policies: Mapping[int, TrafficPolicySpec],
) -> Iterator[Cluster]:
    """For bytes that no request can be read from: to the pod whose address was dialled."""
    if settings.mtls_mode is MtlsMode.DISABLE:
        return
    key = view.service.key
    for port in view.service.ports:
        if port.protocol.is_http:
            continue
        socket = upstream_socket(
            names.sni(key, port.number),
            (names.ALPN_TCP,),
            service_identities(view, settings),
            client.secrets_dir,
        )
        cluster = _by_address(names.direct_cluster(key, port.number), socket)
        cluster.metadata.CopyFrom(service_metadata(key))
        spec = policies.get(port.number)
        if spec is not None:
            spec = spec.model_copy(update=WITHOUT_ENDPOINTS)
        finish(cluster, spec, names.fqdn(key), client)
        yield cluster


def headless_tables(view: ServiceView, settings: MeshSettings) -> frozenset[tuple[int, bool]]:
    """(port number, is meshed) of the route tables that `headless_listeners` refers to."""
    is_on = settings.mtls_mode is not MtlsMode.DISABLE
    return frozenset(
        (port.number, endpoint.is_meshed and is_on)
        for port, endpoints in zip(view.service.ports, view.endpoints, strict=True)
        for endpoint in endpoints
        if port.protocol is not PortProtocol.TCP
    )


def _tcp(address: str, port: int, cluster: str) -> Listener:
    listener = unbound(names.service_listener(address, port), address, port)
    listener.filter_chains.append(FilterChain(name="tcp", filters=[tcp_proxy(cluster)]))
    return listener


def _by_address(name: str, socket: TransportSocket) -> Cluster:
    return Cluster(
        name=name,
        type=Cluster.ORIGINAL_DST,
        lb_policy=Cluster.CLUSTER_PROVIDED,
        connect_timeout=Duration(seconds=CONNECT_TIMEOUT_SECONDS),
        circuit_breakers=limits(),
        transport_socket=socket,
    )
