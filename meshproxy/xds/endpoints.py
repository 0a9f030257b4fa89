"""ClusterLoadAssignment -> endpoints (pure)."""

from __future__ import annotations

import re
from ipaddress import ip_address

from google.protobuf.struct_pb2 import Struct

from certs.errors import SpiffeIdError
from certs.spiffe_id import SpiffeId
from control_plane.api.envoy.config.core.v3.address_pb2 import Address, SocketAddress
from control_plane.api.envoy.config.core.v3.base_pb2 import Metadata
from control_plane.api.envoy.config.core.v3.health_check_pb2 import HealthStatus
from control_plane.api.envoy.config.endpoint.v3.endpoint_components_pb2 import (
    LbEndpoint,
    LocalityLbEndpoints,
)
from control_plane.api.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from meshproxy.config.load_balancing import Locality
from meshproxy.config.model import Endpoint, WorkloadIdentity
from meshproxy.errors import ConfigError
from meshproxy.steps import Steps, finished
from meshproxy.xds.strict import number_or, require

SOCKET_MATCH_KEY = "envoy.transport_socket_match"
MESH_KEY = "meshproxy.io"
"""Filter metadata of other names belongs to others and is passed over, as Envoy does."""

_MAX_WEIGHT = 1 << 31
_NOWHERE = Locality()
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
_LONGEST_NAME = 253
_WELL = (HealthStatus.UNKNOWN, HealthStatus.HEALTHY, HealthStatus.DEGRADED)
SUBSET_KEY = "envoy.lb"
_MAX_PRIORITY = 128
"""Envoy's bound of `LocalityLbEndpoints.priority`."""


def translate_endpoints(
    assignment: ClusterLoadAssignment, path: str, *, has_names: bool = False
) -> tuple[Endpoint, ...]:
    """Endpoints in the order given. With `has_names` addresses may be host names. Raises ConfigError."""
    return finished(translating_endpoints(assignment, path, has_names=has_names))


def translating_endpoints(
    assignment: ClusterLoadAssignment, path: str, *, has_names: bool = False
) -> Steps[tuple[Endpoint, ...]]:
    """The same, pausing after each endpoint."""
    endpoints = []
    for outer, group in enumerate(assignment.endpoints):
        where = f"{path}.endpoints[{outer}]"
        known = group.locality
        locality = (
            Locality(known.region, known.zone, known.sub_zone) if group.HasField("locality") else _NOWHERE
        )
        require(group.priority <= _MAX_PRIORITY, f"{where}.priority", f"{group.priority} is above 128")
        for inner, item in enumerate(group.lb_endpoints):
            place = f"{where}.lb_endpoints[{inner}]"
            host, port = _place_of(item, f"{place}.endpoint.address", has_names=has_names)
            endpoints.append(_endpoint(item, host, port, group, locality, place))
            yield
    _check_priorities(endpoints, path)
    return tuple(endpoints)


def _check_priorities(endpoints: list[Endpoint], path: str) -> None:
    """A locality of a priority has one weight."""
    weights: dict[tuple[int, Locality], int] = {}
    for one in endpoints:
        weight = weights.setdefault((one.priority, one.locality), one.locality_weight)
        require(
            weight == one.locality_weight, f"{path}.endpoints", "a locality has two load_balancing_weights"
        )


def host_and_port(address: Address, path: str) -> tuple[str, int]:
    """An IP address with its port. Raises ConfigError."""
    require(address.HasField("socket_address"), path, "a socket_address is needed")
    return socket_host_and_port(address.socket_address, f"{path}.socket_address")


def socket_host_and_port(address: SocketAddress, path: str) -> tuple[str, int]:
    """An IP address with its port, which may be 0. Raises ConfigError."""
    try:
        host = str(ip_address(address.address))
    except ValueError as error:
        raise ConfigError(f"{path}.address: {address.address!r} is not an IP address") from error
    require(address.port_value <= 65535, f"{path}.port_value", f"{address.port_value} is above 65535")
    return host, address.port_value


def text_values(struct: Struct, path: str) -> dict[str, str]:
    """A Struct all of whose values are text. Raises ConfigError."""
    for key, value in struct.fields.items():
        require(value.WhichOneof("kind") == "string_value", f"{path}[{key!r}]", "must be a string")
    return {key: value.string_value for key, value in struct.fields.items()}


def metadata_of(metadata: Metadata, key: str, path: str) -> dict[str, str]:
    """One part of filter metadata; empty when it is absent. Raises ConfigError."""
    if key not in metadata.filter_metadata:
        return {}
    return text_values(metadata.filter_metadata[key], f"{path}.metadata.filter_metadata[{key!r}]")


def _place_of(item: LbEndpoint, path: str, *, has_names: bool) -> tuple[str, int]:
    address = item.endpoint.address
    if has_names and address.HasField("socket_address"):
        host, port = host_name_and_port(address.socket_address, f"{path}.socket_address")
    else:
        host, port = host_and_port(address, path)
    require(port > 0, path, "the port must not be 0")
    return host, port


def host_name_and_port(address: SocketAddress, path: str) -> tuple[str, int]:
    """An IP address or a host name, with a port. Raises ConfigError."""
    host = address.address
    if _HOST_NAME.fullmatch(host) is None or len(host) > _LONGEST_NAME:
        return socket_host_and_port(address, path)
    require(address.port_value <= 65535, f"{path}.port_value", f"{address.port_value} is above 65535")
    return host, address.port_value


def _endpoint(
    item: LbEndpoint, host: str, port: int, group: LocalityLbEndpoints, locality: Locality, path: str
) -> Endpoint:
    weight = number_or(item, "load_balancing_weight", 1)
    require(1 <= weight < _MAX_WEIGHT, f"{path}.load_balancing_weight", f"{weight} is not from 1 to 2^31-1")
    labels = metadata_of(item.metadata, MESH_KEY, path)
    match = metadata_of(item.metadata, SOCKET_MATCH_KEY, path)
    return Endpoint(
        address=host,
        port=port,
        weight=weight,
        healthy=item.health_status in _WELL,
        is_degraded=item.health_status == HealthStatus.DEGRADED,
        transport_socket_match=tuple(sorted(match.items())),
        spiffe_id=_spiffe_id(labels.get("spiffe_id", ""), path),
        workload=_workload(labels),
        priority=group.priority,
        locality=locality,
        locality_weight=group.load_balancing_weight.value,
        labels=tuple(sorted(metadata_of(item.metadata, SUBSET_KEY, path).items())),
    )


def _spiffe_id(text: str, path: str) -> str:
    if not text:
        return ""
    try:
        return str(SpiffeId.parse(text))
    except SpiffeIdError as error:
        raise ConfigError(f"{path}.metadata.filter_metadata[{MESH_KEY!r}].spiffe_id: {error}") from error


def _workload(labels: dict[str, str]) -> WorkloadIdentity:
    known = ("workload", "namespace", "app", "version", "service_account", "cluster")
    return WorkloadIdentity(**{key: labels[key] for key in known if labels.get(key)})
