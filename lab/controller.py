"""The lab's controllers in one process: Deployments become Pods, Pods are admitted, Services get their
slices.

`python -m lab.controller --root /run/meshproxy/<lab>`. Admission is where Kubernetes has its webhooks and its
scheduler: a Pod without a node, whoever created it, gets its sidecar when its namespace asks for it, and the
node; the result is stored, so that the API shows what runs. Level-triggered: each round compares the whole
wanted state with what is there, so that nothing depends on an event that was missed.
"""

import argparse
import asyncio
import contextlib
import logging
import random
import signal
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from control_plane.client import ApiClient, ApiError, Conflict, NotFound, WatchEvent
from control_plane.resources.base import Resource
from control_plane.resources.deployment import Deployment
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    metadata,
    resource_version_of,
    section,
    uid_of,
)
from control_plane.resources.namespace import Namespace
from control_plane.resources.node import Node
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service
from control_plane.resources.service_account import ServiceAccount
from injector.errors import InjectionError
from injector.patch import inject
from lab.deployment_plan import deployment_status, is_owned, plan_pods, pod_manifest, template_hash
from lab.endpoint_plan import MANAGED_BY_LABEL, MANAGER, endpoint_slices
from lab.kubelet import run_until
from lab.lab_file import NodePlan
from lab.paths import LabPaths
from lab.plan_file import read_plan
from lab.zone import node_for

_log = logging.getLogger(__name__)

_SETTLE = 0.01
"""Seconds that events are collected before a round."""
_RETRY = 0.5
"""Seconds before a round that failed is repeated."""
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""As Kubernetes: no vowels, so that no words are formed."""
_SUFFIX_LENGTH = 5
_MODELS: tuple[type[Resource], ...] = (
    Namespace,
    ServiceAccount,
    Deployment,
    Pod,
    Service,
    EndpointSlice,
    Node,
)

Kind = TypeVar("Kind", bound=Resource)


class ObjectCache:
    """The last known state of every object, our own writes included before their events arrive."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, tuple[Manifest, Resource]] = {}
        self._deleted: set[str] = set()
        """uids we deleted: their late events must not bring them back."""

    def put(self, manifest: Manifest) -> None:
        """Remember unless something newer is known."""
        key, known = key_of(manifest), self._objects.get(key_of(manifest))
        if uid_of(manifest) in self._deleted:
            return
        if known is not None and int(resource_version_of(known[0])) >= int(resource_version_of(manifest)):
            return
        model = next(model for model in _MODELS if key.kind == model.KIND)
        self._objects[key] = (manifest, model.parse(manifest))

    def drop(self, manifest: Manifest) -> None:
        """It is gone, unless another one of its name has come since."""
        known = self._objects.get(key_of(manifest))
        if known is not None and uid_of(known[0]) == uid_of(manifest):
            del self._objects[key_of(manifest)]
        self._deleted.discard(uid_of(manifest))

    def forget(self, manifest: Manifest) -> None:
        """We deleted it."""
        self.drop(manifest)
        self._deleted.add(uid_of(manifest))

    def all(self, model: type[Kind]) -> list[Kind]:
        """Every object of a kind."""
        return [entry for _, entry in self._objects.values() if isinstance(entry, model)]

    def manifest(self, entry: Resource) -> Manifest:
        """An object of `all` as it travels."""
        return self._objects[ObjectKey(entry.kind, entry.metadata.namespace, entry.metadata.name)][0]

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """None when it is not known."""
        found = self._objects.get(ObjectKey(kind, namespace, name))
        return None if found is None else found[0]


class Controller:
    """All controllers of the lab."""

    def __init__(self, client: ApiClient, rng: random.Random, nodes: Sequence[NodePlan]) -> None:
        self._nodes = nodes
        self._client = client
        self._rng = rng
        self._cache = ObjectCache()
        self._dirty = asyncio.Event()
        self._unsynced = {model.KIND for model in _MODELS}

    def watches(self) -> list[Coroutine[Any, Any, None]]:
        """Endless: keep the cache up to date."""
        return [
            self._client.list_and_watch(model.KIND, self.on_event, on_synced=self._synced(model.KIND))
            for model in _MODELS
        ]

    def on_event(self, event: WatchEvent) -> None:
        """An object of any kind was added, changed or deleted."""
        if event.type == "DELETED":
            self._cache.drop(event.object)
        else:
            self._cache.put(event.object)
        self._dirty.set()

    def _synced(self, kind: str) -> Callable[[], None]:
        def on_synced() -> None:
            self._unsynced.discard(kind)
            self._dirty.set()

        return on_synced

    async def run(self) -> None:
        """A round after each change, for ever."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(_SETTLE)
            self._dirty.clear()
            if self._unsynced:
                continue
            try:
                is_complete = await self.round()
            except httpx.TransportError as error:
                _log.warning("the API cannot be reached: %s", error or type(error).__name__)
                is_complete = False
            if not is_complete:
                await asyncio.sleep(_RETRY)
                self._dirty.set()

    async def round(self) -> bool:
        """False when something was refused; the rest was done, and the round is to be repeated."""
        steps = [(f"Node {node.name}", self._keep_node(node)) for node in self._nodes]
        steps += [("service accounts", self._keep_service_accounts())]
        steps += [(f"Service {_name(s)}", self._keep_slices(s)) for s in self._cache.all(Service)]
        steps += [(f"Pod {_name(p)}", self._admit(p)) for p in self._cache.all(Pod) if _waits_for_node(p)]
        steps += [(f"Deployment {_name(d)}", self._keep_deployment(d)) for d in self._cache.all(Deployment)]
        steps += [("stray slices", self._remove_stray_slices()), ("orphans", self._remove_orphans())]
        is_complete = True
        for what, step in steps:
            is_complete = await _attempt(what, step) and is_complete
        return is_complete

    # Admission

    async def _keep_node(self, node: NodePlan) -> None:
        if node.topology and self._cache.get("Node", "", node.name) is None:
            labels: Manifest = {**node.labels}
            meta: Manifest = {"name": node.name, "labels": labels}
            manifest: Manifest = {"apiVersion": "v1", "kind": "Node", "metadata": meta}
            self._cache.put(await self._client.create(manifest))

    async def _keep_service_accounts(self) -> None:
        """Each ServiceAccount a Pod names: manifests for the lab may leave them out."""
        wanted = {(p.metadata.namespace, p.spec.service_account_name) for p in self._cache.all(Pod)}
        for namespace, name in sorted(wanted):
            if self._cache.get("ServiceAccount", namespace, name) is None:
                account: Manifest = {
                    "apiVersion": "v1",
                    "kind": "ServiceAccount",
                    "metadata": {"name": name, "namespace": namespace},
                }
                self._cache.put(await self._client.create(account))

    async def _admit(self, pod: Pod) -> None:
        manifest = self._cache.manifest(pod)
        namespace = self._cache.get("Namespace", "", pod.metadata.namespace)
        if namespace is None:
            return
        try:
            patched = inject(manifest, namespace)
        except InjectionError as error:
            await self._refuse(manifest, str(error))
            return
        bound = (other.spec.node_name for other in self._cache.all(Pod))
        node = node_for(pod.spec.node_selector, self._nodes, bound)
        if node is None:
            names = ", ".join(one.name for one in self._nodes)
            await self._refuse(manifest, f"spec.nodeSelector: no node has these labels; there is {names}")
            return
        meta = section(patched, "metadata")
        labels = {**section(meta, "labels"), **node.topology}
        admitted = await self._client.update({**patched, "metadata": {**meta, "labels": labels}})
        name, space = pod.metadata.name, pod.metadata.namespace
        version = resource_version_of(admitted)
        await self._client.bind(name, space, node.name, uid=pod.metadata.uid, resource_version=version)
        self._cache.put(await self._client.get("Pod", name, space))

    async def _refuse(self, manifest: Manifest, message: str) -> None:
        """Say in the Pod's status why it is not started."""
        condition = {"type": "Ready", "status": "False", "reason": "AdmissionRefused", "message": message}
        status: Manifest = {"phase": "Pending", "conditions": [condition]}
        if section(manifest, "status") != status:
            self._cache.put(await self._client.update_status({**_unversioned(manifest), "status": status}))

    # Deployments

    async def _keep_deployment(self, deployment: Deployment) -> None:
        manifest = self._cache.manifest(deployment)
        current = template_hash(section(section(manifest, "spec"), "template"))
        pods = self._owned(deployment)
        changes = plan_pods(deployment, pods, current)
        for _ in range(changes.create):
            suffix = "".join(self._rng.choices(_SUFFIX_LETTERS, k=_SUFFIX_LENGTH))
            self._cache.put(await self._client.create(pod_manifest(manifest, current, suffix)))
        for pod in changes.delete:
            await self._delete(pod)
        status = deployment_status(deployment, self._owned(deployment), current)
        if status != section(manifest, "status"):
            self._cache.put(await self._client.update_status({**_unversioned(manifest), "status": status}))

    def _owned(self, deployment: Deployment) -> list[Pod]:
        pods = [pod for pod in self._cache.all(Pod) if not pod.metadata.deletion_timestamp]
        return [pod for pod in pods if is_owned(pod, deployment)]

    async def _remove_orphans(self) -> None:
        """Pods and slices whose owner is gone."""
        alive = {d.metadata.uid for d in (*self._cache.all(Deployment), *self._cache.all(Service))}
        owned: Iterable[Resource] = (*self._cache.all(Pod), *self._cache.all(EndpointSlice))
        for entry in owned:
            owners = [o.uid for o in entry.metadata.owner_references if o.kind in ("Deployment", "Service")]
            if owners and not alive.intersection(owners):
                await self._delete(entry)

    async def _delete(self, entry: Resource) -> None:
        manifest = self._cache.manifest(entry)
        with contextlib.suppress(NotFound):
            await self._client.delete(entry.kind, entry.metadata.name, entry.metadata.namespace)
        self._cache.forget(manifest)

    # EndpointSlices

    async def _keep_slices(self, service: Service) -> None:
        for wanted in endpoint_slices(service, self._cache.all(Pod)):
            key = key_of(wanted)
            known = self._cache.get(*key)
            if known is None:
                self._cache.put(await self._client.create(wanted))
            elif any(known.get(field) != wanted[field] for field in ("endpoints", "ports")):
                self._cache.put(await self._client.update(wanted))

    async def _remove_stray_slices(self) -> None:
        """Slices we made that no Service has any more."""
        services, pods = self._cache.all(Service), self._cache.all(Pod)
        wanted = {key_of(entry) for service in services for entry in endpoint_slices(service, pods)}
        for entry in self._cache.all(EndpointSlice):
            is_ours = entry.metadata.labels.get(MANAGED_BY_LABEL) == MANAGER
            if is_ours and key_of(self._cache.manifest(entry)) not in wanted:
                await self._delete(entry)


def _waits_for_node(pod: Pod) -> bool:
    return not pod.spec.node_name and not pod.metadata.deletion_timestamp


def _name(entry: Resource) -> str:
    return f"{entry.metadata.namespace}/{entry.metadata.name}"


async def _attempt(what: str, step: Coroutine[Any, Any, None]) -> bool:
    """Whether `step` succeeded: one object that is refused must not hold up the others."""
    try:
        await step
    except (Conflict, NotFound):
        return False  # the event that explains it is on its way
    except (ApiError, InvalidResource) as error:
        _log.warning("%s: %s", what, error)
        return False
    return True


def _unversioned(manifest: Manifest) -> Manifest:
    """Without a resource version: we are the only writer of this status."""
    meta = {key: value for key, value in metadata(manifest).items() if key != "resourceVersion"}
    return {**manifest, "metadata": meta}


async def run(paths: LabPaths) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ApiClient.from_kubeconfig(paths.kubeconfig) as client:
        controller = Controller(client, random.Random(), read_plan(paths).nodes)
        await run_until(stop, [controller.run(), *controller.watches()])


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="lab.controller")
    parser.add_argument("--root", type=Path, required=True, help="the lab's directory")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(LabPaths(arguments.root)))


if __name__ == "__main__":
    main()
