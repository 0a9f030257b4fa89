"""What a sidecar's resolver knows (pure): every Service and every host outside that has addresses.

The message is Istio's `NameTable`. A Service without addresses is in it all the same: that it exists must be
known, or the resolver would deny it; what it stands for is the cluster DNS's to say.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address

from control_plane.api.istio.networking.nds.v1.nds_pb2 import NameTable
from control_plane.discovery.entry import ServiceEntry
from control_plane.discovery.model import ObjectName, ServiceView
from control_plane.translate import names

KUBERNETES = "Kubernetes"
EXTERNAL = "External"


def name_table(views: Mapping[ObjectName, ServiceView], entries: Iterable[ServiceEntry]) -> NameTable:
    """`entries` oldest first: of two with one host the first holds, and a Service before both."""
    table = NameTable()
    for key in sorted(views):
        for host, name, addresses in _of_service(views[key], views):
            info = table.table[host]
            info.ips.extend(addresses)
            info.registry, info.shortname, info.namespace = KUBERNETES, name, key.namespace
    for entry in entries:
        addresses = _of_entry(entry)
        for host in entry.spec.hosts:
            if addresses and host not in table.table:
                table.table[host].ips.extend(addresses)
                table.table[host].registry = EXTERNAL
    return table


def depends_on(
    views: Mapping[ObjectName, ServiceView], entries: Iterable[ServiceEntry]
) -> tuple[object, ...]:
    """Everything the table is made from: endpoints only of headless Services."""
    return (*map(_dependence, views.values()), *entries)


def _dependence(view: ServiceView) -> object:
    return view if view.pod_addresses else view.service


def _of_service(
    view: ServiceView, views: Mapping[ObjectName, ServiceView]
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(host, short name, addresses) of the Service, and of its pods that have host names."""
    key, host = view.service.key, names.fqdn(view.service.key)
    if view.service.external_name:
        target = names.service_named(view.service.external_name)
        found = None if target is None else views.get(target)
        yield host, key.name, () if found is None else addresses_of(found)
        return
    yield host, key.name, addresses_of(view)
    by_name: dict[str, list[str]] = {}
    for hostname, address in view.pod_addresses:
        if hostname:
            by_name.setdefault(hostname, []).append(address)
    for hostname, addresses in by_name.items():
        yield f"{hostname}.{host}", key.name, tuple(addresses)


def addresses_of(view: ServiceView) -> tuple[str, ...]:
    """Virtual addresses, or those of the ready pods of a headless Service, each once."""
    return view.service.vips or tuple(dict.fromkeys(address for _, address in view.pod_addresses))


def _of_entry(entry: ServiceEntry) -> tuple[str, ...]:
    """Its virtual addresses. Without any, those of its endpoints: no other DNS need know the host."""
    spec = entry.spec
    if spec.addresses or spec.resolution != "STATIC":
        return tuple(spec.addresses)
    return tuple(endpoint.address for endpoint in spec.endpoints if _is_address(endpoint.address))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
