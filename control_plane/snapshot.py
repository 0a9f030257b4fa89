"""Everything one node should have, at one version (pure): what discovery produces and the ADS server sends.

Versions are hashes of content: the same resources have the same version after a restart of the control plane,
and a snapshot that changes nothing causes no push. A snapshot is published whole or not at all: `problems()`
names every reference that would be left dangling.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from google.protobuf.any_pb2 import Any as AnyMessage

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from control_plane.api.envoy.config.listener.v3.listener_components_pb2 import FilterChain
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from control_plane.api.istio.networking.nds.v1.nds_pb2 import NameTable

_PREFIX = "type.googleapis.com/"
LISTENER_TYPE = _PREFIX + Listener.DESCRIPTOR.full_name
ROUTE_TYPE = _PREFIX + RouteConfiguration.DESCRIPTOR.full_name
CLUSTER_TYPE = _PREFIX + Cluster.DESCRIPTOR.full_name
ENDPOINT_TYPE = _PREFIX + ClusterLoadAssignment.DESCRIPTOR.full_name
SECRET_TYPE = _PREFIX + Secret.DESCRIPTOR.full_name
NAME_TABLE_TYPE = _PREFIX + NameTable.DESCRIPTOR.full_name
NAME_TABLE = "name_table"
"""What the one resource of that type is called here; the message carries no name."""

SHORT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        CLUSTER_TYPE: "cds",
        ENDPOINT_TYPE: "eds",
        LISTENER_TYPE: "lds",
        ROUTE_TYPE: "rds",
        SECRET_TYPE: "sds",
        NAME_TABLE_TYPE: "nds",
    }
)
"""Type URL -> the name people know, in the order in which a push sends them."""

XdsResource = Listener | RouteConfiguration | Cluster | ClusterLoadAssignment | Secret | NameTable
Resources = Mapping[str, "Resource"]
"""Resources of one type by name."""

NO_RESOURCES: Resources = MappingProxyType({})
_VERSION_LENGTH = 16
"""Hex digits kept of a SHA-256: 64 bits, plenty against accidental collisions among one node's versions."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One named resource, serialised once and shared between all nodes that get it."""

    type_url: str
    name: str
    version: str
    """Hash of the serialised message."""
    body: AnyMessage = field(compare=False, repr=False)
    """As it travels; never mutated."""
    references: frozenset[str] = frozenset()
    """Names of the RouteConfigurations (of a listener) or ClusterLoadAssignments (of a cluster) it needs."""


class InconsistentSnapshot(ValueError):
    """A snapshot was refused: it refers to what it does not contain, or names one thing twice."""


def resource_of(message: XdsResource) -> Resource:
    """Wrap `message`; its later mutation has no effect."""
    value = message.SerializeToString(deterministic=True)
    type_url = _PREFIX + message.DESCRIPTOR.full_name
    return Resource(
        type_url=type_url,
        name=_name(message),
        version=hashlib.sha256(value).hexdigest()[:_VERSION_LENGTH],
        body=AnyMessage(type_url=type_url, value=value),
        references=frozenset(_references(message)),
    )


def _name(message: XdsResource) -> str:
    if isinstance(message, NameTable):
        return NAME_TABLE
    return message.cluster_name if isinstance(message, ClusterLoadAssignment) else message.name


def version_of(resources: Resources) -> str:
    """Version of a set of resources: equal sets have equal versions, whatever order they were built in."""
    digest = hashlib.sha256()
    for name in sorted(resources):
        digest.update(f"{name}\0{resources[name].version}\n".encode())
    return digest.hexdigest()[:_VERSION_LENGTH]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Resources by type URL and name. Build it with `Snapshot.of`."""

    resources: Mapping[str, Resources] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Snapshot:
        """Group `resources`. Raises InconsistentSnapshot for two of one type and name."""
        grouped: dict[str, dict[str, Resource]] = {type_url: {} for type_url in SHORT_NAMES}
        for resource in resources:
            same_type = grouped[resource.type_url]
            if resource.name in same_type:
                kind = SHORT_NAMES[resource.type_url]
                raise InconsistentSnapshot(f"{kind} resource {resource.name!r} is given twice")
            same_type[resource.name] = resource
        return cls(MappingProxyType({key: MappingProxyType(value) for key, value in grouped.items()}))

    @classmethod
    def of_messages(cls, messages: Iterable[XdsResource]) -> Snapshot:
        """Like `of`, from protobuf messages."""
        return cls.of(resource_of(message) for message in messages)

    def of_type(self, type_url: str) -> Resources:
        """Resources of one type by name; empty for a type that is not there."""
        return self.resources.get(type_url, NO_RESOURCES)

    def version(self, type_url: str) -> str:
        """Version of all resources of one type."""
        return version_of(self.of_type(type_url))

    def problems(self) -> list[str]:
        """Every dangling reference, in words; empty when the snapshot may be published."""
        return [*self._dangling(LISTENER_TYPE, ROUTE_TYPE), *self._dangling(CLUSTER_TYPE, ENDPOINT_TYPE)]

    def consistent(self) -> bool:
        """Whether every reference is met."""
        return not self.problems()

    def _dangling(self, parent: str, child: str) -> Iterator[str]:
        known = self.of_type(child)
        for resource in self.of_type(parent).values():
            # Not a set difference: with a keys view on its right that walks every known name.
            for name in sorted(name for name in resource.references if name not in known):
                yield f"{SHORT_NAMES[parent]} {resource.name!r} needs {SHORT_NAMES[child]} {name!r}"


def _references(message: XdsResource) -> Iterator[str]:
    if isinstance(message, Cluster):
        if message.type == Cluster.EDS:
            yield message.eds_cluster_config.service_name or message.name
    elif isinstance(message, Listener):
        for chain in (*message.filter_chains, message.default_filter_chain):
            yield from _route_names(chain)


def _route_names(chain: FilterChain) -> Iterator[str]:
    for network_filter in chain.filters:
        manager = hcm_pb2.HttpConnectionManager()
        if network_filter.typed_config.Unpack(manager) and manager.HasField("rds"):
            yield manager.rds.route_config_name
