"""Hundreds of Pods: everything is told, once and in order, in pieces that let others in between."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bench.scale.objects import Size
from bench.scale.seed import fill
from control_plane.apiserver.app import create_app
from control_plane.apiserver.selector import Selection
from control_plane.apiserver.watch import BOOKMARK, Bookmarks, WatchStreams, event_lines
from control_plane.cache import SnapshotCache
from control_plane.debounce import DebounceSettings
from control_plane.index import WATCHED_KINDS, Index
from control_plane.metrics import ControlPlaneMetrics
from control_plane.options import Options
from control_plane.publisher import SnapshotPublisher
from control_plane.resources.manifest import Manifest, key_of, name_of
from control_plane.status import StatusWriter
from control_plane.store.sqlite import SqliteStore
from tests.unit.control_plane.apiserver.minter import RecordingMinter

SIZE = Size(services=40, endpoints=400)
PODS = SIZE.endpoints + 3
"""With the bench's own."""
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class _StillClock:
    def monotonic(self) -> float:
        return 100.0


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("big") / "data"
    asyncio.run(fill(directory, SIZE))
    return directory / "state.db"


@pytest.fixture
async def store(filled: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(filled)
    yield opened
    await opened.close()


@pytest.fixture
async def http(store: SqliteStore) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(store, admin_token="t", token_minter=RecordingMinter(), now=lambda: 0.0)
    transport = httpx.ASGITransport(app.asgi, raise_app_exceptions=False)
    headers = {"Authorization": "Bearer t"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
        yield client


async def _items(http: httpx.AsyncClient, field: str = "items", **headers: str) -> list[Manifest]:
    found: list[Manifest] = (await http.get("/api/v1/pods", headers=headers)).json()[field]
    return found


async def test_a_store_that_is_opened_again_has_everything_in_order(store: SqliteStore):
    pods = (await store.list("Pod")).items
    keys = [key_of(pod)[1:] for pod in pods]
    assert (len(pods), keys) == (PODS, sorted(keys))
    alone = await store.list("Pod", "team-00")
    assert alone.items == [pod for pod in pods if key_of(pod).namespace == "team-00"]
    assert (await store.list("Pod", "team-0")).items == []


async def test_retained_changes_share_the_stored_objects(store: SqliteStore):
    last = store.events(store.resource_version - 1)
    event = await anext(last)
    assert event.resource is await store.get(*event.key)
    last.close()


async def test_pages_and_tables_tell_what_a_list_tells(http: httpx.AsyncClient):
    whole = await _items(http)
    assert len(whole) == PODS
    paged: list[Manifest] = []
    token = ""
    while True:
        query = {"limit": "170", **({"continue": token} if token else {})}
        page = (await http.get("/api/v1/pods", params=query)).json()
        paged += page["items"]
        if not (token := page["metadata"].get("continue", "")):
            break
    assert paged == whole
    rows = await _items(http, "rows", Accept=TABLE)
    assert [row["cells"][0] for row in rows] == [name_of(pod) for pod in whole]  # type: ignore[index]


async def test_others_are_answered_while_a_list_is_encoded(http: httpx.AsyncClient):
    done: list[str] = []

    async def ask(path: str) -> None:
        await http.get(path)
        done.append(path)

    await asyncio.gather(ask("/api/v1/pods"), ask("/readyz"))
    assert done == ["/readyz", "/api/v1/pods"]


async def test_a_watch_begins_with_everything(store: SqliteStore):
    pods = (await store.list("Pod")).items
    lines = event_lines(
        pods,
        store.events(store.resource_version, {"Pod"}),
        namespace="",
        selection=Selection(),
        streams=WatchStreams(),
        lifetime=60.0,
        bookmarks=Bookmarks({"kind": "Pod", "apiVersion": "v1"}, ends_initial=True),
    )
    told: list[Manifest] = []
    async for some in lines:
        told += map(json.loads, some.splitlines())
        if told[-1]["type"] == BOOKMARK:
            break
    assert [event["type"] for event in told] == ["ADDED"] * PODS + ["BOOKMARK"]
    assert [event["object"] for event in told[:-1]] == pods


async def test_the_order_of_reading_makes_no_difference(store: SqliteStore):
    cache = SnapshotCache()
    publisher = SnapshotPublisher(
        store,
        cache,
        Options(Path()).mesh,
        clock=_StillClock(),
        debounce=DebounceSettings(),
        statuses=StatusWriter(store, lambda: 0.0),
        observer=ControlPlaneMetrics(cache, lambda: 0.0),
    )
    index = Index()
    manifests = [item for kind in WATCHED_KINDS for item in (await store.list(kind)).items]
    random.Random(5).shuffle(manifests)
    for manifest in manifests:
        index.apply(manifest)
    running = asyncio.create_task(publisher.run())
    await publisher.is_synced.wait()
    assert publisher.registry.views == index.registry.views
    assert publisher.registry.clients == index.registry.clients
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
