"""The embedded store: SQLite for what must survive, memory for what is read.

Every object is also held in memory, so `get`, `list` and `events` never touch the disk. A change is checked
and committed by the writer thread; only then does it appear in memory, to readers and to its caller, in this
order. So a read after a write sees it, and nothing is ever told that could still be lost.
"""

import sqlite3
import time
import uuid
from bisect import bisect_left, insort
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol, Self

from control_plane.collection import without_collections
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    resource_version_of,
    uid_of,
)
from control_plane.resources.timestamp import rfc3339
from control_plane.store import bookkeeping
from control_plane.store.api import (
    Deletion,
    EventType,
    Listing,
    NamespaceTerminating,
    ObjectExists,
    ObjectNotFound,
    Store,
    StoreEvent,
)
from control_plane.store.database import Database, DatabaseError
from control_plane.store.deletion import AS_IT_SAYS, DeletionRequest, is_deleting, is_free, marked
from control_plane.store.event_log import RETAINED_EVENTS, EventCursor, EventLog
from control_plane.store.writer import Transaction, Writer

NAMESPACE_KIND = "Namespace"


class _Change(Protocol):
    """How an update turns the current object and the wanted one into the next; None for no change."""

    def __call__(self, current: Manifest, wanted: Manifest, *, version: int) -> Manifest | None: ...


class SqliteStore(Store):
    """One file. Begin with `SqliteStore.open`, end with `close`; all methods belong to one event loop."""

    def __init__(self, database: Database, now: Callable[[], float], *, retained: int) -> None:
        self._now = now
        self._objects: dict[str, dict[tuple[str, str], Manifest]] = {}
        self._order: dict[str, list[tuple[str, str]]] = {}
        with without_collections():
            for manifest in database.objects():
                self._remember(key_of(manifest), manifest)
            self._log = EventLog(database.version(), database.events(self._held), retained=retained)
        self._writer = Writer(database, self._publish, retained=retained)

    @classmethod
    async def open(
        cls, path: Path, *, now: Callable[[], float] = time.time, retained: int = RETAINED_EVENTS
    ) -> Self:
        """Open or create the file at `path`. `now` (seconds since the epoch) gives creationTimestamps.

        `retained` is how many changes can be followed back at least. Raises DatabaseError.
        """
        database = Database(path)
        try:
            return cls(database, now, retained=retained)
        except (sqlite3.Error, ValueError, KeyError) as exc:  # pages or objects in it that cannot be read
            database.close()
            raise DatabaseError(
                f"store {path} is damaged ({exc}); restore it from a backup, or move it away to begin anew"
            ) from exc

    async def close(self) -> None:
        """Finish pending writes, end all event streams and close the file. Idempotent."""
        self._log.close()
        await self._writer.close()

    # --- reading ---

    @property
    def resource_version(self) -> int:
        return self._log.version

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        found = self._objects.get(kind, {}).get((namespace, name))
        if found is None:
            raise ObjectNotFound(ObjectKey(kind, namespace, name))
        return found

    async def list(self, kind: str, namespace: str = "") -> Listing:
        objects, order = self._objects.get(kind, {}), self._order.get(kind, [])
        if namespace:  # they stand together
            order = order[bisect_left(order, (namespace, "")) : bisect_left(order, (f"{namespace}\0", ""))]
        return Listing([objects[place] for place in order], self._log.version)

    def events(self, since: int, kinds: Collection[str] | None = None) -> EventCursor:
        return self._log.follow(since, kinds)

    # --- writing ---

    async def create(self, manifest: Manifest) -> Manifest:
        key, timestamp = key_of(manifest), rfc3339(self._now())
        uid = str(uuid.uuid4())

        def operation(transaction: Transaction) -> Manifest:
            if key.namespace and is_deleting(_existing(transaction.database, _namespace_key(key.namespace))):
                raise NamespaceTerminating(key)
            if transaction.database.get(key) is not None:
                raise ObjectExists(key)
            version = transaction.next_version
            stored = bookkeeping.created(manifest, uid=uid, timestamp=timestamp, version=version)
            transaction.record(StoreEvent(EventType.ADDED, key, stored, version))
            return stored

        return await self._writer.run(operation)

    async def update(self, manifest: Manifest) -> Manifest:
        return await self._change(manifest, bookkeeping.updated)

    async def update_status(self, manifest: Manifest) -> Manifest:
        return await self._change(manifest, bookkeeping.status_updated)

    async def replace(self, manifest: Manifest) -> Manifest:
        return await self._change(manifest, bookkeeping.replaced)

    async def _change(self, wanted: Manifest, change: _Change) -> Manifest:
        key = key_of(wanted)
        uid, expected = uid_of(wanted), resource_version_of(wanted)

        def operation(transaction: Transaction) -> Manifest:
            current = _existing(transaction.database, key)
            bookkeeping.check_preconditions(current, uid=uid, resource_version=expected)
            version = transaction.next_version
            stored = change(current, wanted, version=version)
            if stored is None:
                return current
            if _may_go(transaction.database, key, stored):
                return _remove(transaction, key, stored)
            transaction.record(StoreEvent(EventType.MODIFIED, key, stored, version, current))
            return stored

        return await self._writer.run(operation)

    async def delete(
        self, kind: str, namespace: str, name: str, request: DeletionRequest = AS_IT_SAYS
    ) -> Deletion:
        key = ObjectKey(kind, namespace, name)

        def operation(transaction: Transaction) -> Deletion:
            current = _existing(transaction.database, key)
            bookkeeping.check_preconditions(
                current, uid=request.uid, resource_version=request.resource_version
            )
            if kind == NAMESPACE_KIND:
                return _delete_namespace(transaction, name, request, self._now())
            return _delete(transaction, key, request, self._now())

        return await self._writer.run(operation)

    async def put_once(self, bucket: str, key: str, expires_at: float) -> bool:
        return await self._writer.run(
            lambda transaction: transaction.database.put_once(bucket, key, expires_at)
        )

    async def forget_expired(self, now: float) -> None:
        await self._writer.run(lambda transaction: transaction.database.forget_expired(now))

    # --- memory ---

    def _publish(self, events: Collection[StoreEvent]) -> None:
        for event in events:
            if event.type is EventType.DELETED:
                self._forget(event.key)
            else:
                self._remember(event.key, event.resource)
            self._log.append(event)

    def _remember(self, key: ObjectKey, manifest: Manifest) -> None:
        place = (key.namespace, key.name)
        objects = self._objects.setdefault(key.kind, {})
        if place not in objects:
            insort(self._order.setdefault(key.kind, []), place)
        objects[place] = manifest

    def _held(self, key: ObjectKey, manifest: Manifest) -> Manifest:
        """The stored object where `manifest` is the same state of it."""
        stored = self._objects.get(key.kind, {}).get((key.namespace, key.name), manifest)
        return stored if resource_version_of(stored) == resource_version_of(manifest) else manifest

    def _forget(self, key: ObjectKey) -> None:
        place = (key.namespace, key.name)
        del self._objects[key.kind][place]
        order = self._order[key.kind]
        del order[bisect_left(order, place)]


def _namespace_key(name: str) -> ObjectKey:
    return ObjectKey(NAMESPACE_KIND, "", name)


def _existing(database: Database, key: ObjectKey) -> Manifest:
    current = database.get(key)
    if current is None:
        raise ObjectNotFound(key)
    return current


def _delete(transaction: Transaction, key: ObjectKey, request: DeletionRequest, now: float) -> Deletion:
    """Remove the object, or mark it as long as something holds it."""
    current = _existing(transaction.database, key)
    wanted = marked(current, request, now=now)
    if _may_go(transaction.database, key, wanted):
        # As in Kubernetes the last state of what went at once does not say that it was being deleted.
        graceful = key.kind == "Pod" or is_deleting(current)
        return Deletion(_remove(transaction, key, wanted if graceful else current), is_gone=True)
    if wanted is current:
        return Deletion(current, is_gone=False)
    stored = bookkeeping.with_version(wanted, version=transaction.next_version)
    transaction.record(StoreEvent(EventType.MODIFIED, key, stored, transaction.next_version, current))
    return Deletion(stored, is_gone=False)


def _delete_namespace(transaction: Transaction, name: str, request: DeletionRequest, now: float) -> Deletion:
    """Ask for the deletion of everything in it, then of itself."""
    key = _namespace_key(name)
    for inner in transaction.database.keys_in(name):
        _delete(transaction, inner, AS_IT_SAYS, now)
    return _delete(transaction, key, request, now)


def _may_go(database: Database, key: ObjectKey, manifest: Manifest) -> bool:
    """Nothing holds the object: no finalizer, no grace period, and in a Namespace no content."""
    is_empty = key.kind != NAMESPACE_KIND or not database.keys_in(key.name)
    return is_free(manifest) and is_empty


def _remove(transaction: Transaction, key: ObjectKey, last: Manifest) -> Manifest:
    """Record the deletion, and that of its Namespace when that was waiting for it."""
    previous = _existing(transaction.database, key)
    version = transaction.next_version
    stored = bookkeeping.with_version(last, version=version)
    transaction.record(StoreEvent(EventType.DELETED, key, stored, version, previous))
    if key.namespace:
        above = _namespace_key(key.namespace)
        namespace = transaction.database.get(above)
        if namespace is not None and _may_go(transaction.database, above, namespace):
            _remove(transaction, above, namespace)
    return stored
