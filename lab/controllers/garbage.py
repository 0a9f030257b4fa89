"""The garbage collector: what nobody owns any more goes, and owners that wait for theirs are let go.

Three ways to delete an owner, as Kubernetes: in the background (its dependents go after it), in the
foreground (finalizer `foregroundDeletion`: after them), or leaving them behind (finalizer `orphan`).
"""

from collections.abc import Iterable, Sequence

from control_plane.client import ApiClient, NotFound
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    metadata,
    namespace_of,
    objects,
    uid_of,
)
from control_plane.resources.registry import BY_KIND
from lab.controllers.action import Action, Delete, Patch
from lab.controllers.cache import Change
from lab.controllers.reconciler import Workplace

_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"


class GarbageCollector:
    """Follows `ownerReferences` among the kinds that the controllers watch."""

    name = "garbagecollector"

    def __init__(self, place: Workplace, client: ApiClient) -> None:
        self._place = place
        self._client = client

    def affected(self, change: Change) -> Iterable[ObjectKey]:
        cache = self._place.cache
        if change.new is None and change.old is not None:
            yield from cache.owned_by(uid_of(change.old))
            for owner in _owners(change.old):
                if (key := cache.by_uid(str(owner.get("uid")))) is not None and self._is_waiting(key):
                    yield key
        elif change.new is not None and (
            _owners(change.new) != _owners(change.old or {}) or metadata(change.new).get("deletionTimestamp")
        ):
            yield change.key

    def _is_waiting(self, key: ObjectKey) -> bool:
        return bool(_finalizers(self._place.cache.manifest(key) or {}) & {_FOREGROUND, _ORPHAN})

    async def reconcile(self, key: ObjectKey) -> float | None:
        manifest = self._place.cache.manifest(key)
        if manifest is None:
            return None
        if metadata(manifest).get("deletionTimestamp"):
            await self._place.writer.perform(self._release(manifest))
        elif owners := _owners(manifest):
            await self._place.writer.perform(await self._judge(manifest, owners))
        return None

    # --- owners that are being deleted ----------------------------------------------------------------------

    def _release(self, owner: Manifest) -> list[Action]:
        """Towards the end of a deletion that waits for the dependents."""
        finalizers = _finalizers(owner)
        keys = self._place.cache.owned_by(uid_of(owner))
        dependents = [one for key in keys if (one := self._place.cache.manifest(key)) is not None]
        if _ORPHAN in finalizers:
            return [*(_without(one, {uid_of(owner)}) for one in dependents), _finalized(owner, _ORPHAN)]
        if _FOREGROUND not in finalizers:
            return []
        blocking = [one for one in dependents if _blocks(one, uid_of(owner))]
        if not blocking:
            return [_finalized(owner, _FOREGROUND)]
        return [self._delete(one) for one in dependents if not metadata(one).get("deletionTimestamp")]

    def _delete(self, manifest: Manifest) -> Delete:
        """In the foreground too when it has dependents of its own: then they are gone when it is."""
        has_dependents = bool(self._place.cache.owned_by(uid_of(manifest)))
        return Delete(key_of(manifest), uid_of(manifest), "Foreground" if has_dependents else "Background")

    # --- dependents -----------------------------------------------------------------------------------------

    async def _judge(self, manifest: Manifest, owners: Sequence[Manifest]) -> list[Action]:
        """Deleted when all its owners are gone; told when only some are."""
        gone = {str(one["uid"]) for one in owners if not await self._is_there(one, namespace_of(manifest))}
        if not gone:
            return []
        if len(gone) < len(owners):
            return [_without(manifest, gone)]
        return [Delete(key_of(manifest), uid_of(manifest))]

    async def _is_there(self, owner: Manifest, namespace: str) -> bool:
        """Asked of the API before anything is deleted for it; an owner of unknown kind counts as there."""
        if self._place.cache.by_uid(str(owner.get("uid"))) is not None:
            return True
        kind = BY_KIND.get(str(owner.get("kind")))
        if kind is None or kind.group != _group(owner):
            return True
        try:
            found = await self._client.get(
                kind.kind, str(owner.get("name")), namespace if kind.namespaced else ""
            )
        except NotFound:
            return False
        return uid_of(found) == owner.get("uid")


def _group(owner: Manifest) -> str:
    return str(owner.get("apiVersion", "")).rpartition("/")[0]


def _owners(manifest: Manifest) -> list[Manifest]:
    return objects(metadata(manifest), "ownerReferences")


def _finalizers(manifest: Manifest) -> set[str]:
    found = metadata(manifest).get("finalizers")
    return {str(one) for one in found} if isinstance(found, list) else set()


def _blocks(dependent: Manifest, uid: str) -> bool:
    """The owner waits for it."""
    return any(one.get("uid") == uid and one.get("blockOwnerDeletion") for one in _owners(dependent))


def _without(dependent: Manifest, uids: set[str]) -> Patch:
    left = [one for one in _owners(dependent) if one.get("uid") not in uids]
    return _changed(dependent, ownerReferences=left or None)


def _finalized(owner: Manifest, finalizer: str) -> Patch:
    found = metadata(owner).get("finalizers")
    left = [one for one in found if one != finalizer] if isinstance(found, list) else []
    return _changed(owner, finalizers=left or None)


def _changed(manifest: Manifest, **fields: object) -> Patch:
    meta = metadata(manifest)
    pinned = {field: meta[field] for field in ("uid", "resourceVersion")}
    return Patch(key_of(manifest), {"metadata": {**pinned, **fields}})
