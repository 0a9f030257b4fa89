"""The cluster's zone from Services and EndpointSlices (pure), by Kubernetes' DNS specification 1.1.

A and AAAA of Services, of the pods behind headless ones and of those by their host names; SRV of named ports;
PTR of ClusterIPs and of the pods of headless Services; CNAME of ExternalName Services. What needs no object
(`10-244-0-3.shop.pod`, `dns-version`) `lab/dns.py` answers by itself. A Service may ask for pods that are not
ready to be published: their slices then call them ready.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from control_plane.resources.endpoint_slice import Endpoint, EndpointSlice
from control_plane.resources.service import HEADLESS, Service
from lab.addressing import Address
from lab.dns import CLUSTER_DOMAIN, DnsTable, ServiceRecord

_SliceMap = defaultdict[tuple[str, str], list[EndpointSlice]]


@dataclass(slots=True)
class _Zone:
    """Being filled. Names are relative to nothing: whole, in lower case, without the last dot."""

    domain: str
    addresses: defaultdict[str, dict[Address, None]]
    services: defaultdict[str, dict[ServiceRecord, None]]
    pointers: defaultdict[str, dict[str, None]]
    aliases: dict[str, str]

    def add_address(self, name: str, address: Address, *, is_pointed_at: bool) -> None:
        self.addresses[name][address] = None
        if is_pointed_at:
            self.pointers[address.reverse_pointer][name] = None


def cluster_zone(
    services: Iterable[Service], slices: Iterable[EndpointSlice], domain: str = CLUSTER_DOMAIN
) -> DnsTable:
    """Everything that the cluster's DNS knows."""
    of_service: _SliceMap = defaultdict(list)
    for entry in slices:
        of_service[entry.metadata.namespace, entry.service_name].append(entry)
    zone = _Zone(domain, defaultdict(dict), defaultdict(dict), defaultdict(dict), {})
    for service in services:
        key = (service.metadata.namespace, service.metadata.name)
        name = f"{key[1]}.{key[0]}.svc.{domain}".lower()
        if service.spec.external_name is not None:
            zone.aliases[name] = service.spec.external_name.lower().removesuffix(".")
        elif service.spec.cluster_ip == HEADLESS:
            _add_headless(zone, name, of_service.get(key, []))
        else:
            _add_virtual(zone, name, service)
    return DnsTable.made(
        domain,
        {name: tuple(found) for name, found in zone.addresses.items()},
        zone.aliases,
        {name: tuple(found) for name, found in zone.services.items()},
        {name: tuple(found) for name, found in zone.pointers.items()},
    )


def _add_virtual(zone: _Zone, name: str, service: Service) -> None:
    spec = service.spec
    zone.addresses.setdefault(name, {})  # a Service without an address yet exists all the same
    for text in dict.fromkeys(filter(None, (spec.cluster_ip, *spec.cluster_ips))):
        zone.add_address(name, ip_address(text), is_pointed_at=True)
    for port in spec.ports:
        if port.name:
            record = ServiceRecord(port.port, name)
            zone.services[f"_{port.name}._{port.protocol}.{name}".lower()][record] = None


def _add_headless(zone: _Zone, name: str, slices: Iterable[EndpointSlice]) -> None:
    zone.addresses.setdefault(name, {})  # without pods it has no address, but exists
    for entry, endpoint, address in _ready(slices):
        own = f"{endpoint.hostname or _dashed(address)}.{name}".lower()
        zone.addresses[name][address] = None
        zone.add_address(own, address, is_pointed_at=True)
        for port in entry.ports:
            if port.name and port.port is not None:
                record = ServiceRecord(port.port, own)
                zone.services[f"_{port.name}._{port.protocol}.{name}".lower()][record] = None


def _ready(slices: Iterable[EndpointSlice]) -> Iterator[tuple[EndpointSlice, Endpoint, Address]]:
    found = [
        (entry, endpoint, ip_address(endpoint.addresses[0]))
        for entry in slices
        for endpoint in entry.endpoints
        if endpoint.is_ready
    ]
    yield from sorted(found, key=lambda one: (one[2].version, int(one[2])))


def _dashed(address: Address) -> str:
    """What CoreDNS calls an endpoint that has no host name."""
    return str(address).replace(".", "-").replace(":", "-")
