"""ServiceEntries as clusters, endpoints, virtual hosts and listeners (pure).

Every port of every host is a cluster of its own, `outbound|443||api.example.com`. Endpoints travel inside the
cluster: they are the user's words, not discovered. Without any, resolution DNS asks for the host itself.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.core.v3.base_pb2 import DataSource, Metadata, TransportSocket
from control_plane.api.envoy.config.endpoint.v3 import endpoint_components_pb2 as components
from control_plane.api.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
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
from control_plane.discovery.entry import ServiceEntry
from control_plane.resources.service_entry import EntryEndpoint, EntryPort, EntryTls, ServiceEntrySpec
from control_plane.translate import names
from control_plane.translate.amount import count
from control_plane.translate.clusters import CONNECT_TIMEOUT_SECONDS, limits, speak_http1
from control_plane.translate.endpoints import socket_address, struct
from control_plane.translate.listeners import tcp_proxy_listener
from control_plane.translate.routes import default_route
from control_plane.translate.settings import Client
from control_plane.translate.tls import packed

SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
"""The certificate authorities of the machine: for hosts that are not of the mesh."""
HTTP = "HTTP"
_TYPES = {"STATIC": Cluster.STATIC, "DNS": Cluster.STRICT_DNS, "NONE": Cluster.ORIGINAL_DST}


class EntryHost(NamedTuple):
    """One host and port of one entry."""

    host: str
    port: EntryPort
    spec: ServiceEntrySpec

    @property
    def cluster(self) -> str:
        return f"outbound|{self.port.number}||{self.host}"


def entry_hosts(entries: Iterable[ServiceEntry]) -> tuple[EntryHost, ...]:
    """Every host and port once: that of the first entry which has it."""
    found: dict[tuple[str, int], EntryHost] = {}
    for entry in entries:
        for host in entry.spec.hosts:
            for port in entry.spec.ports:
                found.setdefault((host, port.number), EntryHost(host, port, entry.spec))
    return tuple(found.values())


def entry_cluster(one: EntryHost) -> Cluster:
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
        cluster.load_assignment.CopyFrom(_assignment(one))
    if one.spec.resolution == "DNS":
        cluster.dns_lookup_family = Cluster.V4_PREFERRED
        cluster.respect_dns_ttl = True
    if one.port.tls is not None:
        cluster.transport_socket.CopyFrom(_tls(one.host, one.port.tls))
    if one.port.protocol == HTTP:
        speak_http1(cluster)
    return cluster


def _labels(one: EntryHost) -> dict[str, str]:
    return {"service_host": one.host, "service_name": one.host}


def _assignment(one: EntryHost) -> ClusterLoadAssignment:
    endpoints = one.spec.endpoints or (EntryEndpoint(address=one.host),)
    port = one.port
    hosts = [
        components.LbEndpoint(
            endpoint=components.Endpoint(
                address=socket_address(
                    endpoint.address, endpoint.ports.get(port.name, port.target_port or port.number)
                )
            ),
            load_balancing_weight=count(endpoint.weight),
        )
        for endpoint in endpoints
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
