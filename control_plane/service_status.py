"""Tells a Service when another one has declared its pods' port differently: `status.conditions`."""

from collections.abc import Callable

from control_plane.attachment.port_conflict import PortConflict, port_conflicts
from control_plane.discovery.model import ObjectName
from control_plane.discovery.registry import Registry
from control_plane.resources.manifest import Manifest, ObjectKey, objects, section
from control_plane.resources.status_condition import dated, undated
from control_plane.resources.timestamp import rfc3339
from control_plane.status_write import write_back
from control_plane.store.api import ObjectStore

CONFLICT = "meshproxy.io/Conflicted"


async def write_service_status(
    key: ObjectKey, registry: Registry, store: ObjectStore, now: Callable[[], float]
) -> bool:
    """Bring the condition of one Service up to date; False when it changed meanwhile and must be tried
    again. `now`: seconds since the epoch."""
    return await write_back(key, store, lambda stored: service_with_status(stored, registry, now))


def service_with_status(stored: Manifest, registry: Registry, now: Callable[[], float]) -> Manifest | None:
    """The object with its new status; None when it says the same already."""
    metadata, status = section(stored, "metadata"), section(stored, "status")
    view = registry.views.get(ObjectName(str(metadata["namespace"]), str(metadata["name"])))
    if view is None:
        return None
    found = port_conflicts(view, registry.beside(view))
    conditions = objects(status, "conditions")
    before = next((one for one in conditions if one.get("type") == CONFLICT), None)
    message = "; ".join(map(_told, found))
    if (before or {}).get("message", "") == message:
        return None
    kept = [one for one in conditions if one.get("type") != CONFLICT]
    if found:
        conflict = undated(CONFLICT, True, "PortConflict", message)
        generation = metadata.get("generation")
        told = dated([conflict], status, generation if isinstance(generation, int) else 0, rfc3339(now()))
        kept.extend(told)
    return {**stored, "status": {**status, "conditions": kept}}


def _told(conflict: PortConflict) -> str:
    return (
        f"spec.ports: port {conflict.port.number} declares {conflict.port.protocol.value}, but port "
        f"{conflict.target} of its pods is {conflict.held_as.value} by Service {conflict.holder.key}, "
        "which is older"
    )
