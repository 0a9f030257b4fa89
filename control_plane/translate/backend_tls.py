"""BackendTLSPolicy (pure): TLS from gateways to the pods of a Service, who prove a name.

The pods end TLS themselves, so that mesh TLS has no place on those ports; who they are is told by the
policy's authorities and names, never by nobody: without usable authorities the Service has no way in.
"""

from __future__ import annotations

from collections.abc import Iterator

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.core.v3.base_pb2 import DataSource, TransportSocket
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsParameters,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    UpstreamTlsContext,
)
from control_plane.api.envoy.type.matcher.v3.string_pb2 import StringMatcher
from control_plane.attachment.backend_tls import authorities_of, policy_for
from control_plane.attachment.support import Problem
from control_plane.discovery.gateway import BackendTls
from control_plane.discovery.model import PortProtocol, ServicePort
from control_plane.discovery.registry import Registry
from control_plane.policy.effective import by_port, traffic_policies
from control_plane.translate import clusters, names
from control_plane.translate.service_entry import SYSTEM_ROOTS
from control_plane.translate.settings import MeshSettings, Node
from control_plane.translate.tls import packed


def backend_tls_clusters(registry: Registry, settings: MeshSettings, node: Node) -> Iterator[Cluster]:
    """Clusters that policies change, whole: they take the place of those of the same name."""
    if not registry.gateways.backend_tls:
        return
    for key in sorted(registry.views):
        view = registry.views[key]
        held = {
            names.outbound_cluster(key, port.number): (policy, port)
            for port in view.service.ports
            if (policy := policy_for(view.service, port, registry)) is not None
        }
        if not held:
            continue
        effective = by_port(traffic_policies(registry.policies, view.service), view.service)
        effective = {
            # The servers themselves answer, not sidecars, and what they speak is declared.
            number: spec.model_copy(update={"h2_upgrade_policy": None})
            for number, spec in effective.items()
        }
        for cluster in clusters.service_clusters(view, settings, node.client, effective):
            if cluster.name in held:
                yield _secured(cluster, *held[cluster.name], registry)


def _secured(cluster: Cluster, policy: BackendTls, port: ServicePort, registry: Registry) -> Cluster:
    del cluster.transport_socket_matches[:]
    authorities = authorities_of(policy, registry)
    if isinstance(authorities, Problem):
        # Nobody to trust: no endpoint, so that every request is answered 503.
        return Cluster(name=cluster.name, type=Cluster.STATIC, connect_timeout=cluster.connect_timeout)
    alpn = "h2" if port.protocol is PortProtocol.HTTP2 else "http/1.1"
    cluster.transport_socket.CopyFrom(_socket(policy, authorities, alpn))
    return cluster


def _socket(policy: BackendTls, authorities: str, alpn: str) -> TransportSocket:
    wanted = policy.spec.validation
    matchers = [
        _matcher(SubjectAltNameMatcher.DNS, name.hostname)
        if name.hostname is not None
        else _matcher(SubjectAltNameMatcher.URI, name.uri or "")
        for name in wanted.subject_alt_names
    ] or [_matcher(SubjectAltNameMatcher.DNS, wanted.hostname)]
    trusted = DataSource(inline_string=authorities) if authorities else DataSource(filename=SYSTEM_ROOTS)
    context = UpstreamTlsContext(
        sni=wanted.hostname,
        common_tls_context=CommonTlsContext(
            # Stock Envoy offers at most TLS 1.2 as a client unless it is told otherwise.
            tls_params=TlsParameters(
                tls_minimum_protocol_version=TlsParameters.TLSv1_2,
                tls_maximum_protocol_version=TlsParameters.TLSv1_3,
            ),
            alpn_protocols=[alpn],
            validation_context=CertificateValidationContext(
                trusted_ca=trusted, match_typed_subject_alt_names=matchers
            ),
        ),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def _matcher(kind: SubjectAltNameMatcher.SanType, name: str) -> SubjectAltNameMatcher:
    return SubjectAltNameMatcher(san_type=kind, matcher=StringMatcher(exact=name))
