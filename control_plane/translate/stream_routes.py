"""TCPRoutes and TLSRoutes as the listener of a Service's address and port (pure).

A share that cannot be sent anywhere goes to a cluster that is never defined: its connections are closed. A
TLSRoute never decrypts: the server name of the ClientHello picks the chain, and what names no listed one is
closed.
"""

from google.protobuf.message import Message

from control_plane.api.envoy.config.listener.v3.listener_components_pb2 import (
    Filter,
    FilterChain,
    FilterChainMatch,
)
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from control_plane.attachment.backend import KnownObjects, backend_port, is_resolved
from control_plane.discovery.model import PortProtocol, Service, ServicePort
from control_plane.discovery.route import Backend, StreamRoute
from control_plane.translate import names
from control_plane.translate.listeners import add_detection, unbound
from control_plane.translate.tls import packed


def routed_listener(
    service: Service, port: ServicePort, routes: tuple[StreamRoute, ...], known: KnownObjects
) -> Listener:
    """`routes` are those that hold on the port, all of one kind: one TCPRoute, or any number of TLSRoutes."""
    listener = unbound(names.service_listener(service.vip, port.number), service.vip, port.number)
    if routes[0].kind == "TCPRoute":
        listener.filter_chains.append(FilterChain(name="tcp", filters=[stream_proxy(routes[0], known)]))
        return listener
    add_detection(listener, http=False)
    taken: set[str] = set()
    for route in sorted(routes, key=lambda route: (route.created_at, route.key)):
        hostnames = [name for name in route.hostnames if name not in taken]
        taken.update(hostnames)
        if hostnames:
            match = FilterChainMatch(transport_protocol="tls", server_names=hostnames)
            chain = FilterChain(
                name=f"tls-{route.key}", filter_chain_match=match, filters=[stream_proxy(route, known)]
            )
            listener.filter_chains.append(chain)
    return listener


def stream_proxy(route: StreamRoute, known: KnownObjects) -> Filter:
    """The connections of a route, shared out by weight."""
    proxy = TcpProxy(stat_prefix=f"{route.kind.lower()}.{route.key}")
    shares = [
        (_cluster(backend, route, known), backend.weight) for backend in route.backends if backend.weight
    ]
    if len(shares) == 1:
        proxy.cluster = shares[0][0]
    elif shares:
        weighted = [
            TcpProxy.WeightedCluster.ClusterWeight(name=name, weight=weight) for name, weight in shares
        ]
        proxy.weighted_clusters.CopyFrom(TcpProxy.WeightedCluster(clusters=weighted))
    else:
        proxy.cluster = names.BLACK_HOLE_CLUSTER
    return _filter(proxy)


def _filter(proxy: Message) -> Filter:
    return Filter(name="envoy.filters.network.tcp_proxy", typed_config=packed(proxy))


def _cluster(backend: Backend, route: StreamRoute, known: KnownObjects) -> str:
    """The cluster for opaque bytes, or one that does not exist."""
    ref = backend.ref
    port = backend_port(ref, known)
    if port is None or not is_resolved(ref, route.kind, known):
        return names.missing_backend(ref.key, ref.port)
    if port.protocol is PortProtocol.UNDECLARED:
        return names.opaque_cluster(ref.key, port.number)
    return names.outbound_cluster(ref.key, port.number)
