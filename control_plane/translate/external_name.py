"""Services of type ExternalName as clusters (pure): another name for a host, or for a Service of the mesh.

Only ports that declare HTTP are told apart, by Host: the Service has no address, and its clients connect to
that of the host. The Host stays as the client wrote it.
"""

from collections.abc import Iterator, Mapping

from google.protobuf.duration_pb2 import Duration

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.endpoint.v3 import endpoint_components_pb2 as components
from control_plane.api.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from control_plane.discovery.model import Service, ServicePort, ServiceView
from control_plane.resources.traffic_policy import TrafficPolicySpec
from control_plane.translate import names
from control_plane.translate.clusters import (
    CONNECT_TIMEOUT_SECONDS,
    finish,
    limits,
    service_cluster,
    service_identities,
    service_metadata,
)
from control_plane.translate.endpoints import socket_address
from control_plane.translate.settings import Client, MeshSettings
from control_plane.translate.upstream_protocol import speak


def external_clusters(
    service: Service,
    alias: ServiceView | None,
    settings: MeshSettings,
    client: Client,
    policies: Mapping[int, TrafficPolicySpec],
) -> Iterator[Cluster]:
    """One for each port; `alias` is the Service of the mesh that the external name is."""
    for port in service.ports:
        cluster = _through(service, port, alias, settings, client) if alias else None
        cluster = cluster or _to_host(service, port)
        finish(cluster, policies.get(port.number), service.external_name, client)
        yield cluster


def _through(
    service: Service, port: ServicePort, alias: ServiceView, settings: MeshSettings, client: Client
) -> Cluster | None:
    """Under its own name, with the endpoints and identities of the other; None if that lacks the port."""
    own = next((one for one in alias.service.ports if one.number == port.number), None)
    if own is None:
        return None
    name = names.outbound_cluster(service.key, port.number)
    identities = service_identities(alias, settings)
    return service_cluster(name, alias, own, port.protocol, identities, client.secrets_dir)


def _to_host(service: Service, port: ServicePort) -> Cluster:
    name = names.outbound_cluster(service.key, port.number)
    target = port.target if isinstance(port.target, int) else port.number
    endpoint = components.Endpoint(address=socket_address(service.external_name, target))
    group = components.LocalityLbEndpoints(lb_endpoints=[components.LbEndpoint(endpoint=endpoint)])
    cluster = Cluster(
        name=name,
        type=Cluster.STRICT_DNS,
        connect_timeout=Duration(seconds=CONNECT_TIMEOUT_SECONDS),
        lb_policy=Cluster.ROUND_ROBIN,
        circuit_breakers=limits(),
        metadata=service_metadata(service.key),
        load_assignment=ClusterLoadAssignment(cluster_name=name, endpoints=[group]),
        dns_lookup_family=Cluster.V4_PREFERRED,
        respect_dns_ttl=True,
    )
    speak(cluster, port.protocol)
    return cluster
