"""ServiceEntries as clusters, endpoints, virtual hosts and listeners (pure).

Every port of every host is a cluster of its own, `outbound|443||api.example.com`. Endpoints travel inside the
cluster: they are the user's words, not discovered. Without any, resolution DNS asks for the host itself.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from google.protobuf.duration_pb2 import Duration

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.core.v3.base_pb2 import DataSource, Metadata, TransportSocket
from control_plane.api.envoy.config.endpoint.v3 import endpoint_components_pb2 as components
from control_plane.api.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from control_plane.api.envoy.config.listener.v3.listener_components_pb2 import FilterChain, FilterChainMatch
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.config.route.v3.route_components_pb2 import VirtualHost
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    UpstreamTlsContext,
)
from control_plane.api.envoy.type.matcher.v3.string_pb2 import StringMatcher
from control_plane.discovery.entry import EntryHost
from control_plane.discovery.model import PortProtocol, Workload
from control_plane.resources.service_entry import EntryEndpoint, EntryTls
from control_plane.translate import names
from control_plane.translate.amount import count
from control_plane.translate.clusters import (
    CONNECT_TIMEOUT_SECONDS,
    limits,
    socket_matches,
)
from control_plane.translate.endpoints import socket_address, struct
from control_plane.translate.listeners import (
    add_detection,
    tcp_proxy,
    tcp_proxy_listener,
    unbound,
    unknown_cluster,
)
from control_plane.translate.routes import default_route
from control_plane.translate.settings import Client, MeshSettings, MtlsMode, OutboundTrafficPolicy
from control_plane.translate.tls import packed, upstream_socket
from control_plane.translate.upstream_protocol import speak

SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
"""The certificate authorities of the machine: for hosts that are not of the mesh."""
HTTP = "HTTP"
TLS = "TLS"
_TYPES = {"STATIC": Cluster.STATIC, "DNS": Cluster.STRICT_DNS, "NONE": Cluster.ORIGINAL_DST}


class Pods(Protocol):
    """Where the endpoints of entries inside the mesh are looked up."""

    def workload_at(self, ip: str) -> Workload | None: ...


def is_inside(one: EntryHost) -> bool:
    return one.spec.location == "MESH_INTERNAL"


def pods_of(one: EntryHost, pods: Pods) -> tuple[Workload | None, ...]:
    """Of an entry inside the mesh: the pods at its endpoints' addresses; what its cluster depends on."""
    return (
        tuple(pods.workload_at(endpoint.address) for endpoint in one.spec.endpoints) if is_inside(one) else ()
    )


def entry_cluster(one: EntryHost, pods: Pods, settings: MeshSettings, client: Client) -> Cluster:
    inside = is_inside(one) and settings.mtls_mode is not MtlsMode.DISABLE
    identities = [_identity(one, endpoint, pods, settings) if inside else "" for endpoint in _endpoints(one)]
    cluster = Cluster(
        name=one.cluster,
        type=_TYPES[one.spec.resolution],
        connect_timeout=Duration(seconds=CONNECT_TIMEOUT_SECONDS),
        circuit_breakers=limits(),
        metadata=Metadata(filter_metadata={names.LABEL_METADATA: struct(_labels(one))}),
    )
    if one.spec.resolution == "NONE":
        cluster.lb_policy = Cluster.CLUSTER_PROVIDED
    else:
        cluster.lb_policy = Cluster.ROUND_ROBIN
        cluster.load_assignment.CopyFrom(_assignment(one, identities))
    if one.spec.resolution == "DNS":
        cluster.dns_lookup_family = Cluster.V4_PREFERRED
        cluster.respect_dns_ttl = True
    if one.port.tls is not None:
        cluster.transport_socket.CopyFrom(_tls(one.host, one.port.tls))
    if any(identities):
        alpn = (names.ALPN_HTTP if one.port.protocol == HTTP else names.ALPN_TCP,)
        known = sorted(set(filter(None, identities)))
        cluster.transport_socket_matches.extend(
            socket_matches(upstream_socket(_sni(one), alpn, known, client.secrets_dir))
        )
    if one.port.protocol == HTTP:
        speak(cluster, PortProtocol.HTTP)
    return cluster


def _labels(one: EntryHost) -> dict[str, str]:
    return {"service_host": one.host, "service_name": one.host}


def _sni(one: EntryHost) -> str:
    return f"outbound_.{one.port.number}_._.{one.host.removeprefix('*.')}"


def _endpoints(one: EntryHost) -> tuple[EntryEndpoint, ...]:
    if one.spec.resolution == "NONE":
        return ()
    return one.spec.endpoints or (EntryEndpoint(address=one.host),)


def _identity(one: EntryHost, endpoint: EntryEndpoint, pods: Pods, settings: MeshSettings) -> str:
    """Who must answer there; empty: whatever it is, it does not speak mesh TLS."""
    if endpoint.service_account is not None:
        return settings.identity(one.key.namespace, endpoint.service_account)
    pod = pods.workload_at(endpoint.address)
    port = endpoint.ports.get(one.port.name, one.port.target_port or one.port.number)
    return settings.identity_of(pod) if pod is not None and pod.wants_tls(port) else ""


def _metadata(identity: str) -> Metadata | None:
    if not identity:
        return None
    mutual = struct({names.TLS_MODE_KEY: names.TLS_MODE_MUTUAL})
    labels = struct({"spiffe_id": identity})
    return Metadata(filter_metadata={names.SOCKET_MATCH_METADATA: mutual, names.LABEL_METADATA: labels})


def _assignment(one: EntryHost, identities: list[str]) -> ClusterLoadAssignment:
    port = one.port
    hosts = [
        components.LbEndpoint(
            endpoint=components.Endpoint(
                address=socket_address(
                    endpoint.address, endpoint.ports.get(port.name, port.target_port or port.number)
                )
            ),
            load_balancing_weight=count(endpoint.weight),
            metadata=_metadata(identity),
        )
        for endpoint, identity in zip(_endpoints(one), identities, strict=True)
    ]
    group = components.LocalityLbEndpoints(lb_endpoints=hosts)
    return ClusterLoadAssignment(cluster_name=one.cluster, endpoints=[group])


def _tls(host: str, tls: EntryTls) -> TransportSocket:
    sni = tls.sni or host
    accepted = tls.subject_alt_names or (sni,)
    matchers = [
        SubjectAltNameMatcher(san_type=SubjectAltNameMatcher.DNS, matcher=StringMatcher(exact=name))
        for name in accepted
    ]
    validation = CertificateValidationContext(
        trusted_ca=DataSource(filename=SYSTEM_ROOTS), match_typed_subject_alt_names=matchers
    )
    context = UpstreamTlsContext(sni=sni, common_tls_context=CommonTlsContext(validation_context=validation))
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def entry_virtual_host(one: EntryHost, client: Client) -> VirtualHost:
    """For an HTTP port: by the host, and by the entry's addresses when it has one host only."""
    number = one.port.number
    known = [one.host, *(one.spec.addresses if len(one.spec.hosts) == 1 else ())]
    written = [f"[{name}]" if ":" in name else name for name in known]
    return VirtualHost(
        name=f"{one.host}:{number}",
        domains=[form for name in written for form in (name, f"{name}:{number}")],
        routes=[default_route(one.cluster, client)],
    )


def entry_listeners(hosts: Iterable[EntryHost]) -> Iterator[Listener]:
    """For ports that are not HTTP: by virtual address. The first host of an entry stands for all."""
    taken = set()
    for one in hosts:
        if one.port.protocol == HTTP:
            continue
        for address in one.spec.addresses:
            name = names.service_listener(address, one.port.number)
            if name not in taken:
                taken.add(name)
                yield tcp_proxy_listener(address, one.port.number, one.cluster)


def server_names(hosts: Iterable[EntryHost]) -> dict[int, tuple[EntryHost, ...]]:
    """Hosts whose TLS is told by the server name, by port number."""
    found: dict[int, tuple[EntryHost, ...]] = {}
    for one in hosts:
        if one.port.protocol == TLS:
            found[one.port.number] = (*found.get(one.port.number, ()), one)
    return found


def server_name_chains(hosts: Iterable[EntryHost], policy: OutboundTrafficPolicy) -> list[FilterChain]:
    """One for each host, and one for TLS with any other server."""
    chains = [_tls_chain(f"tls-{one.host}", one.cluster, one.host) for one in hosts]
    return [*chains, _tls_chain("tls-unknown", unknown_cluster(policy))]


def _tls_chain(name: str, cluster: str, *hosts: str) -> FilterChain:
    match = FilterChainMatch(transport_protocol="tls", server_names=hosts)
    return FilterChain(name=name, filter_chain_match=match, filters=[tcp_proxy(cluster)])


def server_name_listener(
    port: int, hosts: Iterable[EntryHost], policy: OutboundTrafficPolicy, pods: Iterable[FilterChain]
) -> Listener:
    """A port on which no Service declares HTTP. `pods`: chains of pods that are dialled by address."""
    listener = unbound(names.wildcard_listener(port), "0.0.0.0", port)
    add_detection(listener, http=False)
    listener.filter_chains.extend(server_name_chains(hosts, policy))
    listener.filter_chains.extend(pods)
    unknown = FilterChain(name="unknown", filters=[tcp_proxy(unknown_cluster(policy))])
    listener.default_filter_chain.CopyFrom(unknown)
    return listener
