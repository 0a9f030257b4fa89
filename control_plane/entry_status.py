"""Writes back to ServiceEntries what became of them: `status.conditions`.

`Accepted` is False when all its hosts are held by others; `Conflicted` is there, and True, when any is.
"""

from collections.abc import Callable

from control_plane.discovery.entry import Lost, ServiceEntry, lost, service_entry
from control_plane.discovery.registry import Registry
from control_plane.resources.manifest import Manifest, ObjectKey, section
from control_plane.resources.service_entry import ServiceEntry as Resource
from control_plane.resources.status_condition import dated, undated
from control_plane.resources.timestamp import rfc3339
from control_plane.status_write import write_back
from control_plane.store.api import ObjectStore

_MAX_NAMED = 8
"""Conflicts a message spells out."""


async def write_entry_status(
    key: ObjectKey, registry: Registry, store: ObjectStore, now: Callable[[], float]
) -> bool:
    """Bring the stored status of one entry up to date; False when it changed meanwhile and must be tried
    again. `now`: seconds since the epoch."""
    return await write_back(key, store, lambda stored: entry_with_status(stored, registry, now))


def entry_with_status(stored: Manifest, registry: Registry, now: Callable[[], float]) -> Manifest | None:
    """The object with its new status; None when it says the same already, or when the registry knows another
    version, which will come here too."""
    entry = service_entry(Resource.read(stored))
    if registry.entry(entry.key) != entry:
        return None
    vips = (view.service.vip for view in registry.views.values())
    found = lost(entry, registry.entries, filter(None, vips))
    status = section(stored, "status")
    conditions = dated(_told(entry, found), status, entry.generation, rfc3339(now()))
    new = {**status, "conditions": conditions, "observedGeneration": entry.generation}
    return None if new == status else {**stored, "status": new}


def _told(entry: ServiceEntry, found: tuple[Lost, ...]) -> list[Manifest]:
    wanted = {f"host {host} port {port.number}" for host in entry.spec.hosts for port in entry.spec.ports}
    if not found:
        return [undated("Accepted", True, "Accepted", "every host and address of the entry is its own")]
    text = "; ".join(f"{one.wanted}: held by {one.holder}" for one in found[:_MAX_NAMED])
    if len(found) > _MAX_NAMED:
        text += f"; and {len(found) - _MAX_NAMED} more"
    conflict = undated("Conflicted", True, "Conflicted", text)
    if wanted <= {one.wanted for one in found}:
        return [undated("Accepted", False, "Conflicted", f"nothing of the entry holds: {text}"), conflict]
    return [undated("Accepted", True, "Accepted", "the entry holds but for its conflicts"), conflict]
