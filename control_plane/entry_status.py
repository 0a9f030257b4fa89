"""Writes back to ServiceEntries what became of them: `status.conditions`.

`Accepted` is False when all its hosts are held by others; `Conflicted` is there, and True, when any is.
"""

import logging
from collections.abc import Callable

from control_plane.discovery.entry import Lost, ServiceEntry, lost, service_entry
from control_plane.discovery.registry import Registry
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest, ObjectKey, section
from control_plane.resources.service_entry import ServiceEntry as Resource
from control_plane.resources.timestamp import rfc3339
from control_plane.store.api import ObjectNotFound, Store, VersionConflict

_log = logging.getLogger(__name__)
_MAX_NAMED = 8
"""Conflicts a message spells out."""


async def write_entry_status(
    key: ObjectKey, registry: Registry, store: Store, now: Callable[[], float]
) -> bool:
    """Bring the stored status of one entry up to date; False when it changed meanwhile and must be tried
    again. `now`: seconds since the epoch."""
    try:
        stored = await store.get(*key)
        updated = entry_with_status(stored, registry, now)
        if updated is not None:
            await store.update_status(updated)
    except VersionConflict:
        return False
    except ObjectNotFound:
        _log.debug("status: %s is gone", key)
    except InvalidResource as error:
        _log.error("status: %s", error)
    return True


def entry_with_status(stored: Manifest, registry: Registry, now: Callable[[], float]) -> Manifest | None:
    """The object with its new status; None when it says the same already, or when the registry knows another
    version, which will come here too."""
    entry = service_entry(Resource.parse(stored))
    if registry.entry(entry.key) != entry:
        return None
    vips = (view.service.vip for view in registry.views.values())
    found = lost(entry, registry.entries, filter(None, vips))
    status = section(stored, "status")
    listed = status.get("conditions")
    before = {one["type"]: one for one in listed} if isinstance(listed, list) else {}
    conditions = [
        _condition(kind, is_so, reason, message, before.get(kind, {}), entry.generation, now)
        for kind, is_so, reason, message in _told(entry, found)
    ]
    new = {**status, "conditions": conditions, "observedGeneration": entry.generation}
    return None if new == status else {**stored, "status": new}


def _told(entry: ServiceEntry, found: tuple[Lost, ...]) -> list[tuple[str, bool, str, str]]:
    wanted = {f"host {host} port {port.number}" for host in entry.spec.hosts for port in entry.spec.ports}
    if not found:
        return [("Accepted", True, "Accepted", "every host and address of the entry is its own")]
    text = "; ".join(f"{one.wanted}: held by {one.holder}" for one in found[:_MAX_NAMED])
    if len(found) > _MAX_NAMED:
        text += f"; and {len(found) - _MAX_NAMED} more"
    conflict = ("Conflicted", True, "Conflicted", text)
    if wanted <= {one.wanted for one in found}:
        return [("Accepted", False, "Conflicted", f"nothing of the entry holds: {text}"), conflict]
    return [("Accepted", True, "Accepted", "the entry holds but for its conflicts"), conflict]


def _condition(
    kind: str,
    is_so: bool,
    reason: str,
    message: str,
    before: Manifest,
    generation: int,
    now: Callable[[], float],
) -> Manifest:
    since = before.get("lastTransitionTime") if before.get("status") == str(is_so) else None
    return {
        "type": kind,
        "status": str(is_so),
        "observedGeneration": generation,
        "lastTransitionTime": since or rfc3339(now()),
        "reason": reason,
        "message": message,
    }
