"""Any sequence of changes and restarts: the same listing, and a history that adds up to it."""

import asyncio
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.resources.manifest import Manifest, ObjectKey, key_of, metadata, resource_version_of
from control_plane.store.api import EventType, StoreError, StoreEvent
from control_plane.store.sqlite import SqliteStore

KINDS = ("Namespace", "ConfigMap", "Pod")
_namespaces = st.sampled_from(["shop", "bank"])
_names = st.sampled_from(["a", "b"])
_values = st.integers(0, 2)
_kinds = st.sampled_from(["ConfigMap", "Pod"])
_steps = st.one_of(
    st.tuples(st.just("create namespace"), st.just("Namespace"), st.just(""), _namespaces, st.just(0)),
    st.tuples(st.just("delete"), st.just("Namespace"), st.just(""), _namespaces, st.just(0)),
    st.tuples(
        st.sampled_from(["create", "update", "status", "delete"]), _kinds, _namespaces, _names, _values
    ),
    st.tuples(st.just("restart"), st.just(""), st.just(""), st.just(""), st.just(0)),
)
Step = tuple[str, str, str, str, int]


def manifest(kind: str, namespace: str, name: str, value: int) -> Manifest:
    meta = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": {"value": value}}


async def apply(store: SqliteStore, step: Step) -> None:
    verb, kind, namespace, name, value = step
    wanted = manifest(kind, namespace, name, value)
    match verb:
        case "create" | "create namespace":
            await store.create(wanted)
        case "update":
            await store.update(wanted)
        case "status":
            await store.update_status({**wanted, "status": {"value": value}})
        case _:
            await store.delete(kind, namespace, name)


async def everything(store: SqliteStore) -> dict[ObjectKey, Manifest]:
    listings = [await store.list(kind) for kind in KINDS]
    return {key_of(item): item for listing in listings for item in listing.items}


def folded(events: Iterable[StoreEvent]) -> dict[ObjectKey, Manifest]:
    """The objects that a history leaves behind; checks that each event fits the state before it."""
    state: dict[ObjectKey, Manifest] = {}
    for event in events:
        assert resource_version_of(event.resource) == str(event.resource_version)
        assert event.previous == state.get(event.key)
        assert (event.type is EventType.ADDED) == (event.key not in state)
        if event.type is EventType.DELETED:
            del state[event.key]
        else:
            state[event.key] = event.resource
    return state


async def history(store: SqliteStore) -> list[StoreEvent]:
    events = store.events(0)
    return [await anext(events) for _ in range(store.resource_version)]


async def run(path: Path, steps: list[Step]) -> None:
    store = await SqliteStore.open(path)
    for step in steps:
        before, version = await everything(store), store.resource_version
        if step[0] == "restart":
            told = await history(store)
            await store.close()
            store = await SqliteStore.open(path)
            assert await history(store) == told
            assert (await everything(store), store.resource_version) == (before, version)
            continue
        try:
            await apply(store, step)
        except StoreError:
            assert (await everything(store), store.resource_version) == (before, version)
        for key, item in (await everything(store)).items():
            known = before.get(key)
            same_life = known is not None and metadata(known)["uid"] == metadata(item)["uid"]
            assert known is None or same_life
            assert not key.namespace or ObjectKey("Namespace", "", key.namespace) in await everything(store)
    told = await history(store)
    assert [event.resource_version for event in told] == list(range(1, store.resource_version + 1))
    assert folded(told) == await everything(store)
    await store.close()


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_steps, max_size=25))
def test_history_adds_up_over_restarts(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory) / "state.db", steps))
