"""The one thread that writes to the database: operations queue up, and those waiting together share one
commit.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from control_plane.store.api import StoreClosed, StoreEvent
from control_plane.store.database import Database

T = TypeVar("T")
_MAX_BATCH = 256
"""Operations per commit: bounds how long the first of them waits."""
_log = logging.getLogger(__name__)


class Transaction:
    """What one operation sees: the database with all earlier operations applied, and the next version."""

    def __init__(self, database: Database, version: int) -> None:
        self.database = database
        self.events: list[StoreEvent] = []
        """Changes made by this operation, in order."""
        self._version = version

    @property
    def next_version(self) -> int:
        return self._version + 1

    def record(self, event: StoreEvent) -> None:
        """Make a change; its version is `next_version`."""
        assert event.resource_version == self.next_version, "versions have no gaps"
        self.database.record(event)
        self.events.append(event)
        self._version = event.resource_version


@dataclass(slots=True)
class _Job(Generic[T]):
    operation: Callable[[Transaction], T]
    future: asyncio.Future[T]
    result: T | None = None
    error: BaseException | None = None

    def run(self, transaction: Transaction) -> None:
        """Keep the result or the error. Raises sqlite3.Error, which fails the whole batch."""
        try:
            with transaction.database.savepoint():
                self.result = self.operation(transaction)
        except sqlite3.Error:
            raise
        except (
            Exception
        ) as exc:  # a refusal, or a bug in the operation: its caller learns it, the others go on
            self.error = exc

    def settle(self) -> None:
        """Hand over the outcome. The caller may have been cancelled meanwhile; its change is made all the
        same.
        """
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


class Writer:
    """Runs operations in order. `publish` is called on the loop with the changes, before their callers
    resume.
    """

    def __init__(
        self, database: Database, publish: Callable[[list[StoreEvent]], None], *, retained: int
    ) -> None:
        self._database = database
        self._publish = publish
        self._retained = retained
        self._loop = asyncio.get_running_loop()
        self._version = database.version()
        self._compacted = self._version - retained
        self._queue: queue.SimpleQueue[_Job[object] | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[Transaction], T]) -> T:
        """Run `operation` in the writer thread; returns when its changes are durable and published.

        Raises what the operation raises, sqlite3.Error when the commit failed (nothing is changed then), and
        StoreClosed.
        """
        if self._closed:
            raise StoreClosed("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Job(operation, future))  # type: ignore[arg-type]
        return await future

    async def close(self) -> None:
        """Finish what is queued, then end the thread and close the database. Idempotent."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._next_batch()
            if batch:
                self._commit(batch)
        self._database.close()

    def _next_batch(self) -> tuple[list[_Job[object]], bool]:
        """Wait for one operation, then take what else is there; False with the end of the queue."""
        batch: list[_Job[object]] = []
        while len(batch) < _MAX_BATCH:
            try:
                job = self._queue.get(block=not batch)
            except queue.Empty:
                break
            if job is None:
                return batch, False
            batch.append(job)
        return batch, True

    def _commit(self, batch: list[_Job[object]]) -> None:
        events: list[StoreEvent] = []
        try:
            with self._database.transaction():
                for job in batch:
                    transaction = Transaction(self._database, self._version + len(events))
                    job.run(transaction)
                    if job.error is None:
                        events += transaction.events
                self._compact(self._version + len(events))
            self._version += len(events)
        except Exception as exc:  # a full disk or a bug: all is rolled back, and all callers learn it
            _log.exception("store: a commit of %d operations failed", len(batch))
            events = []
            for job in batch:
                job.error = exc
        self._hand_over(batch, events)

    def _compact(self, version: int) -> None:
        """Cut in steps of half the window, not at each commit."""
        target = version - self._retained
        if target - self._compacted >= self._retained // 2:
            self._database.compact(target)
            self._compacted = target

    def _hand_over(self, batch: list[_Job[object]], events: list[StoreEvent]) -> None:
        def settle() -> None:
            self._publish(events)
            for job in batch:
                job.settle()

        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:  # the loop has ended without closing the store: nobody waits any more
            _log.warning("store: the event loop ended before %d operations were handed over", len(batch))
