"""A cluster's own API server as the store: what the control plane reads, follows and writes there.

Nothing is kept here, so every control plane of a cluster sees the same. An API server that is away,
overloaded or restarting is waited for, with backoff and a line in the log: what is being served goes on as it
is. A kind that the server does not know (its CustomResourceDefinition is not installed) has no objects until
it does. Of the store's contract, versions are the server's own: increasing, but not without gaps.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from contextlib import aclosing
from http import HTTPStatus
from typing import TypeVar

import httpx

from control_plane.client import (
    BOOKMARK,
    ApiClient,
    ApiError,
    Conflict,
    Gone,
    NotFound,
    ReconnectSettings,
    WatchEvent,
)
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    name_of,
    namespace_of,
    resource_version_of,
)
from control_plane.store.api import (
    EventStream,
    EventType,
    HistoryGone,
    Listing,
    NamespaceTerminating,
    ObjectExists,
    ObjectNotFound,
    StoreClosed,
    StoreEvent,
    VersionConflict,
    WriteRefused,
)

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_BACKLOG = 1024
"""Changes read ahead of who follows them; beyond it the server's own flow control holds the rest."""
MISSING_KIND_PERIOD = 15.0
"""Seconds between looks whether a kind is served by now."""
_TERMINATING = "NamespaceTerminating"
_ALWAYS_THERE = "Namespace"
"""Whose listing tells the server's version when the kind asked for is unknown to it."""


class ClusterStore:
    """The objects of the API server behind `client`; closing is the client's."""

    def __init__(
        self,
        client: ApiClient,
        *,
        reconnect: ReconnectSettings | None = None,
        rng: random.Random | None = None,
        missing_kind_period: float = MISSING_KIND_PERIOD,
    ) -> None:
        self._client = client
        self._reconnect = reconnect or ReconnectSettings()
        self._rng = rng or random.Random()
        self._missing_kind_period = missing_kind_period
        self._missing: set[str] = set()
        self._streams: set[_ClusterEvents] = set()
        self._closed = False

    # --- objects --------------------------------------------------------------------------------------------

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        """Raises ObjectNotFound, also for a kind that the server does not know."""
        try:
            return await self._until_answered(lambda: self._client.get(kind, name, namespace), "read")
        except NotFound:
            raise ObjectNotFound(ObjectKey(kind, namespace, name)) from None

    async def list(self, kind: str, namespace: str = "") -> Listing:
        """All objects of a kind, or those of one namespace; none of a kind that is unknown to the server."""
        try:
            found = await self._until_answered(lambda: self._client.list(kind, namespace), f"list {kind}")
        except NotFound:
            self._note_missing(kind)
            there = await self._until_answered(lambda: self._client.list(_ALWAYS_THERE), "list")
            return Listing([], int(there.resource_version))
        self._missing.discard(kind)
        items = sorted(found.items, key=lambda item: (namespace_of(item), name_of(item)))
        return Listing(items, int(found.resource_version))

    async def create(self, manifest: Manifest) -> Manifest:
        """Raises ObjectExists, NamespaceTerminating, WriteRefused, and ObjectNotFound for a missing
        Namespace."""
        try:
            return await self._until_answered(lambda: self._client.create(manifest), "create")
        except Conflict:
            raise ObjectExists(key_of(manifest)) from None
        except NotFound:
            raise ObjectNotFound(ObjectKey("Namespace", "", namespace_of(manifest))) from None
        except ApiError as error:
            if _TERMINATING in error.causes:
                raise NamespaceTerminating(key_of(manifest)) from None
            raise WriteRefused(key_of(manifest), error.message) from error

    async def update(self, manifest: Manifest) -> Manifest:
        """Raises ObjectNotFound, VersionConflict, WriteRefused."""
        return await self._write(manifest, lambda: self._client.update(manifest))

    async def update_status(self, manifest: Manifest) -> Manifest:
        """Raises ObjectNotFound, VersionConflict, WriteRefused."""
        return await self._write(manifest, lambda: self._client.update_status(manifest))

    async def _write(self, manifest: Manifest, call: Callable[[], Awaitable[Manifest]]) -> Manifest:
        key = key_of(manifest)
        try:
            return await self._until_answered(call, f"write {key}")
        except NotFound:
            raise ObjectNotFound(key) from None
        except Conflict as error:
            raise VersionConflict(key, error.message) from None
        except ApiError as error:
            raise WriteRefused(key, error.message) from error

    async def _until_answered(self, call: Callable[[], Awaitable[Answer]], what: str) -> Answer:
        """What the server says, however long it is away. Raises ApiError when it refuses, StoreClosed."""
        failures = 0
        while not self._closed:
            try:
                return await call()
            except (httpx.TransportError, ApiError) as error:
                if isinstance(error, ApiError) and not _is_passing(error):
                    raise
                failures += 1
                _log.warning("API server: %s: %s; trying again", what, error or type(error).__name__)
            await asyncio.sleep(self._reconnect.delay(failures, self._rng))
        raise StoreClosed(f"{what}: the store was closed")

    def _note_missing(self, kind: str) -> None:
        if kind not in self._missing:
            self._missing.add(kind)
            _log.warning(
                "the API server does not serve %s: it is treated as having no objects; install its "
                "CustomResourceDefinition, and it is read within %g s",
                kind,
                self._missing_kind_period,
            )

    # --- changes --------------------------------------------------------------------------------------------

    def events(self, since: int, kinds: Collection[str]) -> EventStream:
        """Follow `kinds` after version `since`. The iteration raises HistoryGone when that is too old, and
        when a kind has appeared that was not served before."""
        stream = _ClusterEvents(since)
        if self._closed:
            stream.close()
            return stream
        stream.start(
            self._await_kind(kind, stream) if kind in self._missing else self._follow(kind, stream)
            for kind in kinds
        )
        self._streams.add(stream)
        stream.on_close = lambda: self._streams.discard(stream)
        return stream

    async def _follow(self, kind: str, stream: "_ClusterEvents") -> None:
        version = str(stream.since)
        failures = 0
        while True:
            try:
                watch = self._client.watch(kind, resource_version=version)
                async with aclosing(watch):
                    async for change in watch:
                        failures = 0
                        version = resource_version_of(change.object)
                        if change.type != BOOKMARK:
                            await stream.put(_event(change))
            except (Gone, NotFound):
                raise HistoryGone(int(version), int(version) + 1) from None
            except (httpx.TransportError, ValueError) as error:
                failures += 1
                _log.info("API server: watch of %s: %s; again", kind, error or type(error).__name__)
            except ApiError as error:
                if not _is_passing(error):
                    raise
                failures += 1
            await asyncio.sleep(self._reconnect.delay(max(1, failures), self._rng))

    async def _await_kind(self, kind: str, stream: "_ClusterEvents") -> None:
        while True:
            await asyncio.sleep(self._missing_kind_period)
            await self.list(kind)
            if kind not in self._missing:
                _log.info("the API server serves %s now", kind)
                raise HistoryGone(stream.since, stream.since + 1)

    def close(self) -> None:
        """End every stream, and every call that waits for the server. Idempotent."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()


class _ClusterEvents(EventStream):
    """The watches of several kinds as one stream."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.on_close: Callable[[], None] = lambda: None
        self._queue: asyncio.Queue[StoreEvent | Exception | None] = asyncio.Queue(_BACKLOG)
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closed = False
        self._position = since

    def start(self, work: Iterable[Coroutine[object, object, None]]) -> None:
        self._tasks = [asyncio.ensure_future(self._run(one)) for one in work]

    async def _run(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except (HistoryGone, StoreClosed, ApiError) as error:
            await self._queue.put(error)

    async def put(self, event: StoreEvent) -> None:
        """Waits while the reader is behind."""
        await self._queue.put(event)

    @property
    def position(self) -> int:
        return self._position

    def __aiter__(self) -> "_ClusterEvents":
        return self

    async def __anext__(self) -> StoreEvent:
        found = None if self._is_closed else await self._queue.get()
        if isinstance(found, Exception):
            self.close()
            raise found
        if found is None:
            raise StopAsyncIteration
        self._position = max(self._position, found.resource_version)
        return found

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        if self._queue.empty():
            self._queue.put_nowait(None)  # whoever waits wakes up
        self.on_close()


def _event(change: WatchEvent) -> StoreEvent:
    return StoreEvent(
        EventType(change.type), key_of(change.object), change.object, int(resource_version_of(change.object))
    )


def _is_passing(error: ApiError) -> bool:
    """The server may answer otherwise in a moment, to the same request."""
    return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status == HTTPStatus.TOO_MANY_REQUESTS
