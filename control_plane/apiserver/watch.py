"""The stream a watch answers with: one JSON object a line, each an event.

An object that a change moves into or out of the selection is told as ADDED or DELETED, as in Kubernetes.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from control_plane.apiserver.failure import failure_of
from control_plane.apiserver.selector import Selection
from control_plane.resources.manifest import Manifest
from control_plane.store.api import EventStream, EventType, HistoryGone, StoreEvent

DEFAULT_LIFETIME = 1800.0
"""Seconds until a watch that names no `timeoutSeconds` is ended; its client then opens another."""
BOOKMARK_INTERVAL = 60.0
"""Seconds of silence after which a client that asked for bookmarks is told the version reached (Kubernetes:
about a minute), so that its next watch begins there and not in a past that is no longer held."""
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
"""Annotation of the bookmark that ends the initial events of a watch with `sendInitialEvents`."""


@dataclass(frozen=True, slots=True)
class Bookmarks:
    """How a watch tells of versions without a change."""

    empty: Manifest
    """apiVersion and kind of the objects watched."""
    ends_initial: bool = False
    """Whether one tells that the initial objects are all told."""
    interval: float = BOOKMARK_INTERVAL

    def at(self, version: int, *, ends_initial: bool = False) -> Manifest:
        """The object of a BOOKMARK event."""
        metadata: Manifest = {"resourceVersion": str(version), "creationTimestamp": None}
        if ends_initial:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        return {**self.empty, "metadata": metadata}


BOOKMARK = "BOOKMARK"
_AT_ONCE = 100
"""Initial objects told without letting anybody else in between."""


class OpenStream(Protocol):
    """What answers for longer than a request may take when the server stops."""

    def close(self) -> None:
        """End it soon. Idempotent."""
        ...


class WatchStreams:
    """The open streams of a server, so that stopping it can end them."""

    def __init__(self) -> None:
        self._open: set[OpenStream] = set()
        self._closed = False

    def add(self, events: OpenStream) -> None:
        """Keep it until `discard`; at once closed when the server is stopping."""
        self._open.add(events)
        if self._closed:
            events.close()

    def discard(self, events: OpenStream) -> None:
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
    bookmarks: Bookmarks | None = None,
) -> AsyncIterator[bytes]:
    """Lines for `initial` objects (as ADDED), then for `events` of `namespace` (all when empty), for
    `lifetime` s.

    `show` puts an object into the form the client asked for. Owns `events`: they are closed when iteration
    ends, however it does. Without `bookmarks` there are none.
    """
    streams.add(events)
    try:
        waiting = iter(initial)
        while some := list(islice(waiting, _AT_ONCE)):
            yield b"".join(_line(EventType.ADDED.value, show(manifest)) for manifest in some)
            await asyncio.sleep(0)  # sending does not wait as long as the client keeps up
        if bookmarks is not None and bookmarks.ends_initial:
            yield _line(BOOKMARK, show(bookmarks.at(events.position, ends_initial=True)))
        async with aclosing(_until(events, lifetime, bookmarks)) as following:
            async for event in following:
                if isinstance(event, int):
                    assert bookmarks is not None, "only bookmarks are told by version"
                    yield _line(BOOKMARK, show(bookmarks.at(event)))
                elif not namespace or event.key.namespace == namespace:
                    told = _as_seen(event, selection)
                    if told is not None:
                        yield _line(told.value, show(event.resource))
    except HistoryGone as exc:
        yield error_line(exc)
    finally:
        streams.discard(events)


def error_line(error: HistoryGone) -> bytes:
    """The end of a watch whose history is no longer held: its client lists again."""
    failure = failure_of(error)
    assert failure is not None, "HistoryGone is in the table of failures"
    return _line("ERROR", failure.body())


async def _until(
    events: EventStream, lifetime: float, bookmarks: Bookmarks | None
) -> AsyncGenerator[StoreEvent | int, None]:
    """The events of `lifetime` s, and the version reached whenever a bookmark is due."""
    clock = asyncio.get_running_loop().time
    ends_at = clock() + lifetime
    while True:
        due_at = ends_at if bookmarks is None else min(ends_at, clock() + bookmarks.interval)
        try:
            async with asyncio.timeout_at(due_at):
                event = await anext(events)
        except StopAsyncIteration:
            return
        except TimeoutError:
            if bookmarks is not None:
                yield events.position
            if clock() >= ends_at:
                return
        else:
            yield event


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
