"""From the store to the snapshots of connected nodes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path

import pytest

from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.cache import SnapshotCache
from control_plane.debounce import DebounceSettings
from control_plane.publisher import SnapshotPublisher, identify
from control_plane.resources.manifest import Manifest, objects, resource_version_of, section
from control_plane.snapshot import CLUSTER_TYPE, ENDPOINT_TYPE, InconsistentSnapshot, Snapshot
from control_plane.status import StatusWriter
from control_plane.store.api import HistoryGone
from control_plane.store.sqlite import SqliteStore
from control_plane.subscription import TypeStatus
from control_plane.translate.settings import Client
from control_plane.translate.translator import Translator
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

CATALOG = "outbound|8080||catalog.shop.svc.cluster.local"


class _Stream:
    """A connected sidecar that remembers what it was given."""

    connected_at = 0.0

    def __init__(self, pod: str = "web-1", namespace: str = "shop") -> None:
        self.node = Node(id=f"sidecar~10.244.0.9~{pod}.{namespace}~{namespace}.svc.cluster.local")
        self.node.metadata.update({"GENERATOR": "meshproxy"})
        self.given: asyncio.Queue[Snapshot] = asyncio.Queue()

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self.given.put_nowait(snapshot)

    def statuses(self) -> Mapping[str, TypeStatus]:
        return {}

    async def next(self) -> Snapshot:
        return await asyncio.wait_for(self.given.get(), 30)


class _Observer:
    def __init__(self) -> None:
        self.pushes: list[tuple[str, list[str]]] = []
        self.gone: list[str] = []
        self._published: list[str] = []

    def on_published(self, node_id: str, changed_at: float) -> None:
        self._published.append(node_id)

    def on_push(self, trigger: str) -> None:
        self.pushes.append((trigger, self._published))
        self._published = []

    def forget(self, node_id: str) -> None:
        self.gone.append(node_id)


class _StillClock:
    """Time stands still: with a quiet time of 0 every change is due at once."""

    def monotonic(self) -> float:
        return 100.0


class _Desk:
    """A store, a cache, and a publisher between them."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.cache = SnapshotCache()
        self.observer = _Observer()
        self.statuses = StatusWriter(store, lambda: 0.0)
        self.publisher = SnapshotPublisher(
            store,
            self.cache,
            mesh.STRICT,
            clock=_StillClock(),
            debounce=DebounceSettings(0.0, 0.0),
            statuses=self.statuses,
            observer=self.observer,
        )

    async def create(self, manifest: Manifest) -> Manifest:
        metadata = section(manifest, "metadata")
        kept = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
        return await self.store.create({**manifest, "metadata": kept})

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        halves = (self.publisher.run(), self.publisher.push(), self.publisher.write_statuses())
        tasks = [asyncio.ensure_future(half) for half in halves]
        try:
            await self.publisher.is_synced.wait()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def connect(self, stream: _Stream) -> _Stream:
        self.cache.attach(stream)
        return stream


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[_Desk]:
    store = await SqliteStore.open(tmp_path / "state.db")
    desk = _Desk(store)
    await store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    await desk.create(build.service("catalog"))
    yield desk
    await store.close()


async def test_a_node_that_connects_is_served_at_once(desk: _Desk) -> None:
    async with desk.running():
        stream = desk.connect(_Stream())
        snapshot = stream.given.get_nowait()
        assert CATALOG in snapshot.of_type(CLUSTER_TYPE)
        assert desk.observer.pushes == [("proxy", [stream.node.id])]


async def test_a_node_that_connects_before_everything_was_read_is_served_then(desk: _Desk) -> None:
    stream = desk.connect(_Stream())
    assert stream.given.empty()
    async with desk.running():
        assert CATALOG in (await stream.next()).of_type(CLUSTER_TYPE)


async def test_a_change_reaches_connected_nodes_and_a_change_of_nothing_does_not(desk: _Desk) -> None:
    async with desk.running():
        stream = desk.connect(_Stream())
        await stream.next()
        await desk.create(
            build.endpoint_slice(
                "catalog", build.endpoint("10.244.0.7"), name="unused-port", ports=[("x", 1)]
            )
        )
        await desk.create(build.endpoint_slice("catalog", build.endpoint("10.244.0.7")))
        snapshot = await stream.next()
        assert b"10.244.0.7" in snapshot.of_type(ENDPOINT_TYPE)[CATALOG].body.value
        assert stream.given.empty()
        assert desk.observer.pushes[1:] == [("config", [stream.node.id])]


async def test_a_deleted_object_leaves(desk: _Desk) -> None:
    async with desk.running():
        stream = desk.connect(_Stream())
        await stream.next()
        await desk.store.delete("Service", "shop", "catalog")
        assert CATALOG not in (await stream.next()).of_type(CLUSTER_TYPE)


async def test_only_the_affected_are_looked_at(desk: _Desk) -> None:
    await desk.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    async with desk.running():
        here, there = desk.connect(_Stream()), desk.connect(_Stream(namespace="other"))
        await here.next()
        await there.next()
        rule = build.rule(build.backend("gone", namespace="shop"))
        await desk.create(build.route("mine", rule, namespace="other", parent_namespace="shop"))
        await there.next()
        assert here.given.empty()


async def test_after_falling_behind_everything_is_read_again(
    desk: _Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, failures = desk.store.events, [HistoryGone(1, 2)]

    def once_gone(since: int, kinds: Collection[str] | None = None) -> object:
        if failures:
            raise failures.pop()
        return events(since, kinds)

    monkeypatch.setattr(desk.store, "events", once_gone)
    async with desk.running():
        stream = desk.connect(_Stream())
        await stream.next()
        await desk.create(build.service("late"))
        assert len((await stream.next()).of_type(CLUSTER_TYPE)) == 7
    assert not failures


async def test_an_object_that_cannot_be_read_is_left_out(
    desk: _Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.create({**build.service("broken"), "spec": {"bogus": 1}})
    async with desk.running():
        assert CATALOG in (await desk.connect(_Stream()).next()).of_type(CLUSTER_TYPE)
    assert "broken" in caplog.text


async def test_what_is_not_understood_is_told_so_until_it_is(desk: _Desk) -> None:
    await desk.create(build.route("split"))
    async with desk.running():
        await _settled(desk)
        good = await desk.store.get("HTTPRoute", "shop", "split")
        spec = section(good, "spec")
        assert _accepted(good) == ("True", "Accepted")
        odd = await desk.store.update({**good, "spec": {**spec, "hostnames": 7}})
        version = await _settled(desk)
        told = await desk.store.get("HTTPRoute", "shop", "split")
        assert _accepted(told) == ("False", "Invalid")
        assert version == int(resource_version_of(odd)) + 1  # written once
        await desk.store.update({**told, "spec": spec})
        await _settled(desk)
        assert _accepted(await desk.store.get("HTTPRoute", "shop", "split")) == ("True", "Accepted")


def _accepted(route: Manifest) -> tuple[object, object]:
    [parent] = objects(section(route, "status"), "parents")
    [found] = [one for one in objects(parent, "conditions") if one["type"] == "Accepted"]
    return found["status"], found["reason"]


async def test_statuses_are_written_and_tried_again(desk: _Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    write, asked = desk.statuses.write, []

    async def once_in_vain(routes: Collection[object], registry: object) -> frozenset[object]:
        asked.append(routes)
        return frozenset(routes) if len(asked) == 1 else await write(routes, registry)  # type: ignore[arg-type]

    monkeypatch.setattr(desk.statuses, "write", once_in_vain)
    await desk.create(build.route("split"))
    async with desk.running(), asyncio.timeout(30):
        since = desk.store.resource_version
        async for event in desk.store.events(since, ["HTTPRoute"]):
            assert "parents" in section(event.resource, "status")
            break
    assert len(asked) >= 2


async def test_what_cannot_be_published_is_logged_and_the_old_stays(
    desk: _Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk.running():
        stream = desk.connect(_Stream())
        before = await stream.next()

        def refuse(*_: object) -> Snapshot:
            raise InconsistentSnapshot("cds needs eds")

        monkeypatch.setattr(Translator, "snapshot", refuse)
        desk.publisher.on_node_connected(stream.node)
        assert desk.cache.get(stream.node.id) is before
    assert "is not published" in caplog.text


async def test_a_node_without_a_readable_id_gets_nothing(desk: _Desk) -> None:
    stream = _Stream()
    stream.node.id = "nonsense"
    async with desk.running():
        desk.connect(stream)
        assert stream.given.empty()
    assert identify(stream.node) is None


async def test_who_left_is_forgotten(desk: _Desk) -> None:
    async with desk.running():
        stream = desk.connect(_Stream())
        desk.connect(_Stream("web-2"))
        desk.cache.detach(stream)
        assert desk.observer.gone == [stream.node.id]


async def test_it_ends_with_the_store(desk: _Desk) -> None:
    running = asyncio.ensure_future(desk.publisher.run())
    await desk.publisher.is_synced.wait()
    await desk.store.close()
    await asyncio.wait_for(running, 30)


def test_the_kind_of_client_is_read_from_the_metadata() -> None:
    node = _Stream().node
    node.metadata.update({"GENERATOR": "envoy", "SDS_DIR": "/sds", "LABELS": {"app": "x"}})
    identified = identify(node)
    assert identified is not None
    assert identified.client == Client("shop", is_envoy=True, secrets_dir="/sds")


async def test_a_status_that_somebody_overwrote_is_set_right_and_that_is_all(desk: _Desk) -> None:
    """A write of ours comes back as an event: it must not cause another one, nor a push."""
    async with desk.running():
        await desk.create(build.route("split"))
        await _settled(desk)
        stream = desk.connect(_Stream())
        await stream.next()
        stored = await desk.store.get("HTTPRoute", "shop", "split")
        right = stored["status"]
        await desk.store.update_status({**stored, "status": {"parents": []}})
        version = await _settled(desk)
        after = await desk.store.get("HTTPRoute", "shop", "split")
        assert section(after, "status") == right
        assert desk.statuses.writes == 2
        assert desk.store.resource_version == version
        assert stream.given.empty()


async def _settled(desk: _Desk) -> int:
    """Wait until nothing is written any more; returns the store's version then. However slow the disk is:
    an empty write ends after those before it."""
    version, since = -1, 0
    while since < 20:
        await desk.store._writer.run(lambda transaction: None)
        since = since + 1 if version == desk.store.resource_version else 0
        version = desk.store.resource_version
        for _ in range(10):  # of the loop's turns
            await asyncio.sleep(0)
    return version
