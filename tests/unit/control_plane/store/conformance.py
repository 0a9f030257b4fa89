"""What every store must do. A test class derives from `StoreConformance` and provides the fixture `store`."""

import asyncio

import pytest

from control_plane.resources.manifest import (
    Manifest,
    labels_of,
    metadata,
    name_of,
    resource_version_of,
    uid_of,
    with_metadata,
)
from control_plane.store.api import (
    EventStream,
    EventType,
    HistoryGone,
    NamespaceTerminating,
    ObjectExists,
    ObjectNotFound,
    Store,
    StoreEvent,
    VersionConflict,
)
from control_plane.store.deletion import DeletionRequest


def namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def config_map(name: str, value: str = "1", in_namespace: str = "shop", **labels: str) -> Manifest:
    meta: Manifest = {"name": name, "namespace": in_namespace}
    if labels:
        meta["labels"] = labels
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"key": value}}


def pod(name: str, image: str = "app:1", phase: str = "") -> Manifest:
    manifest: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": [{"name": "app", "image": image}]},
    }
    return {**manifest, "status": {"phase": phase}} if phase else manifest


def on_node(name: str) -> Manifest:
    """A Pod that may have processes."""
    manifest = pod(name)
    return {**manifest, "spec": {"nodeName": "node", "terminationGracePeriodSeconds": 9}}


async def take(events: EventStream, count: int) -> list[StoreEvent]:
    async with asyncio.timeout(30):
        return [await anext(events) for _ in range(count)]


class StoreConformance:
    """The shared suite."""

    @pytest.fixture
    async def shop(self, store: Store) -> Store:
        """The store with a namespace `shop`."""
        await store.create(namespace("shop"))
        return store

    async def test_an_empty_store_is_at_version_zero(self, store: Store) -> None:
        assert store.resource_version == 0
        assert await store.list("Pod") == ([], 0)

    async def test_create_fills_in_what_the_store_owns(self, shop: Store) -> None:
        stored = await shop.create(config_map("a"))
        meta = metadata(stored)
        assert meta["generation"] == 1
        assert meta["resourceVersion"] == str(shop.resource_version) == "2"
        assert str(meta["creationTimestamp"]).endswith("Z")
        assert len(uid_of(stored)) == 36
        assert await shop.get("ConfigMap", "shop", "a") == stored

    async def test_create_ignores_owned_metadata_of_the_caller(self, shop: Store) -> None:
        stored = await shop.create(
            with_metadata(config_map("a"), uid="mine", generation=9, resourceVersion="77")
        )
        assert uid_of(stored) != "mine"
        assert resource_version_of(stored) == "2"

    async def test_create_does_not_change_the_callers_object(self, shop: Store) -> None:
        wanted = config_map("a")
        await shop.create(wanted)
        assert wanted == config_map("a")

    async def test_create_of_a_taken_name_is_refused(self, shop: Store) -> None:
        await shop.create(config_map("a"))
        with pytest.raises(ObjectExists, match="ConfigMap shop/a already exists"):
            await shop.create(config_map("a", "2"))
        assert shop.resource_version == 2

    async def test_create_in_a_missing_namespace_is_refused(self, store: Store) -> None:
        with pytest.raises(ObjectNotFound, match="Namespace shop does not exist"):
            await store.create(config_map("a"))

    async def test_get_of_nothing_is_not_found(self, shop: Store) -> None:
        with pytest.raises(ObjectNotFound, match="ConfigMap shop/a does not exist"):
            await shop.get("ConfigMap", "shop", "a")

    async def test_list_is_ordered_and_limited_to_a_namespace(self, shop: Store) -> None:
        await shop.create(namespace("bank"))
        for name, where in (("b", "shop"), ("a", "shop"), ("z", "bank")):
            await shop.create(config_map(name, in_namespace=where))
        everything = await shop.list("ConfigMap")
        assert [name_of(item) for item in everything.items] == ["z", "a", "b"]
        assert everything.resource_version == 5
        assert [name_of(item) for item in (await shop.list("ConfigMap", "shop")).items] == ["a", "b"]

    async def test_update_replaces_and_bumps_the_generation(self, shop: Store) -> None:
        created = await shop.create(config_map("a"))
        updated = await shop.update(config_map("a", "2", app="web"))
        assert updated["data"] == {"key": "2"}
        assert labels_of(updated) == {"app": "web"}
        assert metadata(updated)["generation"] == 2
        assert uid_of(updated) == uid_of(created)
        assert metadata(updated)["creationTimestamp"] == metadata(created)["creationTimestamp"]

    async def test_a_change_of_labels_keeps_the_generation(self, shop: Store) -> None:
        await shop.create(config_map("a"))
        updated = await shop.update(config_map("a", app="web"))
        assert metadata(updated)["generation"] == 1
        assert resource_version_of(updated) == "3"

    async def test_an_update_without_a_change_makes_no_event(self, shop: Store) -> None:
        created = await shop.create(config_map("a"))
        assert await shop.update(config_map("a")) == created
        assert shop.resource_version == 2

    async def test_update_leaves_status_alone(self, shop: Store) -> None:
        await shop.create(pod("a", phase="Pending"))
        updated = await shop.update(pod("a", image="app:2", phase="Failed"))
        assert updated["status"] == {"phase": "Pending"}

    async def test_update_status_replaces_status_only(self, shop: Store) -> None:
        await shop.create(pod("a", phase="Pending"))
        updated = await shop.update_status(pod("a", image="app:2", phase="Running"))
        assert updated["status"] == {"phase": "Running"}
        assert updated["spec"] == pod("a")["spec"]
        assert metadata(updated)["generation"] == 1
        assert await shop.update_status(pod("a", phase="Running")) == updated
        assert "status" not in await shop.update_status(pod("a"))

    async def test_update_of_a_stale_version_conflicts(self, shop: Store) -> None:
        created = await shop.create(config_map("a"))
        await shop.update(config_map("a", "2"))
        with pytest.raises(VersionConflict, match="resourceVersion is 3, not 2"):
            await shop.update({**created, "data": {}})

    async def test_only_one_of_two_racing_updates_wins(self, shop: Store) -> None:
        created = await shop.create(config_map("a"))
        racing = [shop.update({**created, "data": {"by": str(number)}}) for number in range(8)]
        outcomes = await asyncio.gather(*racing, return_exceptions=True)
        assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 7

    async def test_update_of_a_remade_object_conflicts(self, shop: Store) -> None:
        first = await shop.create(config_map("a"))
        await shop.delete("ConfigMap", "shop", "a")
        await shop.create(config_map("a"))
        with pytest.raises(VersionConflict, match="UID in precondition"):
            await shop.update(with_metadata(config_map("a", "2"), uid=uid_of(first)))

    async def test_update_and_delete_of_nothing_are_not_found(self, shop: Store) -> None:
        with pytest.raises(ObjectNotFound):
            await shop.update(config_map("a"))
        with pytest.raises(ObjectNotFound):
            await shop.delete("ConfigMap", "shop", "a")

    async def test_delete_returns_the_last_state_at_its_own_version(self, shop: Store) -> None:
        created = await shop.create(config_map("a"))
        last = await shop.delete("ConfigMap", "shop", "a")
        assert last == (with_metadata(created, resourceVersion="3"), True)
        assert (await shop.list("ConfigMap")).items == []

    async def test_delete_checks_its_preconditions(self, shop: Store) -> None:
        created = await shop.create(config_map("a"))
        with pytest.raises(VersionConflict):
            await shop.delete("ConfigMap", "shop", "a", DeletionRequest(uid="other"))
        with pytest.raises(VersionConflict):
            await shop.delete("ConfigMap", "shop", "a", DeletionRequest(resource_version="1"))
        version = resource_version_of(created)
        await shop.delete("ConfigMap", "shop", "a", DeletionRequest(uid_of(created), version))

    async def test_deleting_a_namespace_deletes_what_is_in_it(self, shop: Store) -> None:
        await shop.create(namespace("bank"))
        await shop.create(config_map("kept", in_namespace="bank"))
        await shop.create(config_map("a"))
        await shop.create(pod("b"))
        events = shop.events(shop.resource_version)
        await shop.delete("Namespace", "", "shop")
        deleted = await take(events, 3)
        assert [str(event.key) for event in deleted] == ["ConfigMap shop/a", "Pod shop/b", "Namespace shop"]
        assert {event.type for event in deleted} == {EventType.DELETED}
        assert [name_of(item) for item in (await shop.list("ConfigMap")).items] == ["kept"]

    async def test_a_pod_on_a_node_stays_for_its_grace_period(self, shop: Store) -> None:
        await shop.create(on_node("a"))
        marked = await shop.delete("Pod", "shop", "a", DeletionRequest(grace=5))
        assert not marked.is_gone
        meta = metadata(marked.resource)
        assert (meta["deletionGracePeriodSeconds"], meta["generation"]) == (5, 2)
        assert await shop.get("Pod", "shop", "a") == marked.resource
        assert await shop.delete("Pod", "shop", "a") == marked  # asked again, nothing changes
        stored = await shop.update({**on_node("a"), "metadata": {"name": "a", "namespace": "shop"}})
        assert metadata(stored)["deletionTimestamp"] == meta["deletionTimestamp"]
        assert (await shop.delete("Pod", "shop", "a", DeletionRequest(grace=0))).is_gone
        assert (await shop.list("Pod")).items == []

    async def test_the_last_finalizer_takes_the_object_with_it(self, shop: Store) -> None:
        held = with_metadata(config_map("a"), finalizers=["x.io/one", "x.io/two"])
        await shop.create(held)
        assert not (await shop.delete("ConfigMap", "shop", "a", DeletionRequest(grace=0))).is_gone
        await shop.update(with_metadata(held, finalizers=["x.io/two"]))
        events = shop.events(shop.resource_version)
        last = await shop.replace(with_metadata(held, finalizers=[]))
        (event,) = await take(events, 1)
        assert (event.type, event.resource) == (EventType.DELETED, last)
        assert (await shop.list("ConfigMap")).items == []

    async def test_what_goes_in_the_foreground_waits_for_the_garbage_collector(self, shop: Store) -> None:
        await shop.create(config_map("a"))
        marked = await shop.delete("ConfigMap", "shop", "a", DeletionRequest(propagation="Foreground"))
        assert metadata(marked.resource)["finalizers"] == ["foregroundDeletion"]
        assert (await shop.update(with_metadata(config_map("a"), finalizers=[])))["kind"] == "ConfigMap"
        assert (await shop.list("ConfigMap")).items == []

    async def test_a_namespace_goes_with_the_last_object_in_it(self, shop: Store) -> None:
        await shop.create(config_map("a"))
        await shop.create(on_node("b"))
        terminating = await shop.delete("Namespace", "", "shop")
        assert (terminating.is_gone, terminating.resource["status"]) == (False, {"phase": "Terminating"})
        assert (await shop.list("ConfigMap")).items == []
        with pytest.raises(NamespaceTerminating, match="being deleted"):
            await shop.create(config_map("late"))
        events = shop.events(shop.resource_version)
        assert (await shop.delete("Pod", "shop", "b", DeletionRequest(grace=0))).is_gone
        gone = await take(events, 2)
        assert [str(event.key) for event in gone] == ["Pod shop/b", "Namespace shop"]
        assert {event.type for event in gone} == {EventType.DELETED}
        await shop.create(namespace("shop"))

    async def test_events_tell_every_change_in_order(self, shop: Store) -> None:
        events = shop.events(1)
        created = await shop.create(config_map("a"))
        updated = await shop.update(config_map("a", "2"))
        deleted, _ = await shop.delete("ConfigMap", "shop", "a")
        seen = await take(events, 3)
        assert [event.type for event in seen] == [EventType.ADDED, EventType.MODIFIED, EventType.DELETED]
        assert [event.resource for event in seen] == [created, updated, deleted]
        assert [event.previous for event in seen] == [None, created, updated]
        assert [event.resource_version for event in seen] == [2, 3, 4]

    async def test_events_replay_what_happened_before(self, shop: Store) -> None:
        await shop.create(config_map("a"))
        await shop.create(config_map("b"))
        seen = await take(shop.events(2), 1)
        assert seen[0].key.name == "b"

    async def test_events_can_be_limited_to_kinds(self, shop: Store) -> None:
        events = shop.events(0, kinds={"Pod"})
        await shop.create(config_map("a"))
        await shop.create(pod("b"))
        assert [event.kind for event in await take(events, 1)] == ["Pod"]

    async def test_a_waiting_reader_is_woken(self, shop: Store) -> None:
        reader = asyncio.ensure_future(take(shop.events(1), 1))
        await asyncio.sleep(0)
        await shop.create(config_map("a"))
        assert (await reader)[0].key.name == "a"

    async def test_a_closed_stream_ends_also_while_waiting(self, shop: Store) -> None:
        events = shop.events(shop.resource_version)
        reader = asyncio.ensure_future(take(events, 1))
        await asyncio.sleep(0)
        events.close()
        with pytest.raises(StopAsyncIteration):
            await reader
        events.close()

    async def test_events_of_the_future_are_refused(self, shop: Store) -> None:
        with pytest.raises(HistoryGone):
            shop.events(99)

    async def test_a_cancelled_caller_leaves_the_store_whole(self, shop: Store) -> None:
        call = asyncio.ensure_future(shop.create(config_map("a")))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await shop.create(config_map("b"))
        names = [name_of(item) for item in (await shop.list("ConfigMap")).items]
        assert names == ["a", "b"]

    async def test_a_key_is_put_once_until_it_is_forgotten(self, store: Store) -> None:
        assert await store.put_once("tokens", "k", expires_at=100.0)
        assert not await store.put_once("tokens", "k", expires_at=200.0)
        assert await store.put_once("other", "k", expires_at=200.0)
        await store.forget_expired(now=100.0)
        assert await store.put_once("tokens", "k", expires_at=300.0)
        assert not await store.put_once("other", "k", expires_at=300.0)
