"""Follows the store and publishes snapshots: changed objects in, `SnapshotCache.set` out, for connected nodes
only.

Changes are taken into the index at once and gathered by the debounce before anything is built. A node that
connects is served at once from the index as it is. Nothing is published before everything stored has been
read.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from google.protobuf.struct_pb2 import Struct

from control_plane.api.envoy.config.core.v3.base_pb2 import Node as XdsNode
from control_plane.cache import SnapshotCache
from control_plane.debounce import Debounce, DebounceSettings
from control_plane.discovery.model import EVERYONE, NOBODY, Affected, Locality
from control_plane.discovery.registry import Registry
from control_plane.index import WATCHED_KINDS, Change, Index
from control_plane.refusal import KINDS as REFUSABLE
from control_plane.refusal import Refusal, refusal_of
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest, ObjectKey, key_of
from control_plane.snapshot import InconsistentSnapshot
from control_plane.status import StatusWriter
from control_plane.store.api import EventType, HistoryGone, ObjectStore, StoreClosed, StoreEvent
from control_plane.translate.settings import MeshSettings, Node, NodeError, parse_node
from control_plane.translate.translator import Translator

_log = logging.getLogger(__name__)
_READ_AT_ONCE = 100
_READ_FIRST = ("Node", "Pod", "EndpointSlice")
"""Kinds whose objects Services are joined with. Read after them each Service is joined once, and not again
for each of its Pods."""
_LONGEST_NAME = 63
"""Characters of a zone, as of any label's value."""


class Clock(Protocol):
    """Where `now` comes from."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point."""
        ...


class PublishObserver(Protocol):
    """Who counts; called on the loop's thread."""

    def on_published(self, node_id: str, changed_at: float) -> None:
        """A new snapshot was set for a node because of a change at `changed_at` (monotonic seconds); its
        streams have not taken it up yet."""
        ...

    def on_push(self, trigger: str) -> None:
        """All snapshots that change because of something are set; at least one did."""
        ...

    def forget(self, node_id: str) -> None:
        """The node is gone."""
        ...


class SnapshotPublisher:
    """One per control plane. `run` and `push` are its two endless halves, `write_statuses` the third."""

    def __init__(
        self,
        store: ObjectStore,
        cache: SnapshotCache,
        settings: MeshSettings,
        *,
        clock: Clock,
        debounce: DebounceSettings,
        statuses: StatusWriter,
        observer: PublishObserver,
    ) -> None:
        self.is_synced = asyncio.Event()
        """Set once everything stored has been read."""
        self._store = store
        self._cache = cache
        self._settings = settings
        self._clock = clock
        self._debounce = Debounce(debounce)
        self._statuses = statuses
        self._observer = observer
        self._index = Index()
        self._translator = Translator(self._index.registry, settings)
        self._affected = NOBODY
        self._changed_at: float | None = None
        self._changed = asyncio.Event()
        self._dirty_routes: set[ObjectKey] = set()
        self._has_dirty_routes = asyncio.Event()
        self._refused: dict[ObjectKey, Refusal] = {}
        """Of objects whose latest version is not understood."""
        cache.on_node_connected = self.on_node_connected
        cache.on_node_gone = self.on_node_gone

    @property
    def registry(self) -> Registry:
        """What is known now."""
        return self._index.registry

    # --- store -> index -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read everything, then follow the changes; ends with the store."""
        while True:
            try:
                versions = await self._read_all()
                await self._follow(versions)
                return
            except StoreClosed:
                return
            except HistoryGone as error:
                _log.warning("discovery fell behind the store and reads everything again: %s", error)

    async def _read_all(self) -> Mapping[str, int]:
        """A fresh index of all objects; returns the version at which each kind was read."""
        index = Index()
        self._refused.clear()
        versions = {}
        for kind in sorted(WATCHED_KINDS, key=_reading_order):
            listing = await self._store.list(kind)
            versions[kind] = listing.resource_version
            for number, manifest in enumerate(listing.items, start=1):
                change = self._apply(index, manifest)
                self._dirty_routes |= change.routes
                if number % _READ_AT_ONCE == 0:
                    await asyncio.sleep(0)  # also when it fell behind: let requests of others in between
        self._index = index
        self._translator = Translator(index.registry, self._settings)
        self.is_synced.set()
        self._on_change(Change(EVERYONE, frozenset(self._dirty_routes)))
        return versions

    async def _follow(self, versions: Mapping[str, int]) -> None:
        stream = self._store.events(min(versions.values()), WATCHED_KINDS)
        try:
            async for event in stream:
                if event.resource_version > versions[event.kind]:
                    self._on_change(self._take_in(event))
        finally:
            stream.close()

    def _take_in(self, event: StoreEvent) -> Change:
        if event.type is EventType.DELETED:
            self._refused.pop(event.key, None)
            return self._index.delete(*event.key)
        return self._apply(self._index, event.resource)

    def _apply(self, index: Index, manifest: Manifest) -> Change:
        """What cannot be read leaves the object as it was last understood, and is told so."""
        key = key_of(manifest)
        try:
            change = index.apply(manifest)
        except InvalidResource as error:
            _log.error("discovery ignores %s: %s", key, error)
            self._refused[key] = refusal_of(manifest, error)
            return Change(routes=frozenset({key}))
        if self._refused.pop(key, None) is None:
            return change
        return replace(change, routes=change.routes | {key})

    def _on_change(self, change: Change) -> None:
        if change.routes:
            self._dirty_routes |= change.routes
            self._has_dirty_routes.set()
        if change.affected:
            now = self._clock.monotonic()
            self._affected |= change.affected
            self._changed_at = now if self._changed_at is None else self._changed_at
            self._debounce.on_change(now)
            self._changed.set()

    # --- index -> snapshots ---------------------------------------------------------------------------------

    async def push(self) -> None:
        """Publish when the debounce says so."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while (due := self._debounce.next_deadline()) is not None:
                now = self._clock.monotonic()
                if self._debounce.take(now):
                    await self._push_affected()
                else:
                    await asyncio.sleep(due - now)

    async def _push_affected(self) -> None:
        affected, changed_at = self._affected, self._changed_at
        self._affected, self._changed_at = NOBODY, None
        has_pushed = False
        for node in self._cache.nodes():
            if self._publish(node, affected) and changed_at is not None:
                self._observer.on_published(node.id, changed_at)
                has_pushed = True
            await asyncio.sleep(0)  # many nodes: let requests of others in between
        if has_pushed:
            self._observer.on_push("config")

    def on_node_connected(self, node: XdsNode) -> None:
        """Serve a new stream at once, if everything has been read."""
        if self.is_synced.is_set() and self._publish(node, EVERYONE):
            self._observer.on_published(node.id, self._clock.monotonic())
            self._observer.on_push("proxy")

    def on_node_gone(self, node_id: str) -> None:
        """Let go of what was built for a kind of client that is not there any more."""
        self._observer.forget(node_id)
        present = {identified.client for node in self._cache.nodes() if (identified := identify(node))}
        self._translator.keep_only(present)

    def _publish(self, node: XdsNode, affected: Affected) -> bool:
        """Build and set the snapshot of one node, if it is among those affected; whether it is a new one."""
        identified = identify(node)
        if identified is None or not affected.includes(identified.pod):
            return False
        try:
            snapshot = self._translator.snapshot(identified)
            before = self._cache.get(node.id)
            if before is not None and before.resources == snapshot.resources:
                return False
            return self._cache.set(node.id, snapshot)
        except InconsistentSnapshot:
            _log.exception("snapshot for node %r is not published; it keeps the one before", node.id)
            return False

    # --- statuses -------------------------------------------------------------------------------------------

    async def write_statuses(self) -> None:
        """Keep the status of routes up to date."""
        await self.is_synced.wait()
        while True:
            await self._has_dirty_routes.wait()
            self._has_dirty_routes.clear()
            routes, self._dirty_routes = self._dirty_routes, set()
            try:
                refused = [
                    self._refused[key] for key in routes & self._refused.keys() if key.kind in REFUSABLE
                ]
                again = await self._statuses.refuse(refused, self.registry)
                again |= await self._statuses.write(routes - self._refused.keys(), self.registry)
            except StoreClosed:
                return
            if again:
                self._on_change(Change(routes=again))


def identify(node: XdsNode) -> Node | None:
    """The pod and kind of client behind an xDS node; None when its id cannot be read."""
    try:
        found = parse_node(node.id, texts(node.metadata))
    except NodeError:
        return None
    place = Locality(node.locality.region[:_LONGEST_NAME], node.locality.zone[:_LONGEST_NAME])
    return replace(found, client=replace(found.client, locality=place))


def texts(metadata: Struct) -> dict[str, str]:
    """The string fields of a node's metadata."""
    fields = metadata.fields.items()
    return {name: value.string_value for name, value in fields if value.WhichOneof("kind") == "string_value"}


def _reading_order(kind: str) -> int:
    return _READ_FIRST.index(kind) if kind in _READ_FIRST else len(_READ_FIRST)
