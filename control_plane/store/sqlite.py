"""The embedded store: SQLite for what must survive, memory for what is read.

Every object is also held in memory, so `get`, `list` and `events` never touch the disk. A change is checked
and committed by the writer thread; only then does it appear in memory, to readers and to its caller, in this
order. So a read after a write sees it, and nothing is ever told that could still be lost.
"""

import sqlite3
import time
import uuid
from bisect import insort
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol, Self

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
    EventType,
    Listing,
    ObjectExists,
    ObjectNotFound,
    Store,
    StoreEvent,
)
from control_plane.store.database import Database, DatabaseError
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
        for manifest in database.objects():
            self._remember(key_of(manifest), manifest)
        self._log = EventLog(database.version(), database.events(), retained=retained)
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
        objects = self._objects.get(kind, {})
        order = self._order.get(kind, ())
        items = [objects[place] for place in order if not namespace or place[0] == namespace]
        return Listing(items, self._log.version)

    def events(self, since: int, kinds: Collection[str] | None = None) -> EventCursor:
        return self._log.follow(since, kinds)

    # --- writing ---

    async def create(self, manifest: Manifest) -> Manifest:
        key, timestamp = key_of(manifest), rfc3339(self._now())
        uid = str(uuid.uuid4())

        def operation(transaction: Transaction) -> Manifest:
            if key.namespace and transaction.database.get(_namespace_key(key.namespace)) is None:
                raise ObjectNotFound(_namespace_key(key.namespace))
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
            transaction.record(StoreEvent(EventType.MODIFIED, key, stored, version, current))
            return stored

        return await self._writer.run(operation)

    async def delete(
        self, kind: str, namespace: str, name: str, *, uid: str = "", resource_version: str = ""
    ) -> Manifest:
        key = ObjectKey(kind, namespace, name)

        def operation(transaction: Transaction) -> Manifest:
            current = _existing(transaction.database, key)
            bookkeeping.check_preconditions(current, uid=uid, resource_version=resource_version)
            contents = transaction.database.keys_in(name) if kind == NAMESPACE_KIND else []
            for inner in contents:
                _record_deletion(transaction, inner, _existing(transaction.database, inner))
            return _record_deletion(transaction, key, current)

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

    def _forget(self, key: ObjectKey) -> None:
        place = (key.namespace, key.name)
        del self._objects[key.kind][place]
        self._order[key.kind].remove(place)


def _namespace_key(name: str) -> ObjectKey:
    return ObjectKey(NAMESPACE_KIND, "", name)


def _existing(database: Database, key: ObjectKey) -> Manifest:
    current = database.get(key)
    if current is None:
        raise ObjectNotFound(key)
    return current


def _record_deletion(transaction: Transaction, key: ObjectKey, current: Manifest) -> Manifest:
    version = transaction.next_version
    last = bookkeeping.deleted(current, version=version)
    transaction.record(StoreEvent(EventType.DELETED, key, last, version, current))
    return last
