"""ClusterLoadAssignments (pure): the ready endpoints of a Service port, with what clients must know of
each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from google.protobuf.struct_pb2 import Struct

from control_plane.api.envoy.config.core.v3.address_pb2 import Address, SocketAddress
from control_plane.api.envoy.config.core.v3.base_pb2 import Metadata
from control_plane.api.envoy.config.core.v3.health_check_pb2 import HealthStatus
from control_plane.api.envoy.config.endpoint.v3 import endpoint_components_pb2 as components
from control_plane.api.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from control_plane.discovery.model import NOWHERE, Endpoint, Locality, ServiceView, Workload
from control_plane.resources.locality import LocalityBalancing
from control_plane.translate import names
from control_plane.translate.locality import grouped
from control_plane.translate.settings import MeshSettings, MtlsMode


@dataclass(frozen=True, slots=True)
class Placing:
    """What endpoints are to clients of one place."""

    client: Locality = NOWHERE
    clients: Mapping[Locality, int] = field(default_factory=dict)
    """How many pods of the mesh each place has."""
    balancing: Mapping[int, LocalityBalancing] = field(default_factory=dict)
    """By port number."""

    @property
    def heeds_clients(self) -> bool:
        return any(one.zone_aware is not None for one in self.balancing.values())


_ANYWHERE = Placing()
_NO_SUBSETS: Mapping[int, frozenset[str]] = MappingProxyType({})
MESH_CLUSTER_ID = "Kubernetes"
"""Metric label `destination_cluster`; Istio's default name for the one cluster there is."""


def load_assignments(
    view: ServiceView,
    settings: MeshSettings,
    subset_keys: Mapping[int, frozenset[str]] = _NO_SUBSETS,
    placing: Placing = _ANYWHERE,
) -> tuple[ClusterLoadAssignment, ...]:
    """One per Service port, also when it has no endpoint: the answer is then "none", not silence.

    None of another name for a host elsewhere. `subset_keys`: by port number, labels that subsets are chosen
    by.
    """
    if view.service.external_name:
        return ()
    return tuple(
        _load_assignment(
            names.outbound_cluster(view.service.key, port.number),
            endpoints,
            settings,
            subset_keys.get(port.number, frozenset()),
            placing,
            placing.balancing.get(port.number),
        )
        for port, endpoints in zip(view.service.ports, view.endpoints, strict=True)
    )


def socket_address(address: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(address=address, port_value=port))


def _load_assignment(
    name: str,
    endpoints: tuple[Endpoint, ...],
    settings: MeshSettings,
    subset_keys: frozenset[str],
    placing: Placing,
    balancing: LocalityBalancing | None,
) -> ClusterLoadAssignment:
    hosts = [(endpoint.locality, _host(endpoint, settings, subset_keys)) for endpoint in endpoints]
    groups = grouped(hosts, balancing, placing.client, placing.clients)
    return ClusterLoadAssignment(cluster_name=name, endpoints=groups)


def _host(endpoint: Endpoint, settings: MeshSettings, subset_keys: frozenset[str]) -> components.LbEndpoint:
    return components.LbEndpoint(
        endpoint=components.Endpoint(address=socket_address(endpoint.address, endpoint.port)),
        health_status=HealthStatus.HEALTHY,
        metadata=_metadata(endpoint, settings, subset_keys),
    )


def _metadata(endpoint: Endpoint, settings: MeshSettings, subset_keys: frozenset[str]) -> Metadata | None:
    if endpoint.workload is None:
        return None
    labels = _labels(endpoint.workload)
    found = Metadata()
    if endpoint.is_meshed and settings.mtls_mode is not MtlsMode.DISABLE:
        labels["spiffe_id"] = settings.identity_of(endpoint.workload)
        found.filter_metadata[names.SOCKET_MATCH_METADATA].update({names.TLS_MODE_KEY: names.TLS_MODE_MUTUAL})
    found.filter_metadata[names.LABEL_METADATA].CopyFrom(struct(labels))
    if chosen_by := {key: value for key, value in endpoint.workload.labels if key in subset_keys}:
        found.filter_metadata[names.SUBSET_METADATA].CopyFrom(struct(chosen_by))
    return found


def _labels(workload: Workload) -> dict[str, str]:
    return {
        "app": workload.app,
        "cluster": MESH_CLUSTER_ID,
        "namespace": workload.key.namespace,
        "service_account": workload.service_account,
        "version": workload.version,
        "workload": workload.owner,
    }


def struct(values: dict[str, str]) -> Struct:
    """`values` without the empty ones."""
    built = Struct()
    built.update({key: value for key, value in values.items() if value})
    return built
