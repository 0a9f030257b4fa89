"""The stored status of policies: written once, kept where nothing changed, for every target."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.index import Index
from control_plane.resources.manifest import Manifest, ObjectKey, section
from control_plane.status import StatusWriter
from control_plane.store.api import VersionConflict
from control_plane.store.sqlite import SqliteStore
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate.test_policies import ROUTE, SERVICE, policy

KEY = ObjectKey("TrafficPolicy", "shop", "one")
NOON = 1_767_268_800.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "state.db")
    await opened.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    yield opened
    await opened.close()


async def _stored(store: SqliteStore, name: str, *refs: Manifest) -> Manifest:
    made = policy("TrafficPolicy", name, *refs, timeouts={"request": "1s"})
    return await store.create({**made, "metadata": {"name": name, "namespace": "shop"}})


async def _reasons(store: SqliteStore, key: ObjectKey = KEY) -> list[str]:
    listed = section(await store.get(*key), "status").get("ancestors", [])
    assert isinstance(listed, list)
    return [f"{one['ancestorRef']['kind']} {one['conditions'][0]['reason']}" for one in listed]


async def test_every_target_has_its_entry_and_nothing_is_written_twice(store: SqliteStore) -> None:
    index = Index()
    writer = StatusWriter(store, lambda: NOON)
    change = index.apply(await _stored(store, "one", SERVICE, ROUTE))
    assert change.routes == {KEY}
    assert await writer.write(change.routes, index.registry) == frozenset()
    assert await _reasons(store) == ["Service TargetNotFound", "HTTPRoute TargetNotFound"]
    version = section(await store.get(*KEY), "metadata")["resourceVersion"]
    await writer.write(change.routes, index.registry)
    assert section(await store.get(*KEY), "metadata")["resourceVersion"] == version
    for manifest in (build.service("catalog"), build.route("split")):
        change = index.apply(manifest)
        assert KEY in change.routes
        await writer.write({KEY}, index.registry)
    assert await _reasons(store) == ["Service Accepted", "HTTPRoute Accepted"]


async def test_who_loses_hears_of_it_and_of_winning(store: SqliteStore) -> None:
    index = Index()
    index.apply(build.service("catalog"))
    writer = StatusWriter(store, lambda: NOON)
    for name in ("a", "one"):
        change = index.apply(await _stored(store, name))
        await writer.write(change.routes, index.registry)
    assert change.routes == {KEY, KEY._replace(name="a")}
    assert await _reasons(store) == ["Service Conflicted"]
    change = index.delete("TrafficPolicy", "shop", "a")
    assert change.routes == {KEY}
    await writer.write(change.routes, index.registry)
    assert await _reasons(store) == ["Service Accepted"]
    assert index.delete("Service", "shop", "catalog").routes == {KEY}


async def test_what_is_gone_or_another_version_is_left_alone(store: SqliteStore) -> None:
    index = Index()
    writer = StatusWriter(store, lambda: NOON)
    index.apply(policy("TrafficPolicy", "one"))
    assert await writer.write({KEY}, index.registry) == frozenset()
    await _stored(store, "one")
    await writer.write({KEY}, index.registry)
    assert await _reasons(store) == []


async def test_a_write_that_another_overtook_is_tried_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index()
    change = index.apply(await _stored(store, "one"))

    async def overtaken(resource: Manifest) -> Manifest:
        raise VersionConflict(KEY, "another was faster")

    monkeypatch.setattr(store, "update_status", overtaken)
    assert await StatusWriter(store, lambda: NOON).write(change.routes, index.registry) == {KEY}
