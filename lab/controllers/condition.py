"""Conditions in a status as controllers write them (pure)."""

from control_plane.resources.manifest import Manifest, objects


def condition(kind: str, status: str, reason: str, message: str) -> Manifest:
    """A condition without its times."""
    return {"type": kind, "status": status, "reason": reason, "message": message}


def find_condition(status: Manifest, kind: str) -> Manifest | None:
    """Of a type in a status that may lack it."""
    return next((one for one in objects(status, "conditions") if one.get("type") == kind), None)


def with_condition(
    status: Manifest,
    kind: str,
    new: Manifest | None,
    now: str,
    *,
    has_update_time: bool = False,
    refresh: bool = False,
) -> list[Manifest]:
    """The conditions of `status` with the one of `kind` as in `new`, or without it.

    One with the same status and reason stays as it is, unless it is to be refreshed; `lastTransitionTime` is
    kept while the status stays.
    """
    old = find_condition(status, kind)
    rest = [one for one in objects(status, "conditions") if one.get("type") != kind]
    if new is None:
        return rest
    stays = old is not None and old.get("status") == new["status"]
    if old is not None and stays and old.get("reason") == new["reason"] and not refresh:
        return objects(status, "conditions")
    since = old.get("lastTransitionTime") if old is not None and stays else None
    times: Manifest = {"lastUpdateTime": now} if has_update_time else {}
    return [*rest, {**new, **times, "lastTransitionTime": since or now}]
