"""The controllers over a whole API server in memory: requests without a socket, time in the test's hands."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from control_plane.apiserver.app import create_app
from control_plane.apiserver.system_object import ensure_system_objects
from control_plane.client import ApiClient, WatchEvent
from control_plane.kubeconfig import Kubeconfig
from control_plane.resources.base import Resource
from control_plane.resources.deployment import Deployment
from control_plane.resources.invalid import Cause
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    metadata,
    section,
    uid_of,
    with_metadata,
)
from control_plane.resources.pod import Pod
from control_plane.resources.replica_set import ReplicaSet
from control_plane.resources.timestamp import rfc3339
from control_plane.store.sqlite import SqliteStore
from lab.controllers.process import WATCHED, Controllers
from tests.unit.control_plane.apiserver.minter import RecordingMinter

NAMESPACE: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


def node_manifest(name: str = "node", **labels: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


class MemoryClient(ApiClient):
    """A client that calls the application instead of a server."""

    def __init__(self, app: httpx.AsyncBaseTransport) -> None:
        super().__init__(Kubeconfig("https://api", "", "t"))
        self._idle = self._http
        headers = {"Authorization": "Bearer t"}
        self._http = httpx.AsyncClient(transport=app, base_url="http://api", headers=headers)

    async def close(self) -> None:
        await self._idle.aclose()
        await super().close()


class World:
    """The API, the controllers, and the hands of users and kubelets."""

    def __init__(self, client: MemoryClient, refused: set[str]) -> None:
        self.client = client
        self.refused = refused
        """Values of the label `app` of Pods that the API refuses."""
        self.later = 0.0
        """Seconds that have passed beyond the real ones."""
        self.controllers = Controllers(client, ca_pem="the root", clock=self.now)
        self._told: dict[ObjectKey, Manifest] = {}

    def now(self) -> float:
        return time.time() + self.later

    async def settle(self) -> None:
        """Tell the controllers what has changed and let them work, until nothing changes any more."""
        while await self._tell():
            await self.controllers.settle()

    async def _tell(self) -> bool:
        """As watches do; whether there was anything."""
        present: dict[ObjectKey, Manifest] = {}
        for kind in WATCHED:
            present |= {key_of(item): item for item in (await self.client.list(kind)).items}
        events = [
            WatchEvent("DELETED", old)
            for key, old in self._told.items()
            if key not in present or uid_of(present[key]) != uid_of(old)
        ]
        events += [WatchEvent("MODIFIED", new) for key, new in present.items() if self._told.get(key) != new]
        self._told = present
        for event in events:
            self.controllers.on_event(event)
        return bool(events)

    async def again(self, kind: str, name: str, later: float = 0.0) -> None:
        """Look at one object, as when its time has come."""
        self.later += later
        self.controllers.cache.assume(await self.client.get(kind, name, "shop"))
        await self.controllers.settle()
        await self.settle()

    async def of(self, kind: str) -> list[Manifest]:
        return (await self.client.list(kind, "" if kind in ("Node", "Namespace") else "shop")).items

    async def pods(self) -> list[Pod]:
        return [Pod.parse(one) for one in await self.of("Pod")]

    async def sets(self) -> dict[str, ReplicaSet]:
        found = [ReplicaSet.parse(one) for one in await self.of("ReplicaSet")]
        return {one.metadata.name: one for one in found}

    async def deployment(self, name: str = "web") -> Deployment:
        return Deployment.parse(await self.client.get("Deployment", name, "shop"))

    async def report(
        self, *, ready: bool = True, phase: str = "Running", names: tuple[str, ...] = ()
    ) -> None:
        """What kubelets say of Pods that are there, or of those named."""
        for number, manifest in enumerate(await self.of("Pod")):
            name = str(metadata(manifest)["name"])
            if metadata(manifest).get("deletionTimestamp") or (names and name not in names):
                continue
            known = section(manifest, "status").get("podIP")
            since = rfc3339(self.now())
            condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": since}
            address = known or f"10.244.{hash(name) % 200}.{number + 3}"
            status = {"phase": phase, "podIP": address, "conditions": [condition]}
            await self.client.update_status({**manifest, "status": status})
        await self.settle()

    async def end_pods(self) -> None:
        """What kubelets do with Pods that are being deleted, after their grace."""
        for manifest in await self.of("Pod"):
            meta = metadata(manifest)
            if meta.get("deletionTimestamp"):
                await self.client.delete(
                    "Pod", str(meta["name"]), "shop", uid=uid_of(manifest), grace_period=0
                )
        await self.settle()

    async def change(self, kind: str, name: str, **spec: object) -> None:
        await self.client.patch(kind, name, "shop", {"spec": spec})
        await self.settle()

    async def roll_out(self, *, rounds: int = 30) -> list[tuple[int, int]]:
        """Kubelets and controllers in turn until nothing changes: (Pods that count, available ones) on the
        way."""
        seen = []
        for _ in range(rounds):
            pods = [pod for pod in await self.pods() if not pod.metadata.deletion_timestamp]
            seen.append((len(pods), sum(pod.status.is_ready for pod in pods)))
            before = {pod.metadata.name for pod in pods}
            waiting = tuple(pod.metadata.name for pod in pods if not pod.status.is_ready)
            if waiting:
                await self.report(names=waiting)
            await self.end_pods()
            after = {pod.metadata.name for pod in await self.pods() if not pod.metadata.deletion_timestamp}
            if before == after and not waiting:
                break
        return seen


@asynccontextmanager
async def world(directory: Path, *applied: Manifest) -> AsyncIterator[World]:
    """With the namespace shop, one node, and what is applied."""
    store = await SqliteStore.open(directory / "state.db")
    await ensure_system_objects(store)
    refused: set[str] = set()

    def check(wanted: Resource, current: Resource | None) -> list[Cause]:
        app = wanted.metadata.labels.get("app", "")
        return (
            [Cause("metadata.labels", f"{app} is refused here")]
            if wanted.kind == "Pod" and app in refused
            else []
        )

    minter = RecordingMinter()
    app = create_app(store, admin_token="t", token_minter=minter, now=time.time, checks=[check])
    client = MemoryClient(httpx.ASGITransport(app.asgi))
    made = World(client, refused)
    given = applied if any(one["kind"] == "Node" for one in applied) else (node_manifest(), *applied)
    for manifest in (NAMESPACE, *given):
        await client.create(with_metadata(manifest, uid=""))
    await made.settle()
    try:
        yield made
    finally:
        made.controllers.close()
        await client.close()
        await store.close()
