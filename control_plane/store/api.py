"""The contract of a store: where every object lives, with one total order of changes.

A store knows objects (`Manifest`), their keys and Kubernetes' bookkeeping of metadata; it does not validate
what is in `spec`. Every implementation passes `tests/unit/control_plane/store/conformance.py`.
Rules all keep:

- `resourceVersion` is one increasing integer over all kinds and restarts; each change has its own;
- a change that was acknowledged is never lost, whatever kills the process;
- `events(since)` delivers every change after `since`, once, in order, or ends with `HistoryGone`;
- a namespaced object lives only in an existing Namespace; deleting a Namespace deletes what is in it, nothing
  new comes into it, and it goes when the last object in it has gone;
- an object that is being deleted goes with the change that removes its last finalizer;
- what comes out is shared: nobody changes a `Manifest` received from a store.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from control_plane.resources.manifest import Manifest, ObjectKey
from control_plane.store.deletion import AS_IT_SAYS, DeletionRequest


class StoreError(Exception):
    """Root of what a store refuses. The message names the object."""


class ObjectNotFound(StoreError):
    """There is no such object."""

    def __init__(self, key: ObjectKey) -> None:
        super().__init__(f"{key} does not exist")
        self.key = key


class ObjectExists(StoreError):
    """`create` of a key that is taken."""

    def __init__(self, key: ObjectKey) -> None:
        super().__init__(f"{key} already exists")
        self.key = key


class NamespaceTerminating(StoreError):
    """`create` in a Namespace that is being deleted."""

    def __init__(self, key: ObjectKey) -> None:
        super().__init__(f"{key} cannot be made: namespace {key.namespace} is being deleted")
        self.key = key


class WriteRefused(StoreError):
    """Somebody else's API server does not let us write that, and will not by itself. `why` is its text."""

    def __init__(self, key: ObjectKey, why: str) -> None:
        super().__init__(f"{key} cannot be written: {why}")
        self.key = key


class VersionConflict(StoreError):
    """The object has changed since the caller read it: read again and retry. `what` is Kubernetes' text."""

    def __init__(self, key: ObjectKey, what: str) -> None:
        super().__init__(what)
        self.key = key


class HistoryGone(StoreError):
    """Changes after `since` are no longer all held, or the reader fell behind: list again."""

    def __init__(self, since: int, oldest: int) -> None:
        super().__init__(f"resource version {since} is too old; the oldest that can be followed is {oldest}")
        self.since = since
        self.oldest = oldest


class StoreClosed(StoreError):
    """The store was closed while, or before, the call ran."""


class EventType(Enum):
    """What happened to the object; values as on the wire."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """One change."""

    type: EventType
    key: ObjectKey
    resource: Manifest
    """The object after the change; for DELETED its last state. `metadata.resourceVersion` is this event's."""
    resource_version: int
    previous: Manifest | None = None
    """The object before the change; None for ADDED, and where it is no longer known (after a restart)."""

    @property
    def kind(self) -> str:
        return self.key.kind


class Listing(NamedTuple):
    """Objects in order of (namespace, name), and the version from which `events` continues them."""

    items: list[Manifest]
    resource_version: int


class Deletion(NamedTuple):
    """What became of an object whose deletion was asked for."""

    resource: Manifest
    """Its last state; marked with `deletionTimestamp` when it is still there."""
    is_gone: bool


class EventStream(Protocol):
    """An open subscription. Iterating ends when store or stream is closed; raises HistoryGone when behind."""

    def __aiter__(self) -> "EventStream": ...

    async def __anext__(self) -> StoreEvent: ...

    @property
    def position(self) -> int:
        """Every change up to this version has been delivered, or is of no kind that is followed."""
        ...

    def close(self) -> None:
        """End the iteration, also one that is waiting. Idempotent."""
        ...


class OnceStore(Protocol):
    """A set of keys that may be put once, for replay guards."""

    async def put_once(self, bucket: str, key: str, expires_at: float) -> bool:
        """Record `key` durably; False when it is there already. `expires_at`: seconds since the epoch."""
        ...

    async def forget_expired(self, now: float) -> None:
        """Drop keys whose `expires_at` is at or before `now` (seconds since the epoch)."""
        ...


class ObjectStore(Protocol):
    """What the control plane needs to read, follow and write back objects, in whichever API server they live.

    `kind` is the bare kind (`"Pod"`); `namespace` is `""` for cluster-wide kinds.
    """

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        """Raises ObjectNotFound."""
        ...

    async def list(self, kind: str, namespace: str = "") -> Listing:
        """All objects of a kind, or those of one namespace."""
        ...

    async def create(self, manifest: Manifest) -> Manifest:
        """Store a new object with fresh uid, creationTimestamp, generation 1 and resourceVersion; return it.

        Raises ObjectExists, NamespaceTerminating, and ObjectNotFound for a missing Namespace.
        """
        ...

    async def update(self, manifest: Manifest) -> Manifest:
        """Replace everything but `status` and the metadata the store owns; return the result.

        `metadata.resourceVersion` and `metadata.uid`, when set, must be the current ones. `generation` grows
        when anything outside `metadata` and `status` changed. An update that changes nothing makes no event.
        Raises ObjectNotFound, VersionConflict.
        """
        ...

    async def update_status(self, manifest: Manifest) -> Manifest:
        """Replace `status` only; otherwise as `update`."""
        ...

    def events(self, since: int, kinds: Collection[str]) -> EventStream:
        """Follow the changes of `kinds` after version `since`: `async for` over the result.

        Raises HistoryGone, at once or from the iteration, when `since` is too old.
        """
        ...


class Store(ObjectStore, OnceStore, Protocol):
    """A store of our own, behind the embedded API server."""

    async def replace(self, manifest: Manifest) -> Manifest:
        """Replace the object and its `status` in one step; otherwise as `update`."""
        ...

    async def delete(
        self, kind: str, namespace: str, name: str, request: DeletionRequest = AS_IT_SAYS
    ) -> Deletion:
        """Remove the object, or mark it when a finalizer, its grace period or a Namespace's content holds it.

        Deleting a Namespace asks, in the same transaction, for the deletion of everything in it.
        Raises ObjectNotFound, VersionConflict.
        """
        ...

    def events(self, since: int, kinds: Collection[str] | None = None) -> EventStream:
        """Follow the changes after version `since`, of `kinds` or of all kinds: `async for` over the result.

        Raises HistoryGone at once when `since` is too old.
        """
        ...

    @property
    def resource_version(self) -> int:
        """The version of the last change; 0 before any."""
        ...
