"""The node's agent: runs the pods assigned to it, and serves cluster DNS and Service VIPs in its namespace.

`python -m lab.kubelet --root /run/meshproxy/<lab> --node NAME`; it lives in the host's network namespace,
where the API is, and enters the node's for what belongs there. Its pods die with it and are started again by
the next one.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx

from control_plane.client import ApiClient, ApiError, Conflict, NotFound, WatchEvent
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest, ObjectKey, key_of, metadata, section, uid_of
from lab import dns
from lab.addressing import DNS_ADDRESS
from lab.dns_forward import DnsForwarder, parse_upstream
from lab.event_recorder import EventRecorder
from lab.kubelet_certificates import KubeletAuthority
from lab.kubelet_server import KUBELET_PORT, KubeletServer, ServedContainer
from lab.lab_file import DEFAULT_NODE
from lab.network import Node
from lab.node_registration import NodeRegistration, capacity
from lab.paths import LabPaths
from lab.plan_file import read_plan
from lab.pod_files import PodFiles
from lab.pod_worker import NodeServices, PodWorker
from lab.sandbox import runtime_paths, view_mounts
from lab.service_proxy import DNS_PORT, ServiceProxy

_log = logging.getLogger(__name__)

_RETRY = 1.0
"""Seconds before the API, which was away, is told again."""


class Kubelet:
    """Turns the Pods assigned to this node into workers."""

    def __init__(self, services: NodeServices) -> None:
        self._services = services
        self._workers: dict[str, PodWorker] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._leaving: dict[str, PodWorker] = {}
        """Of those, the workers: their logs can still be read."""
        self._stopping: set[str] = set()
        """uids of Pods that are being ended because the API says so."""
        self._has_listed = False

    def on_pod(self, event: WatchEvent) -> None:
        """A Pod was added, changed or deleted."""
        uid = uid_of(event.object)
        worker = self._workers.get(uid)
        if event.type == "DELETED":
            if worker is not None:
                self._end(self._workers.pop(uid))
            elif (leaving := self._leaving.get(uid)) is not None:
                leaving.hurry(0.0)  # deleted by force meanwhile
        elif metadata(event.object).get("deletionTimestamp"):
            if section(event.object, "spec").get("nodeName") == self._services.node.name:
                self._stop(uid, event.object)
        elif worker is not None:
            worker.on_modified(event.object)
        elif section(event.object, "spec").get("nodeName") == self._services.node.name:
            self._begin(uid, event)

    def _stop(self, uid: str, manifest: Manifest) -> None:
        """End the Pod gracefully, then tell the API that nothing of it is left."""
        if uid in self._stopping:
            grace = metadata(manifest).get("deletionGracePeriodSeconds")
            if uid in self._leaving and isinstance(grace, int):
                self._leaving[uid].hurry(float(grace))
            return
        self._stopping.add(uid)
        stopping = self._stopped(self._workers.pop(uid, None), manifest)
        task = asyncio.get_running_loop().create_task(stopping, name=f"stop {key_of(manifest)}")
        self._ending.add(task)
        task.add_done_callback(self._on_ended)

    async def _stopped(self, worker: PodWorker | None, manifest: Manifest) -> None:
        uid = uid_of(manifest)
        try:
            grace = metadata(manifest).get("deletionGracePeriodSeconds")
            if worker is not None:
                self._leaving[uid] = worker
                await worker.delete(float(grace) if isinstance(grace, int) else None)
            await self._confirm(key_of(manifest), uid)
        finally:
            self._leaving.pop(uid, None)
            self._stopping.discard(uid)

    async def _confirm(self, pod: ObjectKey, uid: str) -> None:
        """Remove the Pod from the API, however long that is away."""
        while True:
            try:
                await self._services.client.delete("Pod", pod.name, pod.namespace, grace_period=0, uid=uid)
            except (NotFound, Conflict):
                return  # gone already, or gone and another of its name has come
            except (ApiError, httpx.TransportError) as error:
                _log.warning("%s: its end was not told, trying again: %s", pod, error)
                await asyncio.sleep(_RETRY)
            else:
                return

    def _begin(self, uid: str, event: WatchEvent) -> None:
        try:
            worker = PodWorker(event.object, self._services)
        except InvalidResource as error:
            _log.error("%s cannot be run: %s", key_of(event.object), error)
            return
        self._workers[uid] = worker
        worker.start()

    def _end(self, worker: PodWorker) -> None:
        task = asyncio.get_running_loop().create_task(worker.delete(), name=f"delete {worker.name}")
        self._ending.add(task)
        task.add_done_callback(self._on_ended)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._on_ended)

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)

    def find(self, namespace: str, pod: str, container: str) -> ServedContainer | None:
        """For the endpoint of the node."""
        for worker in (*self._workers.values(), *self._leaving.values()):
            meta = metadata(worker.manifest)
            if (meta.get("namespace"), meta.get("name")) == (namespace, pod):
                return worker.container(container)
        return None

    def on_synced(self) -> None:
        """After the first listing: take away networks of pods that were deleted while no kubelet ran.

        A later one means that the API was away.
        """
        if self._has_listed:
            for worker in self._workers.values():
                worker.refresh()
            return
        self._has_listed = True
        wanted = {worker.name for worker in self._workers.values()}
        node = self._services.node
        for name in node.pods:
            if name not in wanted and "_" in name:  # the control plane's has no underscore
                node.remove_pod(name)
                self._later(PodFiles(self._services.paths.pods / name, self._services.client).remove())

    async def close(self) -> None:
        """Kill every pod at once; their networks stay for the next kubelet or for `lab down`."""
        for task in self._ending:
            if task.get_name().startswith("stop "):  # it may be waiting for an API that is away
                task.cancel()
        await asyncio.gather(*(worker.abandon() for worker in self._workers.values()))
        await asyncio.gather(*self._ending, return_exceptions=True)


async def run(paths: LabPaths, name: str, dns_upstream: str = "") -> None:
    """Serve until SIGTERM. Raises ValueError for a `dns_upstream` that is no address."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    plan = read_plan(paths)
    node = Node(paths.root, plan, name)
    upstream = parse_upstream(dns_upstream)
    server = dns.DnsServer(dns.DnsTable(), DnsForwarder(upstream) if upstream is not None else None)
    await server.start(*dns.open_sockets(node.namespace, DNS_ADDRESS, DNS_PORT))
    async with ApiClient.from_kubeconfig(paths.kubeconfig, name="kubelet") as client:
        view = tuple(view_mounts(runtime_paths()))
        events = EventRecorder(client, "kubelet", name)
        kubelet = Kubelet(NodeServices(client, node, paths, view, events, capacity()))
        endpoint = KubeletServer(kubelet.find)
        await endpoint.start(node, KubeletAuthority(paths).node(name, node.addresses))
        labels = plan.node(name).labels
        registration = NodeRegistration(client, node, dict(labels), kubelet_port=KUBELET_PORT)
        tables = ServiceProxy(node, server)
        loops: list[Coroutine[Any, Any, None]] = [
            client.list_and_watch("Pod", kubelet.on_pod, on_synced=kubelet.on_synced),
            client.list_and_watch("Service", tables.on_service),
            client.list_and_watch("EndpointSlice", tables.on_slice),
            tables.run(),
            events.run(),
            registration.run(),
        ]
        try:
            await run_until(stop, loops)
        finally:
            await endpoint.stop()
            await kubelet.close()
            server.close()


async def run_until(stop: asyncio.Event, loops: list[Coroutine[Any, Any, None]]) -> None:
    """Run endless coroutines until `stop` is set; raises what one of them raises."""
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    waiter = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait({waiter, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiter}:
            task.result()
    finally:
        for task in (waiter, *tasks):
            task.cancel()
        await asyncio.gather(waiter, *tasks, return_exceptions=True)


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="lab.kubelet")
    parser.add_argument("--root", type=Path, required=True, help="the lab's directory")
    parser.add_argument("--node", default=DEFAULT_NODE, help="whose agent it is (default %(default)s)")
    parser.add_argument("--dns-upstream", default="", help="DNS server that is asked about names outside")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(LabPaths(arguments.root), arguments.node, arguments.dns_upstream))


if __name__ == "__main__":
    main()
