"""Services and EndpointSlices as the node's tables: VIP ports for the packet filter, names for DNS (pure)."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address

from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.service import HEADLESS, Service
from lab.service_vip import ServicePort, TransportProtocol

_PROTOCOLS = {"TCP": TransportProtocol.TCP, "UDP": TransportProtocol.UDP}


def vip_ports(services: Iterable[Service], slices: Iterable[EndpointSlice]) -> list[ServicePort]:
    """One entry for each port of each Service that has a ClusterIP."""
    ready = _slices_by_service(slices)
    found = []
    for service in services:
        if not _has_address(service):
            continue
        key = (service.metadata.namespace, service.metadata.name)
        for port in service.spec.ports:
            if port.protocol in _PROTOCOLS:
                found.append(
                    ServicePort(
                        name=f"{'/'.join(key)}:{port.name or port.port}",
                        address=IPv4Address(service.spec.cluster_ip),
                        port=port.port,
                        endpoints=_endpoints(ready.get(key, []), port.name or ""),
                        protocol=_PROTOCOLS[port.protocol],
                    )
                )
    return found


def dns_names(
    services: Iterable[Service], slices: Iterable[EndpointSlice]
) -> Mapping[tuple[str, str], list[IPv4Address]]:
    """(namespace, name) → the ClusterIP, or the ready endpoints of a headless Service, and each of these that
    has a host name (`db-0.db`)."""
    ready = _slices_by_service(slices)
    names: dict[tuple[str, str], list[IPv4Address]] = {}
    for service in services:
        key = (service.metadata.namespace, service.metadata.name)
        if _has_address(service):
            names[key] = [IPv4Address(service.spec.cluster_ip)]
        elif service.spec.cluster_ip == HEADLESS:
            names[key] = sorted({address for found in ready.get(key, []) for address in _addresses(found)})
            for host, addresses in _host_names(ready.get(key, [])).items():
                names[key[0], f"{host}.{key[1]}"] = sorted(addresses)
    return names


def external_names(services: Iterable[Service]) -> Mapping[tuple[str, str], str]:
    """(namespace, name) → the external name of Services that have one."""
    return {
        (service.metadata.namespace, service.metadata.name): service.spec.external_name
        for service in services
        if service.spec.external_name is not None
    }


def _host_names(slices: Iterable[EndpointSlice]) -> Mapping[str, set[IPv4Address]]:
    found: dict[str, set[IPv4Address]] = {}
    for entry in slices:
        for endpoint in entry.endpoints:
            if endpoint.hostname is not None and endpoint.is_ready:
                found.setdefault(endpoint.hostname, set()).add(IPv4Address(endpoint.addresses[0]))
    return found


def _has_address(service: Service) -> bool:
    return service.spec.cluster_ip not in ("", HEADLESS)


def _slices_by_service(slices: Iterable[EndpointSlice]) -> dict[tuple[str, str], list[EndpointSlice]]:
    found: dict[tuple[str, str], list[EndpointSlice]] = {}
    for entry in slices:
        if entry.address_type == "IPv4" and entry.service_name:
            found.setdefault((entry.metadata.namespace, entry.service_name), []).append(entry)
    return found


def _endpoints(slices: Iterable[EndpointSlice], port_name: str) -> tuple[tuple[IPv4Address, int], ...]:
    return tuple(
        sorted(
            {
                (address, port.port)
                for entry in slices
                for port in entry.ports
                if port.name == port_name and port.port is not None
                for address in _addresses(entry)
            }
        )
    )


def _addresses(entry: EndpointSlice) -> list[IPv4Address]:
    return [IPv4Address(endpoint.addresses[0]) for endpoint in entry.endpoints if endpoint.is_ready]
