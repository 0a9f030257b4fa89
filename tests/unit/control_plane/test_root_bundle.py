"""The trust bundle's copies: one in every Namespace, and always right. On the real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.resources.manifest import Manifest, section
from control_plane.root_bundle import CONFIG_MAP, KEY, RootBundlePublisher
from control_plane.store.api import EventStream, ObjectNotFound
from control_plane.store.sqlite import SqliteStore

ROOT = b"-----BEGIN CERTIFICATE-----\nroot\n-----END CERTIFICATE-----\n"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "state.db")
    await store.create(namespace("shop"))
    yield store
    await store.close()


@pytest.fixture
async def running(store: SqliteStore) -> AsyncIterator[asyncio.Task[None]]:
    changes = store.events(store.resource_version, {"ConfigMap"})
    task = asyncio.create_task(RootBundlePublisher(store, ROOT).run())
    await next_change(changes)
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def config_map(name: str, data: dict[str, str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop"},
        "data": data,
    }


async def next_change(changes: EventStream) -> None:
    await asyncio.wait_for(anext(changes), 30)


async def published(store: SqliteStore, name: str) -> dict[str, object]:
    return section(await store.get("ConfigMap", name, CONFIG_MAP), "data")


async def test_namespaces_that_exist_get_a_copy(store: SqliteStore, running: asyncio.Task[None]) -> None:
    assert await published(store, "shop") == {KEY: ROOT.decode()}


async def test_a_new_namespace_gets_a_copy(store: SqliteStore, running: asyncio.Task[None]) -> None:
    changes = store.events(store.resource_version, {"ConfigMap"})
    await store.create(namespace("later"))
    await next_change(changes)
    assert await published(store, "later") == {KEY: ROOT.decode()}


@pytest.mark.parametrize("damage", ["changed", "deleted"])
async def test_a_copy_that_is_damaged_is_restored(
    store: SqliteStore, running: asyncio.Task[None], damage: str
) -> None:
    changes = store.events(store.resource_version, {"ConfigMap"})
    if damage == "changed":
        await store.update(config_map(CONFIG_MAP, {KEY: "evil"}))
    else:
        await store.delete("ConfigMap", "shop", CONFIG_MAP)
    await next_change(changes)
    await next_change(changes)
    assert await published(store, "shop") == {KEY: ROOT.decode()}


async def test_other_config_maps_are_left_alone(store: SqliteStore, running: asyncio.Task[None]) -> None:
    await store.create(config_map("settings", {"a": "1"}))
    changes = store.events(store.resource_version, {"ConfigMap"})
    await store.delete("ConfigMap", "shop", "settings")
    await store.create(namespace("marker"))  # comes after, so its copy says that the deletion was seen
    await next_change(changes)
    await next_change(changes)
    with pytest.raises(ObjectNotFound):
        await store.get("ConfigMap", "shop", "settings")


async def test_a_copy_that_is_right_is_not_written_again(store: SqliteStore) -> None:
    publisher = RootBundlePublisher(store, ROOT)
    await publisher.publish("shop")
    version = store.resource_version
    await publisher.publish("shop")
    assert store.resource_version == version


async def test_a_new_root_replaces_the_old_copy(store: SqliteStore) -> None:
    await RootBundlePublisher(store, b"old").publish("shop")
    await RootBundlePublisher(store, ROOT).publish("shop")
    assert await published(store, "shop") == {KEY: ROOT.decode()}


async def test_a_namespace_that_is_gone_is_no_error(store: SqliteStore) -> None:
    await RootBundlePublisher(store, ROOT).publish("gone")


async def test_it_ends_with_the_store(store: SqliteStore, running: asyncio.Task[None]) -> None:
    await store.close()
    await asyncio.wait_for(running, 30)
