"""Services and EndpointSlices as the packet filter's table of virtual addresses (pure)."""

from collections.abc import Iterable
from ipaddress import ip_address

from control_plane.resources import service as resource
from control_plane.resources.endpoint_slice import Endpoint, EndpointSlice
from control_plane.resources.service import Service
from lab.addressing import Address
from lab.service_vip import Endpoints, ServicePort, TransportProtocol

_PROTOCOLS = {"TCP": TransportProtocol.TCP, "UDP": TransportProtocol.UDP}
_FAMILIES = {4: "IPv4", 6: "IPv6"}


def vip_ports(
    services: Iterable[Service], slices: Iterable[EndpointSlice], node: str = ""
) -> list[ServicePort]:
    """One entry for each port at each ClusterIP of each Service. `node`: whose table it is, for policies that
    keep traffic on a node."""
    slices = list(slices)
    by_version = {version: _slices_by_service(slices, family) for version, family in _FAMILIES.items()}
    found = []
    for service in services:
        key = (service.metadata.namespace, service.metadata.name)
        for address in map(ip_address, service.spec.addresses):
            near = by_version[address.version].get(key, [])
            found += [
                _vip_port(service, port, address, near, node)
                for port in service.spec.ports
                if port.protocol in _PROTOCOLS
            ]
    return found


def _vip_port(
    service: Service, port: resource.ServicePort, address: Address, slices: list[EndpointSlice], node: str
) -> ServicePort:
    spec = service.spec
    endpoints = _endpoints(slices, port.name or "")
    local = _endpoints(slices, port.name or "", node)
    return ServicePort(
        name=f"{service.metadata.namespace}/{service.metadata.name}:{port.name or port.port}",
        address=address,
        port=port.port,
        endpoints=endpoints,
        protocol=_PROTOCOLS[port.protocol],
        node_port=port.node_port or 0,
        affinity_seconds=spec.affinity_seconds,
        internal=local if spec.internal_traffic_policy == "Local" else None,
        external=local if spec.external_traffic_policy == "Local" else None,
    )


def _slices_by_service(
    slices: Iterable[EndpointSlice], family: str = "IPv4"
) -> dict[tuple[str, str], list[EndpointSlice]]:
    found: dict[tuple[str, str], list[EndpointSlice]] = {}
    for entry in slices:
        if entry.address_type == family and entry.service_name:
            found.setdefault((entry.metadata.namespace, entry.service_name), []).append(entry)
    return found


def _endpoints(slices: Iterable[EndpointSlice], port_name: str, node: str | None = None) -> Endpoints:
    """Of a port: who is ready (on `node`), or who leaves and still answers where nobody is."""
    ready: set[tuple[Address, int]] = set()
    leaving: set[tuple[Address, int]] = set()
    for entry in slices:
        numbers = [port.port for port in entry.ports if port.name == port_name and port.port is not None]
        for endpoint in entry.endpoints:
            if node is not None and endpoint.node_name != node:
                continue
            group = ready if endpoint.is_ready else leaving if _is_leaving(endpoint) else None
            if group is not None:
                group.update((ip_address(endpoint.addresses[0]), number) for number in numbers)
    return tuple(sorted(ready or leaving, key=str))


def _is_leaving(endpoint: Endpoint) -> bool:
    """As kube-proxy: terminating endpoints that serve are better than none."""
    return bool(endpoint.conditions.terminating and endpoint.conditions.serving)
