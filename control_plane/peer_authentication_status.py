"""Writes back to PeerAuthentications what became of them: `status.conditions`.

`Accepted` is False for all but the oldest of those about exactly the same pods.
"""

from collections.abc import Callable

from control_plane.discovery.peer_authentication import PeerAuthentication, peer_authentication
from control_plane.discovery.registry import Registry
from control_plane.resources.manifest import Manifest, ObjectKey, section
from control_plane.resources.peer_authentication import PeerAuthentication as Resource
from control_plane.resources.status_condition import dated, undated
from control_plane.resources.timestamp import rfc3339
from control_plane.status_write import write_back
from control_plane.store.api import ObjectStore


async def write_peer_authentication_status(
    key: ObjectKey, registry: Registry, store: ObjectStore, now: Callable[[], float]
) -> bool:
    """Bring the stored status of one up to date; False when it changed meanwhile and must be tried again.
    `now`: seconds since the epoch."""
    return await write_back(key, store, lambda stored: with_status(stored, registry, now))


def with_status(stored: Manifest, registry: Registry, now: Callable[[], float]) -> Manifest | None:
    """The object with its new status; None when it says the same already, or when the registry knows another
    version, which will come here too."""
    one = peer_authentication(Resource.read(stored))
    known = registry.peer_authentications
    if known.get(one.key) != one:
        return None
    status = section(stored, "status")
    oldest = known.beside(one)[0]
    conditions = dated([_told(one, oldest)], status, one.generation, rfc3339(now()))
    new = {**status, "conditions": conditions, "observedGeneration": one.generation}
    return None if new == status else {**stored, "status": new}


def _told(one: PeerAuthentication, oldest: PeerAuthentication) -> Manifest:
    if one != oldest:
        text = f"PeerAuthentication {oldest.key} is older and about the same pods; delete one of the two"
        return undated("Accepted", False, "Conflicted", text)
    scopes = {
        "mesh": "every pod of the mesh",
        "namespace": f"pods of namespace {one.key.namespace}",
        "pods": f"the pods that it selects in namespace {one.key.namespace}",
    }
    return undated("Accepted", True, "Accepted", f"it is about {scopes[one.scope]}")
