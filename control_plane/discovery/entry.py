"""ServiceEntries as the mesh understands them (pure): which entry holds which host, and what others lost."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from control_plane.discovery.model import ObjectName
from control_plane.resources.service_entry import EntryPort, ServiceEntrySpec
from control_plane.resources.service_entry import ServiceEntry as ServiceEntryResource


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """Hosts that no Service stands for."""

    key: ObjectName
    created_at: str
    spec: ServiceEntrySpec
    generation: int = 0


class EntryHost(NamedTuple):
    """One host and port of one entry."""

    host: str
    port: EntryPort
    spec: ServiceEntrySpec
    key: ObjectName

    @property
    def cluster(self) -> str:
        return f"outbound|{self.port.number}||{self.host}"


class Lost(NamedTuple):
    """What an entry asks for and another object holds."""

    wanted: str
    holder: str


def service_entry(resource: ServiceEntryResource) -> ServiceEntry:
    meta = resource.metadata
    key = ObjectName(meta.namespace, meta.name)
    return ServiceEntry(key, meta.creation_timestamp, resource.spec, meta.generation)


def entry_hosts(entries: Iterable[ServiceEntry]) -> tuple[EntryHost, ...]:
    """Every host and port once: that of the first entry which has it."""
    found: dict[tuple[str, int], EntryHost] = {}
    for entry in entries:
        for host in entry.spec.hosts:
            for port in entry.spec.ports:
                found.setdefault((host, port.number), EntryHost(host, port, entry.spec, entry.key))
    return tuple(found.values())


def rivals(entry: ServiceEntry, entries: Iterable[ServiceEntry]) -> frozenset[ObjectName]:
    """Entries that ask for something the entry asks for, itself among them."""
    hosts, addresses = set(entry.spec.hosts), set(entry.spec.addresses)
    return frozenset({entry.key}) | {
        one.key
        for one in entries
        if not hosts.isdisjoint(one.spec.hosts) or not addresses.isdisjoint(one.spec.addresses)
    }


def lost(entry: ServiceEntry, entries: Iterable[ServiceEntry], vips: Iterable[str]) -> tuple[Lost, ...]:
    """`entries`: all, oldest first; `vips`: addresses of Services, which come before those of entries."""
    found = []
    of_services = set(vips)
    for address in entry.spec.addresses:
        if address in of_services:
            found.append(Lost(f"address {address}", "a Service"))
    for other in entries:
        if other.key == entry.key:
            break
        ports = {port.number for port in other.spec.ports}
        shared = sorted(port.number for port in entry.spec.ports if port.number in ports)
        names = [f"host {host}" for host in entry.spec.hosts if host in other.spec.hosts]
        names += [f"address {one}" for one in entry.spec.addresses if one in other.spec.addresses]
        found += [
            Lost(f"{name} port {port}", f"ServiceEntry {other.key}") for name in names for port in shared
        ]
    return tuple(found)
