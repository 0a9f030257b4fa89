"""The SQLite file of a store: objects, the event table and keys put once. Blocking; used by one thread at a
time.

Durability: WAL with `synchronous=FULL`. WAL alone already survives `kill -9` (the pages are in the kernel's
cache); FULL adds one fsync per commit, so that an acknowledged write also survives a power cut. Writes are
rare next to reads, and those that arrive together share one commit (`writer.py`), so the fsync is cheap
enough.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from control_plane.resources.manifest import Manifest, ObjectKey, key_of
from control_plane.store.api import EventType, StoreEvent

_DECODED_AT_ONCE = 500
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE object (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID;
CREATE INDEX object_by_namespace ON object (namespace);
CREATE TABLE event (
    resource_version INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE once (
    bucket TEXT NOT NULL, key TEXT NOT NULL, expires_at REAL NOT NULL,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
"""


class DatabaseError(Exception):
    """The file cannot be used; the message names it."""


class Database:
    """An open file. `close()` it; it may be used from another thread than the one that opened it."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, with mode 0600: it holds what the mesh's users may do. Raises
        DatabaseError.
        """
        self._path = path
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as exc:
            raise DatabaseError(f"store {path}: {exc}") from exc
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        try:
            # EXCLUSIVE: a second control plane on the same file is refused instead of corrupting what we
            # remember.
            self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._connection.executescript(
                    f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_SCHEMA_VERSION}; COMMIT;"
                )
        except sqlite3.Error as exc:
            raise DatabaseError(
                f"store {self._path}: {exc}; if no other control plane uses it, restore it from a backup, or "
                "move it away to begin anew"
            ) from exc
        if version not in (0, _SCHEMA_VERSION):
            raise DatabaseError(f"store {self._path}: schema {version}, this version reads {_SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file; what was not committed is rolled back."""
        self._connection.close()

    # --- reading ---

    def version(self) -> int:
        """The last change's version, also when its event was compacted; 0 before any."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
        return int(row[0]) if row else 0

    def get(self, key: ObjectKey) -> Manifest | None:
        row = self._connection.execute(
            "SELECT body FROM object WHERE kind = ? AND namespace = ? AND name = ?", key
        ).fetchone()
        return _decoded(row[0]) if row else None

    def keys_in(self, namespace: str) -> list[ObjectKey]:
        """Keys of everything in a namespace."""
        rows = self._connection.execute(
            "SELECT kind, namespace, name FROM object WHERE namespace = ? ORDER BY kind, name", (namespace,)
        )
        return [ObjectKey(*row) for row in rows]

    def objects(self) -> Iterator[Manifest]:
        """Everything."""
        rows = self._connection.execute("SELECT body FROM object")
        while some := rows.fetchmany(_DECODED_AT_ONCE):
            yield from _decoded_together([body for (body,) in some])

    def events(self, known: Callable[[ObjectKey, Manifest], Manifest]) -> list[StoreEvent]:
        """The retained changes in order. `previous` is known where its change is retained as well.

        `known` gives the object that is held already instead of an equal one."""
        latest: dict[ObjectKey, Manifest] = {}
        events = []
        rows = self._connection.execute(
            "SELECT resource_version, type, body FROM event ORDER BY resource_version"
        )
        while some := rows.fetchmany(_DECODED_AT_ONCE):
            resources = _decoded_together([body for *_, body in some])
            for (version, kind, _), decoded in zip(some, resources, strict=True):
                key = key_of(decoded)
                resource = known(key, decoded)
                event = StoreEvent(EventType(kind), key, resource, version, latest.pop(key, None))
                events.append(event)
                if event.type is not EventType.DELETED:
                    latest[key] = resource
        return events

    # --- writing ---

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when the block has ended. Raises sqlite3.Error."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """One operation within a transaction: when it fails, only its own changes are undone."""
        self._connection.execute("SAVEPOINT operation")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK TO operation")
            raise
        finally:
            self._connection.execute("RELEASE operation")

    def record(self, event: StoreEvent) -> None:
        """Apply a change to the objects and append it to the events."""
        body = json.dumps(event.resource, separators=(",", ":"), ensure_ascii=False)
        self._connection.execute(
            "INSERT INTO event (resource_version, type, body) VALUES (?, ?, ?)",
            (event.resource_version, event.type.value, body),
        )
        if event.type is EventType.DELETED:
            self._connection.execute(
                "DELETE FROM object WHERE kind = ? AND namespace = ? AND name = ?", event.key
            )
        else:
            self._connection.execute("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)", (*event.key, body))

    def compact(self, before: int) -> None:
        """Drop the events up to and including version `before`."""
        self._connection.execute("DELETE FROM event WHERE resource_version <= ?", (before,))

    def put_once(self, bucket: str, key: str, expires_at: float) -> bool:
        """False when the key is there already."""
        done = self._connection.execute(
            "INSERT OR IGNORE INTO once VALUES (?, ?, ?)", (bucket, key, expires_at)
        )
        return done.rowcount == 1

    def forget_expired(self, now: float) -> None:
        self._connection.execute("DELETE FROM once WHERE expires_at <= ?", (now,))


def _decoded_together(bodies: Iterable[str]) -> list[Manifest]:
    """As one document, in which equal field names are one string: that is a fifth of the memory."""
    manifests: list[Manifest] = json.loads(f"[{','.join(bodies)}]")
    return manifests


def _decoded(body: str) -> Manifest:
    manifest: Manifest = json.loads(body)
    return manifest
