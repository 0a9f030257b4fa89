"""A cluster's API server as the store: over our own REST server, which answers as Kubernetes does."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from control_plane.client import ApiClient, ApiError, ReconnectSettings
from control_plane.kubeconfig import Kubeconfig
from control_plane.resources.manifest import Manifest, section, with_metadata
from control_plane.store.api import (
    EventType,
    HistoryGone,
    NamespaceTerminating,
    ObjectExists,
    ObjectNotFound,
    StoreClosed,
    VersionConflict,
    WriteRefused,
)
from control_plane.store.cluster import ClusterStore
from tests.unit.control_plane.apiserver.serving import serving
from tests.unit.control_plane.store.conformance import config_map, namespace, pod, take

AT_ONCE = ReconnectSettings(base=0.001, cap=0.01)


@dataclass
class Place:
    store: ClusterStore
    client: ApiClient


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with serving(tmp_path) as serve, ApiClient(serve.config, reconnect=AT_ONCE) as client:
        store = ClusterStore(client, reconnect=AT_ONCE)
        await store.create(namespace("shop"))
        yield Place(store, client)
        store.close()


async def test_objects_come_and_go_as_in_any_store(place: Place) -> None:
    store = place.store
    created = await store.create(config_map("a"))
    assert await store.get("ConfigMap", "shop", "a") == created
    assert (await store.list("ConfigMap", "shop")).items == [created]
    changed = await store.update({**created, "data": {"key": "2"}})
    with pytest.raises(VersionConflict):
        await store.update({**created, "data": {"key": "3"}})
    assert section(changed, "data") == {"key": "2"}
    with pytest.raises(ObjectExists):
        await store.create(config_map("a"))
    with pytest.raises(ObjectNotFound, match="Namespace nowhere"):
        await store.create(config_map("a", in_namespace="nowhere"))
    for missing in (store.get("ConfigMap", "shop", "b"), store.update(config_map("b"))):
        with pytest.raises(ObjectNotFound):
            await missing


async def test_what_the_server_refuses_is_a_refusal_and_not_the_end(place: Place) -> None:
    created = await place.store.create(config_map("a"))
    bad: Manifest = {**created, "data": {"no/key": "1"}}
    for refused in (place.store.update(bad), place.store.create({**config_map("b"), "data": bad["data"]})):
        with pytest.raises(WriteRefused, match=r"cannot be written: .*data\[no/key\]"):
            await refused


async def test_a_namespace_that_is_going_takes_nothing_new(place: Place) -> None:
    kept = with_metadata(config_map("kept"), finalizers=["example.com/kept"])
    await place.store.create(kept)
    await place.client.delete("Namespace", "shop")
    with pytest.raises(NamespaceTerminating):
        await place.store.create(config_map("late"))


async def test_a_status_is_written_and_nothing_else(place: Place) -> None:
    created = await place.store.create(pod("web"))
    status: Manifest = {"phase": "Running"}
    relabelled = with_metadata({**created, "status": status}, labels={"a": "b"})
    updated = await place.store.update_status(relabelled)
    assert section(updated, "status")["phase"] == "Running"
    assert "labels" not in section(updated, "metadata")


async def test_changes_of_several_kinds_are_one_stream(place: Place) -> None:
    listing = await place.store.list("ConfigMap")
    stream = place.store.events(listing.resource_version, ("ConfigMap", "Namespace"))
    await place.store.create(config_map("a"))
    await place.store.create(namespace("other"))
    await place.client.delete("ConfigMap", "a", "shop")
    told = {(event.type, event.kind, event.key.name) for event in await take(stream, 3)}
    added, deleted = EventType.ADDED, EventType.DELETED
    wanted = {(added, "ConfigMap", "a"), (added, "Namespace", "other"), (deleted, "ConfigMap", "a")}
    assert wanted <= told
    assert stream.position > listing.resource_version
    waiting = asyncio.ensure_future(anext(stream))
    stream.close()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_what_is_too_old_is_said(place: Place) -> None:
    stream = place.store.events(10**9, ("ConfigMap",))
    with pytest.raises(HistoryGone):
        await take(stream, 1)


class Server:
    """Answers as told; a real server's ways that ours does not have."""

    def __init__(self) -> None:
        self.served = {"namespaces": 200}
        self.outages = 0
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        plural = request.url.path.rpartition("/")[2]
        self.asked.append(plural)
        self.was_asked.set()
        if self.outages:
            self.outages -= 1
            raise httpx.ConnectError("refused")
        code = self.served.get(plural, 404)
        body = {"metadata": {"resourceVersion": "7"}, "items": []} if code == 200 else {"message": str(code)}
        return httpx.Response(code, json=body)

    async def client(self) -> ApiClient:
        client = ApiClient(Kubeconfig("https://api", "", ""), reconnect=AT_ONCE)
        await client._http.aclose()
        client._http = httpx.AsyncClient(transport=httpx.MockTransport(self), base_url="https://api")
        return client


async def test_a_kind_that_is_not_served_has_no_objects_until_it_is() -> None:
    server = Server()
    store = ClusterStore(await server.client(), reconnect=AT_ONCE, missing_kind_period=0.001)
    assert await store.list("HTTPRoute") == ([], 7)
    stream = store.events(7, ("HTTPRoute",))
    server.served["httproutes"] = 200
    with pytest.raises(HistoryGone):
        await take(stream, 1)
    assert await store.list("HTTPRoute") == ([], 7)


async def test_an_outage_is_waited_for() -> None:
    server = Server()
    server.outages = 3
    store = ClusterStore(await server.client(), reconnect=AT_ONCE)
    assert await store.list("Namespace") == ([], 7)
    assert server.asked == ["namespaces"] * 4


async def test_closing_ends_the_wait() -> None:
    server = Server()
    server.served["namespaces"] = 503
    store = ClusterStore(await server.client(), reconnect=AT_ONCE)
    waiting = asyncio.ensure_future(store.list("Namespace"))
    await server.was_asked.wait()
    store.close()
    with pytest.raises(StoreClosed):
        await waiting
    stream = store.events(7, ("Namespace",))
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_refusal_is_an_error() -> None:
    server = Server()
    server.served["pods"] = 403
    store = ClusterStore(await server.client(), reconnect=AT_ONCE)
    with pytest.raises(ApiError, match="403"):
        await store.list("Pod")
