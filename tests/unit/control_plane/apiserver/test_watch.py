"""Watches: what is told, when they end, and that nothing of them stays."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.apiserver.selector import parse_selection
from control_plane.apiserver.watch import WatchStreams, event_lines
from control_plane.resources.manifest import Manifest, name_of
from control_plane.store.sqlite import SqliteStore
from tests.unit.control_plane.apiserver.conftest import Api


def config_map(name: str, namespace: str = "shop", **labels: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "state.db", retained=8)
    for name in ("shop", "bank"):
        await store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield store
    await store.close()


class Watcher:
    """A watch and what it told so far."""

    def __init__(
        self,
        store: SqliteStore,
        *,
        labels: str = "",
        namespace: str = "",
        initial: list[Manifest] | None = None,
        lifetime: float = 60.0,
    ) -> None:
        self.streams = WatchStreams()
        self.lines = event_lines(
            initial or [],
            store.events(store.resource_version, {"ConfigMap"}),
            namespace=namespace,
            selection=parse_selection(labels, ""),
            streams=self.streams,
            lifetime=lifetime,
        )

    async def next(self) -> tuple[str, str]:
        async with asyncio.timeout(30):
            line = await anext(self.lines)
        assert line.endswith(b"\n")
        event = json.loads(line)
        return event["type"], name_of(event["object"]) or event["object"]["reason"]

    async def rest(self) -> list[bytes]:
        async with asyncio.timeout(30):
            return [line async for line in self.lines]


async def test_tells_changes_of_its_namespace(store: SqliteStore) -> None:
    watcher = Watcher(store, namespace="shop")
    await store.create(config_map("elsewhere", "bank"))
    await store.create(config_map("a"))
    await store.update(config_map("a", x="y"))
    await store.delete("ConfigMap", "shop", "a")
    assert [await watcher.next() for _ in range(3)] == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_moving_in_and_out_of_the_selection(store: SqliteStore) -> None:
    watcher = Watcher(store, labels="app=web")
    await store.create(config_map("a", app="db"))
    await store.update(config_map("a", app="web"))
    await store.update(config_map("a", app="web", tier="1"))
    await store.update(config_map("a", app="db"))
    await store.update(config_map("a", app="cache"))
    await store.delete("ConfigMap", "shop", "a")
    await store.create(config_map("end", app="web"))
    told = [await watcher.next() for _ in range(4)]
    assert told == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "end")]


async def test_an_unknown_past_is_told_as_having_been_in(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = await SqliteStore.open(path, retained=2)
    await store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    await store.create(config_map("a", app="web"))
    await store.update(config_map("a", app="web", n="1"))
    await store.update(config_map("a", app="db"))
    await store.close()
    store = await SqliteStore.open(path, retained=2)
    lines = event_lines(
        [],
        store.events(2),
        namespace="",
        selection=parse_selection("app=web", ""),
        streams=WatchStreams(),
        lifetime=60.0,
    )
    kinds = [json.loads(await anext(lines))["type"] for _ in range(2)]
    assert kinds == ["MODIFIED", "DELETED"]
    await lines.aclose()  # type: ignore[attr-defined]
    await store.close()


async def test_initial_objects_come_first(store: SqliteStore) -> None:
    watcher = Watcher(store, initial=[config_map("old")])
    await store.create(config_map("new"))
    assert [await watcher.next() for _ in range(2)] == [("ADDED", "old"), ("ADDED", "new")]


async def test_a_watch_ends_with_its_lifetime(store: SqliteStore) -> None:
    watcher = Watcher(store, lifetime=0.0)
    assert await watcher.rest() == []
    assert len(watcher.streams) == 0


async def test_a_watch_that_falls_behind_is_told_to_list_again(store: SqliteStore) -> None:
    watcher = Watcher(store)
    for number in range(20):
        await store.create(config_map(f"c{number}"))
    assert await watcher.next() == ("ERROR", "Expired")
    assert await watcher.rest() == []
    assert len(watcher.streams) == 0


async def test_stopping_the_server_ends_watches_also_later_ones(store: SqliteStore) -> None:
    watcher = Watcher(store)
    waiting = asyncio.ensure_future(watcher.rest())
    await asyncio.sleep(0)
    watcher.streams.close()
    assert await waiting == []
    late = Watcher(store)
    late.streams.close()
    assert await late.rest() == []


async def test_an_abandoned_watch_leaves_nothing(store: SqliteStore) -> None:
    watcher = Watcher(store, initial=[config_map("old")])
    await watcher.next()
    assert len(watcher.streams) == 1
    await watcher.lines.aclose()  # type: ignore[attr-defined]
    assert len(watcher.streams) == 0


async def test_over_http(api: Api) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    await api.call("POST", path, {"metadata": {"name": "a"}})
    version = str(api.store.resource_version)
    for parameters in ({"resourceVersion": "0"}, {}):
        api.app.streams.close()  # so that each ends after what it has to tell at once
        answer = await api.http.get(path, params={"watch": "1", **parameters})
        (event,) = [json.loads(line) for line in answer.text.splitlines()]
        assert (event["type"], event["object"]["metadata"]["resourceVersion"]) == ("ADDED", version)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"resourceVersion": "999"}, 410),
        ({"resourceVersion": "abc"}, 400),
        ({"resourceVersion": "1", "timeoutSeconds": "-1"}, 400),
        ({"sendInitialEvents": "true"}, 422),
        ({"labelSelector": "("}, 400),
    ],
)
async def test_watches_that_are_refused(api: Api, parameters: dict[str, str], code: int) -> None:
    answer = await api.http.get("/api/v1/pods", params={"watch": "true", **parameters})
    assert answer.status_code == code
