"""Conditions of a status as they are written back (pure): each keeps the time of its last change."""

from collections.abc import Iterable

from control_plane.resources.manifest import Manifest, objects


def undated(kind: str, is_so: bool, reason: str, message: str) -> Manifest:
    """A condition of type `kind`, without the time of its last change."""
    return {"type": kind, "status": str(is_so), "reason": reason, "message": message}


def dated(conditions: Iterable[Manifest], before: Manifest, generation: int, now: str) -> list[Manifest]:
    """With the times of their last change: those of `before`, which lists its own under `conditions`, where
    the status is the same, else `now` (RFC 3339)."""
    known = {one.get("type"): one for one in objects(before, "conditions")}
    found = []
    for one in conditions:
        old = known.get(one["type"], {})
        since = old.get("lastTransitionTime") if old.get("status") == one["status"] else None
        found.append({**one, "observedGeneration": generation, "lastTransitionTime": since or now})
    return found
