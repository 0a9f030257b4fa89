"""The last changes in memory, and the readers that follow them.

A reader is a cursor into one shared window, so a slow one costs nothing: when the window has moved past its
cursor it ends with `HistoryGone`, and its user lists again. Versions in the window have no gaps.
"""

import asyncio
from collections.abc import Collection, Iterable

from control_plane.store.api import EventStream, HistoryGone, StoreEvent

RETAINED_EVENTS = 2048
"""Changes kept, in memory and on disk. At 100 changes/s a reader has 20 s to come back before it must list
again.
"""


class EventLog:
    """Changes `first … last` by version. Used on one event loop only."""

    def __init__(
        self, version: int, events: Iterable[StoreEvent] = (), *, retained: int = RETAINED_EVENTS
    ) -> None:
        """`version` is the store's current one; `events` end with it, without gaps."""
        self._events = list(events)
        self._retained = retained
        self._version = version
        self._cursors: set[EventCursor] = set()

    @property
    def version(self) -> int:
        """The last change's version; 0 before any."""
        return self._version

    @property
    def oldest(self) -> int:
        """The lowest `since` that can be followed."""
        return self._version - len(self._events)

    def append(self, event: StoreEvent) -> None:
        """Add the next change and wake the readers."""
        assert event.resource_version == self._version + 1, "versions have no gaps"
        self._events.append(event)
        self._version = event.resource_version
        if len(self._events) >= 2 * self._retained:  # cut in big steps: each costs a move of the whole list
            del self._events[: -self._retained]
        for cursor in self._cursors:
            cursor.wake()

    def follow(self, since: int, kinds: Collection[str] | None) -> "EventCursor":
        """A reader of everything after `since`. Raises HistoryGone."""
        if not self.oldest <= since <= self._version:
            raise HistoryGone(since, self.oldest)
        cursor = EventCursor(self, since, kinds)
        self._cursors.add(cursor)
        return cursor

    def after(self, version: int) -> StoreEvent | None:
        """The change that follows `version`; None when there is none yet. Raises HistoryGone."""
        if version < self.oldest:
            raise HistoryGone(version, self.oldest)
        return self._events[version - self.oldest] if version < self._version else None

    def forget(self, cursor: "EventCursor") -> None:
        """Stop waking a reader."""
        self._cursors.discard(cursor)

    def close(self) -> None:
        """End every reader."""
        for cursor in list(self._cursors):
            cursor.close()


class EventCursor(EventStream):
    """One reader's place in the log."""

    def __init__(self, log: EventLog, since: int, kinds: Collection[str] | None) -> None:
        self._log = log
        self._version = since
        self._kinds = None if kinds is None else frozenset(kinds)
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def position(self) -> int:
        return self._version

    def wake(self) -> None:
        """There is something new, or the end."""
        self._changed.set()

    def __aiter__(self) -> "EventCursor":
        return self

    async def __anext__(self) -> StoreEvent:
        while not self._closed:
            event = self._next_of_interest()
            if event is not None:
                return event
            self._changed.clear()
            await self._changed.wait()
        raise StopAsyncIteration

    def _next_of_interest(self) -> StoreEvent | None:
        while True:
            try:
                event = self._log.after(self._version)
            except HistoryGone:
                self.close()
                raise
            if event is None:
                return None
            self._version = event.resource_version
            if self._kinds is None or event.kind in self._kinds:
                return event

    def close(self) -> None:
        self._closed = True
        self._log.forget(self)
        self.wake()
