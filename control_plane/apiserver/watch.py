"""The stream a watch answers with: one JSON object a line, each an event.

An object that a change moves into or out of the selection is told as ADDED or DELETED, as in Kubernetes.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection

from control_plane.apiserver.failure import failure_of
from control_plane.apiserver.selector import Selection
from control_plane.resources.manifest import Manifest
from control_plane.store.api import EventStream, EventType, HistoryGone, StoreEvent

DEFAULT_LIFETIME = 1800.0
"""Seconds until a watch that names no `timeoutSeconds` is ended; its client then opens another."""


class WatchStreams:
    """The open streams of a server, so that stopping it can end them."""

    def __init__(self) -> None:
        self._open: set[EventStream] = set()
        self._closed = False

    def add(self, events: EventStream) -> None:
        """Keep it until `discard`; at once closed when the server is stopping."""
        self._open.add(events)
        if self._closed:
            events.close()

    def discard(self, events: EventStream) -> None:
        events.close()
        self._open.discard(events)

    def close(self) -> None:
        """End all streams, and those that come later."""
        self._closed = True
        for events in self._open:
            events.close()

    def __len__(self) -> int:
        return len(self._open)


async def event_lines(
    initial: Collection[Manifest],
    events: EventStream,
    *,
    namespace: str,
    selection: Selection,
    streams: WatchStreams,
    lifetime: float,
    show: Callable[[Manifest], Manifest] = lambda manifest: manifest,
) -> AsyncIterator[bytes]:
    """Lines for `initial` objects (as ADDED), then for `events` of `namespace` (all when empty), for
    `lifetime` s.

    `show` puts an object into the version of the path. Owns `events`: they are closed when the iteration
    ends, however it does.
    """
    streams.add(events)
    try:
        for manifest in initial:
            yield _line(EventType.ADDED.value, show(manifest))
        ends_at = asyncio.get_running_loop().time() + lifetime
        while (event := await _next(events, ends_at)) is not None:
            if not namespace or event.key.namespace == namespace:
                told = _as_seen(event, selection)
                if told is not None:
                    yield _line(told.value, show(event.resource))
    except HistoryGone as exc:
        failure = failure_of(exc)
        assert failure is not None, "HistoryGone is in the table of failures"
        yield _line("ERROR", failure.body())
    finally:
        streams.discard(events)


async def _next(events: EventStream, ends_at: float) -> StoreEvent | None:
    """The next event; None at the end of the stream or of its time."""
    try:
        async with asyncio.timeout_at(ends_at):
            return await anext(events)
    except (TimeoutError, StopAsyncIteration):
        return None


def _as_seen(event: StoreEvent, selection: Selection) -> EventType | None:
    """What the event is to somebody who sees only the selection; None for nothing."""
    is_in = selection.matches(event.resource)
    if event.type is not EventType.MODIFIED:
        return event.type if is_in else None
    # Unknown after a restart: then it is told as if it had been in, which is harmless to tell again.
    was_in = event.previous is None or selection.matches(event.previous)
    if is_in:
        return EventType.MODIFIED if was_in else EventType.ADDED
    return EventType.DELETED if was_in else None


def _line(kind: str, manifest: Manifest) -> bytes:
    return json.dumps({"type": kind, "object": manifest}, separators=(",", ":")).encode() + b"\n"
