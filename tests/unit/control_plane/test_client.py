"""The client, over real HTTPS."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from control_plane.apiserver.app import create_app
from control_plane.apiserver.server import RestServer, bind
from control_plane.client import (
    ApiClient,
    ApiError,
    Conflict,
    EventHandler,
    Gone,
    Invalid,
    NotFound,
    ReconnectSettings,
    Unauthorized,
    WatchEvent,
)
from control_plane.kubeconfig import Kubeconfig, write_kubeconfig
from control_plane.resources.manifest import Manifest, metadata, name_of, resource_version_of, section, uid_of
from control_plane.store.sqlite import SqliteStore
from tests.unit.control_plane.apiserver.minter import RecordingMinter
from tests.unit.control_plane.apiserver.serving import Serving, serving

AT_ONCE = ReconnectSettings(base=0.0, cap=0.0)


def config_map(name: str, value: str = "1", **labels: str) -> Manifest:
    meta = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"key": value}}


def pod(name: str) -> Manifest:
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [{"name": "app"}]}}


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
async def client(serve: Serving) -> AsyncIterator[ApiClient]:
    path = serve.directory / "kubeconfig"
    write_kubeconfig(path, serve.config)
    async with ApiClient.from_kubeconfig(path) as opened:
        yield opened


async def test_verbs(client: ApiClient) -> None:
    created = await client.create(config_map("a", app="web"))
    await client.create(config_map("b"))
    assert await client.get("ConfigMap", "a", "default") == created
    listing = await client.list("ConfigMap", label_selector="app=web")
    assert (listing.items, int(listing.resource_version)) == (
        [created],
        int(resource_version_of(created)) + 1,
    )
    assert len((await client.list("ConfigMap", "kube-system")).items) == 0
    updated = await client.update(config_map("a", "2"))
    patched = await client.patch("ConfigMap", "a", "default", {"data": {"other": "3"}})
    assert (updated["data"], patched["data"]) == ({"key": "2"}, {"key": "2", "other": "3"})
    await client.delete("ConfigMap", "a", "default")
    with pytest.raises(NotFound):
        await client.get("ConfigMap", "a", "default")


async def test_patches_and_server_side_apply(client: ApiClient) -> None:
    applied = await client.server_side_apply(config_map("a", app="web"), manager="one")
    assert metadata(applied)["generation"] == 1
    changed = await client.patch(
        "ConfigMap", "a", "default", [{"op": "add", "path": "/data/more", "value": "2"}], how="json"
    )
    assert changed["data"] == {"key": "1", "more": "2"}
    changed = await client.patch("ConfigMap", "a", "default", {"data": {"more": None}}, how="strategic")
    assert changed["data"] == {"key": "1"}
    with pytest.raises(Conflict, match=r'conflict with "one": \.data\.key'):
        await client.server_side_apply(config_map("a", "2"), manager="two")
    forced = await client.server_side_apply(config_map("a", "2"), manager="two", force=True)
    assert forced["data"] == {"key": "2"}


async def test_a_pod_is_bound_evicted_and_removed_by_its_kubelet(client: ApiClient) -> None:
    created = await client.create(pod("a"))
    await client.bind("a", "default", "node", uid=uid_of(created))
    with pytest.raises(Conflict, match="already assigned"):
        await client.bind("a", "default", "node", uid=uid_of(created))
    await client.evict("a", "default", grace=7)
    marked = await client.get("Pod", "a", "default")
    assert metadata(marked)["deletionGracePeriodSeconds"] == 7
    assert (await client.delete("Pod", "a", "default", uid=uid_of(marked), grace_period=0))["kind"] == "Pod"
    with pytest.raises(NotFound):
        await client.get("Pod", "a", "default")


async def test_status_and_tokens(client: ApiClient) -> None:
    created = await client.create(pod("a"))
    running = await client.update_status({**created, "status": {"phase": "Running"}})
    assert section(running, "status") == {"phase": "Running"}
    issued = await client.create_token(
        "default", "default", audiences=["meshproxy-ca"], pod_name="a", pod_uid=uid_of(created)
    )
    assert issued.token == "signed"
    assert issued.expires_at.endswith("Z")


async def test_apply_creates_then_replaces(client: ApiClient) -> None:
    assert metadata(await client.apply(config_map("a")))["generation"] == 1
    assert metadata(await client.apply(config_map("a", "2")))["generation"] == 2
    assert section(await client.apply(config_map("a", "3"), dry_run=True), "data") == {"key": "3"}
    assert section(await client.get("ConfigMap", "a", "default"), "data") == {"key": "2"}


async def test_racing_applies_all_succeed(serve: Serving) -> None:
    async with ApiClient(serve.config, reconnect=AT_ONCE) as client:
        await asyncio.gather(*(client.apply(config_map("a", str(number))) for number in range(3)))
        assert metadata(await client.get("ConfigMap", "a", "default"))["generation"] == 3


async def test_apply_gives_up_on_a_lasting_conflict(serve: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ApiClient(serve.config, reconnect=AT_ONCE) as client:
        await client.create(config_map("a"))

        async def stale(*_: object) -> Manifest:
            return {**config_map("a"), "metadata": {"resourceVersion": "1"}}

        monkeypatch.setattr(client, "get", stale)
        with pytest.raises(Conflict):
            await client.apply(config_map("a", "2"))


async def test_refusals_are_errors_of_their_own(client: ApiClient, serve: Serving) -> None:
    await client.create(config_map("a"))
    with pytest.raises(Conflict) as refusal:
        await client.create(config_map("a"))
    assert (refusal.value.status, refusal.value.reason) == (409, "AlreadyExists")
    with pytest.raises(Invalid, match="labels"):
        await client.create(config_map("b", app="?"))
    with pytest.raises(Gone):
        await anext(client.watch("ConfigMap", resource_version="999"))
    with pytest.raises(ApiError) as unreadable:
        await client.list("ConfigMap", label_selector="(")
    assert (unreadable.value.status, unreadable.value.reason) == (400, "BadRequest")
    with pytest.raises(ValueError, match="unknown kind 'Widget'"):
        await client.list("Widget")
    async with ApiClient(replace(serve.config, token="wrong")) as stranger:
        with pytest.raises(Unauthorized, match="a bearer token is required"):
            await stranger.list("ConfigMap")


async def test_the_server_is_verified(serve: Serving) -> None:
    async with ApiClient(replace(serve.config, ca_pem="")) as trusting_others:
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await trusting_others.list("ConfigMap")


async def test_a_watch_tells_what_happens(client: ApiClient, serve: Serving) -> None:
    listing = await client.list("ConfigMap")
    events = client.watch(
        "ConfigMap", "default", resource_version=listing.resource_version, label_selector="app"
    )
    await client.create(config_map("a"))
    await client.create(config_map("b", app="x"))
    await client.delete("ConfigMap", "b", "default")
    async with asyncio.timeout(30):
        told = [await anext(events) for _ in range(2)]
    assert [(event.type, name_of(event.object)) for event in told] == [("ADDED", "b"), ("DELETED", "b")]
    await events.aclose()  # type: ignore[attr-defined]


class Informer:
    """A running `list_and_watch` of ConfigMaps, and what it told."""

    def __init__(self, client: ApiClient, on_event: EventHandler | None = None) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.synced = 0
        self._changed = asyncio.Event()
        handler = on_event or self._on_event
        self.task = asyncio.ensure_future(
            client.list_and_watch("ConfigMap", handler, namespace="default", on_synced=self._on_synced)
        )

    def _on_event(self, event: WatchEvent) -> None:
        value = section(event.object, "data")["key"]
        self.told.append((event.type, name_of(event.object), str(value)))
        self._changed.set()

    def _on_synced(self) -> None:
        self.synced += 1
        self._changed.set()

    async def until(self, told: int = 0, synced: int = 0) -> None:
        async with asyncio.timeout(30):
            while len(self.told) < told or self.synced < synced:
                self._changed.clear()
                waiting = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait([waiting, self.task], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if self.task.done():
                    self.task.result()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_an_informer_survives_a_restart_and_tells_the_differences(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        config = first.config
        client = ApiClient(config, reconnect=AT_ONCE)
        for name in ("gone", "kept", "changed", "remade"):
            await client.create(config_map(name))
        informer = Informer(client)
        await informer.until(synced=1)
        await client.update(config_map("changed", "2"))
        await informer.until(told=5)
        store = first.store
        await first.server.stop()
    assert store.resource_version > 0
    informer.told.clear()

    # The same address and root; the store changed while nobody was looking.

    reopened = await SqliteStore.open(tmp_path / "state.db")
    await reopened.delete("ConfigMap", "default", "gone")
    await reopened.update(config_map("changed", "3"))
    await reopened.delete("ConfigMap", "default", "remade")
    await reopened.create(config_map("remade", "new"))
    await reopened.create(config_map("fresh"))
    app = create_app(reopened, admin_token=config.token, token_minter=RecordingMinter(), now=lambda: 0.0)
    second = RestServer(app, tls=first.tls)
    await second.start(bind(config.server.removeprefix("https://")))
    await informer.until(told=5, synced=2)
    assert sorted(informer.told) == [
        ("ADDED", "fresh", "1"),
        ("ADDED", "remade", "new"),
        ("DELETED", "gone", "1"),
        ("DELETED", "remade", "1"),
        ("MODIFIED", "changed", "3"),
    ]
    await informer.stop()
    await client.close()
    await second.stop()
    await reopened.close()


async def test_an_informer_lists_again_when_history_is_gone(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.create(config_map("a"))
    real, refusals = client.watch, [Gone(410, "Expired", "too old"), ApiError(503, "", "busy")]

    def watch(*args: object, **kwargs: object) -> AsyncIterator[WatchEvent]:
        if refusals:
            raise refusals.pop(0)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(client, "watch", watch)
    informer = Informer(client)
    await informer.until(synced=3)
    await client.create(config_map("b"))
    await informer.until(told=2)
    assert [entry[:2] for entry in informer.told] == [("ADDED", "a"), ("ADDED", "b")]
    await informer.stop()


async def test_an_informer_follows_on_after_a_watch_that_ended(
    client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, versions = client.watch, list[str]()

    async def ended_once(*args: object, **kwargs: object) -> AsyncIterator[WatchEvent]:
        versions.append(str(kwargs["resource_version"]))
        if len(versions) == 1:
            return
        async for event in real(*args, **kwargs):  # type: ignore[arg-type]
            yield event

    monkeypatch.setattr(client, "watch", ended_once)
    informer = Informer(client)
    await informer.until(synced=1)
    await client.create(config_map("a"))
    await informer.until(told=1)
    assert informer.synced == 1
    assert versions[0] == versions[1]
    await informer.stop()


async def test_an_informer_ends_when_the_request_itself_is_refused(serve: Serving) -> None:
    async with ApiClient(replace(serve.config, token="wrong")) as stranger:
        with pytest.raises(Unauthorized):
            await asyncio.wait_for(Informer(stranger).task, 30)


async def test_an_informer_awaits_its_handler_and_passes_on_its_errors(client: ApiClient) -> None:
    await client.create(config_map("a"))

    async def broken(event: WatchEvent) -> None:
        raise KeyError(event.type)

    with pytest.raises(KeyError, match="ADDED"):
        await asyncio.wait_for(Informer(client, broken).task, 30)


def test_backoff_is_jittered_and_capped() -> None:
    settings, rng = ReconnectSettings(base=0.1, cap=1.0), random.Random(7)
    assert all(0.0 <= settings.delay(1, rng) <= 0.1 for _ in range(50))
    late = [settings.delay(10_000, rng) for _ in range(50)]
    assert 0.5 < max(late) <= 1.0


async def test_answers_that_are_no_objects_are_errors() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[]) if "pods" in request.url.path else httpx.Response(502, text="[]")

    client = ApiClient(Kubeconfig("https://api", "", ""))
    await client._http.aclose()
    client._http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="https://api")
    with pytest.raises(ApiError, match="not a JSON object"):
        await client.list("Pod")
    with pytest.raises(ApiError) as refusal:
        await client.list("Service")
    assert (refusal.value.status, refusal.value.reason) == (502, "")
    await client.close()
