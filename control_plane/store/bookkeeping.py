"""The metadata a store owns, and what an update keeps or replaces (pure).

Mirrors Kubernetes: `uid`, `creationTimestamp`, `generation`, `resourceVersion` and what says that the object
is being deleted cannot be written by a client; `generation` grows when anything outside `metadata` and
`status` changed; `update` leaves `status` alone and `update_status` everything else.
"""

from control_plane.resources.job_selector import with_selector
from control_plane.resources.manifest import (
    Manifest,
    key_of,
    kind_of,
    metadata,
    resource_version_of,
    uid_of,
    with_metadata,
)
from control_plane.store.api import VersionConflict

_OWNED = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
_OF_DELETION = ("deletionTimestamp", "deletionGracePeriodSeconds")


def created(manifest: Manifest, *, uid: str, timestamp: str, version: int) -> Manifest:
    """The object as stored first. A Job's Pods are found by its uid, which nobody knew before."""
    fresh = {field: value for field, value in metadata(manifest).items() if field not in _OF_DELETION}
    manifest = {**manifest, "metadata": fresh}
    owned = {"uid": uid, "creationTimestamp": timestamp, "generation": 1, "resourceVersion": str(version)}
    stored = with_metadata(manifest, **owned)
    return with_selector(stored) if kind_of(stored) == "Job" else stored


def check_preconditions(current: Manifest, *, uid: str, resource_version: str) -> None:
    """Raises VersionConflict when `uid` or `resource_version` is given and is not the current one."""
    if uid and uid != uid_of(current):
        found = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {uid_of(current)}"
        raise VersionConflict(key_of(current), found)
    if resource_version and resource_version != resource_version_of(current):
        found = (
            "the object has been modified; please apply your changes to the latest version and try again "
            f"(its resourceVersion is {resource_version_of(current)}, not {resource_version})"
        )
        raise VersionConflict(key_of(current), found)


def updated(current: Manifest, wanted: Manifest, *, version: int) -> Manifest | None:
    """`wanted` with `current`'s status and owned metadata; None when that changes nothing."""
    result = {field: value for field, value in wanted.items() if field != "status"}
    if "status" in current:
        result["status"] = current["status"]
    return replaced(current, result, version=version)


def replaced(current: Manifest, wanted: Manifest, *, version: int) -> Manifest | None:
    """`wanted`, its status included, with `current`'s owned metadata; None when that changes nothing."""
    meta = {field: value for field, value in metadata(wanted).items() if field not in _OWNED}
    owned = {field: value for field, value in metadata(current).items() if field in _OWNED}
    result: Manifest = {**wanted, "metadata": meta}
    result = with_metadata(result, **owned, resourceVersion=resource_version_of(current))
    if result == current:
        return None
    if _desired(result) != _desired(current):
        result = with_metadata(result, generation=_generation(current) + 1)
    return with_metadata(result, resourceVersion=str(version))


def status_updated(current: Manifest, wanted: Manifest, *, version: int) -> Manifest | None:
    """`current` with `wanted`'s status; None when that changes nothing."""
    result = {field: value for field, value in current.items() if field != "status"}
    if "status" in wanted:
        result["status"] = wanted["status"]
    return None if result == current else with_metadata(result, resourceVersion=str(version))


def with_version(current: Manifest, *, version: int) -> Manifest:
    """The object as it is after change `version`; a last state carries the version of the deletion."""
    return with_metadata(current, resourceVersion=str(version))


def _desired(manifest: Manifest) -> Manifest:
    return {field: value for field, value in manifest.items() if field not in ("metadata", "status")}


def _generation(manifest: Manifest) -> int:
    generation = metadata(manifest).get("generation")
    return generation if isinstance(generation, int) else 0
