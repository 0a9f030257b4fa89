"""ServiceEntries as the mesh understands them (pure)."""

from dataclasses import dataclass

from control_plane.discovery.model import ObjectName
from control_plane.resources.service_entry import ServiceEntry as ServiceEntryResource
from control_plane.resources.service_entry import ServiceEntrySpec


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """Hosts that no Service stands for."""

    key: ObjectName
    created_at: str
    spec: ServiceEntrySpec


def service_entry(resource: ServiceEntryResource) -> ServiceEntry:
    meta = resource.metadata
    return ServiceEntry(ObjectName(meta.namespace, meta.name), meta.creation_timestamp, resource.spec)
