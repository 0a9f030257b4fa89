"""Everything a node does for one pod: network, volumes, sandbox after sandbox, status, and the end.

A pod whose pause process dies (every process of the pod was killed) gets a new sandbox with the same network.
"""

import asyncio
import contextlib
import logging
import shutil
import time
from dataclasses import dataclass

import httpx

from control_plane.client import ApiClient, ApiError, NotFound
from control_plane.resources.config_map import ConfigMap
from control_plane.resources.manifest import Manifest, metadata, section
from control_plane.resources.pod import Pod
from control_plane.resources.volume import Volume
from lab import netns
from lab.addressing import DNS_ADDRESS
from lab.container import ContainerLog, ContainerRecord, RestartBackoff
from lab.container_plan import container_user, hosts_file, launch_plan
from lab.environment import PodFacts, PodStartError, needed_config_maps
from lab.launch import LaunchPlan, Mount
from lab.netns import NetworkError
from lab.network import Node, PodNetwork
from lab.paths import LabPaths
from lab.pod_record import ContainerPlace, PodRecord, write_pod_record
from lab.pod_runtime import PodRuntime, utc_now
from lab.pod_status import PodPlace, pod_status, resume
from lab.resolv_conf import resolv_conf
from lab.sandbox import SOURCE_ROOT, Sandbox, container_path
from lab.volume import make_empty_dir, secret_owner, token_projections, volume_files, write_volume

_log = logging.getLogger(__name__)

REFRESH_PERIOD = 60.0
"""Seconds between rewrites of tokens and ConfigMaps in volumes; a token is good for one use, so a sidecar
that must log in again needs a new one well before the old would expire."""
_STATUS_RETRY = 0.5
"""Seconds before a status that could not be written is written again."""


@dataclass(frozen=True, slots=True)
class NodeServices:
    """What workers share."""

    client: ApiClient
    node: Node
    paths: LabPaths
    view: tuple[Mount, ...]
    """Mounts that make the interpreter reachable in every container."""


class PodWorker:
    """One pod on this node, from its assignment to its deletion."""

    def __init__(self, manifest: Manifest, services: NodeServices) -> None:
        self._manifest = manifest
        self._pod = Pod.parse(manifest)
        self._services = services
        meta = self._pod.metadata
        self.name = f"{meta.namespace}_{meta.name}_{meta.uid[:8]}"
        self._directory = services.paths.pods / self.name
        self._records = [
            *(ContainerRecord(container, is_init=True) for container in self._pod.spec.init_containers),
            *(ContainerRecord(container) for container in self._pod.spec.containers),
        ]
        resume(self._records, section(manifest, "status"))
        self._network: PodNetwork | None = None
        self._place = PodPlace()
        self._message = ""
        self._status = section(manifest, "status")
        self._dirty = asyncio.Event()
        self._refresh_due = asyncio.Event()
        self._is_ending = False
        self._runtime: PodRuntime | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; `delete` ends it."""
        loop = asyncio.get_running_loop()
        for work in (self._run(), self._report(), self._refresh()):
            self._tasks.append(loop.create_task(work, name=self.name))

    def on_modified(self, manifest: Manifest) -> None:
        """Labels and annotations may have changed; they are written into volumes at the next refresh."""
        self._manifest = manifest
        self._pod = Pod.parse(manifest)

    def refresh(self) -> None:
        """Rewrite the volumes soon. After the API was away, sidecars may have to log in anew with a token."""
        self._refresh_due.set()

    async def delete(self) -> None:
        """Stop gracefully, give back the network, remove all files."""
        self._is_ending = True
        if self._runtime is not None:
            await self._runtime.stop()
        await self._cancel()
        await asyncio.to_thread(self._services.node.remove_pod, self.name)
        shutil.rmtree(self._directory, ignore_errors=True)
        for record in self._records:
            self._log_of(record.spec.name).delete()

    async def abandon(self) -> None:
        """Kill at once, keep the network and the files: the node stops."""
        await self._cancel()

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def rotate_logs(self) -> None:
        """Bound the container logs."""
        for record in self._records:
            self._log_of(record.spec.name).rotate()

    def _log_of(self, container: str) -> ContainerLog:
        meta = self._pod.metadata
        return ContainerLog(self._services.paths.container_log(meta.namespace, meta.name, container))

    # The pod's life

    async def _run(self) -> None:
        backoff = RestartBackoff()
        while True:
            started_at = time.monotonic()
            try:
                await self._set_up()
                await self._run_sandbox()
                if self._is_ending or all(record.is_done for record in self._records):
                    return
                self._message = "the pod's processes were killed; starting it again"
            except (NetworkError, OSError, PodStartError) as error:
                self._message = str(error)
                _log.warning("pod %s: %s", self.name, error)
            self._changed()
            await asyncio.sleep(backoff.delay(time.monotonic() - started_at))

    async def _set_up(self) -> None:
        """Network and files that stay for the pod's life."""
        if self._network is not None:
            return
        if self._pod.spec.host_network:
            raise PodStartError("hostNetwork: the lab never runs a pod on the host's own network")
        node = self._services.node
        network = await asyncio.to_thread(node.add_pod, self.name)
        if (namespace := netns.identity(network.namespace)) is not None:
            # A network that was there already belongs to processes of a node that was killed.
            await asyncio.to_thread(netns.kill_processes, {namespace})
        self._network = network
        self._place = PodPlace(str(network.address), str(node.address), utc_now())
        for record in self._records:
            record.uid, record.gid = container_user(self._pod, record.spec, self._place.pod_ip)
        self._write_files()

    def _write_files(self) -> None:
        meta = self._pod.metadata
        (self._directory / "volumes").mkdir(parents=True, exist_ok=True)
        (self._directory / "resolv.conf").write_text(resolv_conf(meta.namespace, DNS_ADDRESS))
        (self._directory / "hosts").write_text(hosts_file(self._place.pod_ip, meta.name))
        for volume in self._pod.spec.volumes:
            if volume.empty_dir is not None:
                make_empty_dir(self._directory / "volumes" / volume.name)

    async def _run_sandbox(self) -> None:
        assert self._network is not None  # _set_up ran
        for record in self._records:
            record.is_done = False
            record.on_wait("PodInitializing", "")
        sandbox = Sandbox(str(self._network.namespace), self._pod.metadata.name)
        self._runtime = PodRuntime(
            self._records,
            sandbox,
            network=self._network.namespace,
            pod_ip=self._place.pod_ip,
            restart_policy=self._pod.spec.restart_policy,
            grace=float(self._pod.spec.termination_grace_period_seconds),
            prepare=self._prepare,
            log_of=self._log_of,
            changed=self._changed,
        )
        self._message = ""
        self._changed()
        try:
            await self._runtime.run()
        finally:
            self._runtime = None

    # Volumes

    async def _prepare(self, record: ContainerRecord) -> LaunchPlan:
        config_maps = await self._config_maps()
        mounted = {mount.name for mount in record.spec.volume_mounts}
        for volume in self._pod.spec.volumes:
            if volume.name in mounted:
                await self._write_volume(volume, config_maps)
        for mount in record.spec.volume_mounts:
            source = self._directory / "volumes" / mount.name / mount.sub_path
            if mount.sub_path and not source.exists():
                make_empty_dir(source)
        assert self._network is not None  # containers run after _set_up
        return launch_plan(
            record.spec,
            self._facts(),
            config_maps,
            network=str(self._network.namespace),
            search_path=container_path(),
            source_root=str(SOURCE_ROOT),
            view=self._services.view,
            pod_directory=self._directory,
        )

    def _facts(self) -> PodFacts:
        node_name = self._pod.spec.node_name
        return PodFacts(self._pod, self._place.pod_ip, self._place.host_ip, node_name)

    async def _config_maps(self) -> dict[str, dict[str, str]]:
        found = {}
        for name in needed_config_maps(self._pod):
            with contextlib.suppress(NotFound):
                manifest = await self._services.client.get("ConfigMap", name, self._pod.metadata.namespace)
                found[name] = ConfigMap.parse(manifest).data
        return found

    async def _write_volume(self, volume: Volume, config_maps: dict[str, dict[str, str]]) -> None:
        if volume.empty_dir is not None:
            return
        tokens = {}
        meta = self._pod.metadata
        for wanted in token_projections(volume):
            issued = await self._services.client.create_token(
                meta.namespace,
                self._pod.spec.service_account_name,
                audiences=[wanted.audience] if wanted.audience else [],
                pod_name=meta.name,
                pod_uid=meta.uid,
                expiration_seconds=wanted.expiration_seconds,
            )
            tokens[wanted.path] = issued.token
        files = volume_files(volume, self._facts(), config_maps, tokens)
        owners = {record.spec.name: (record.uid, record.gid) for record in self._records}
        directory = self._directory / "volumes" / volume.name
        write_volume(directory, files, secret_owner(self._pod, volume.name, owners))

    async def _refresh(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._refresh_due.wait(), REFRESH_PERIOD)
            self._refresh_due.clear()
            running = [record for record in self._records if record.is_running]
            mounted = {mount.name for record in running for mount in record.spec.volume_mounts}
            try:
                config_maps = await self._config_maps()
                for volume in self._pod.spec.volumes:
                    if volume.name in mounted:
                        await self._write_volume(volume, config_maps)
            except (PodStartError, ApiError, httpx.TransportError, OSError) as error:
                _log.warning("pod %s: volumes were not refreshed: %s", self.name, error)

    # Status

    def _changed(self) -> None:
        self._dirty.set()
        self._write_state()

    def _write_state(self) -> None:
        """For `meshctl lab exec`: where the containers run."""
        if not self._directory.is_dir():
            return
        containers = {
            record.spec.name: ContainerPlace(record.pid, record.uid, record.gid)
            for record in self._records
            if record.is_running
        }
        meta = self._pod.metadata
        first = self._pod.spec.containers[0].name
        state = PodRecord(meta.namespace, meta.name, self._place.pod_ip, first, containers)
        write_pod_record(self._directory / "pod.json", state)

    async def _report(self) -> None:
        """Write the status whenever something changed; the last state wins."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._status = pod_status(
                self._records,
                self._place,
                _conditions(self._status),
                utc_now(),
                restart_policy=self._pod.spec.restart_policy,
                message=self._message,
            )
            try:
                await self._services.client.update_status(_status_update(self._manifest, self._status))
            except NotFound:
                continue  # deleted meanwhile; the watch will say so
            except (ApiError, httpx.TransportError) as error:
                _log.warning("pod %s: status was not written, trying again: %s", self.name, error)
                await asyncio.sleep(_STATUS_RETRY)
                self._dirty.set()


def _conditions(status: Manifest) -> list[object]:
    conditions = status.get("conditions")
    return conditions if isinstance(conditions, list) else []


def _status_update(manifest: Manifest, status: Manifest) -> Manifest:
    """Without a resource version: this node is the only writer of the status."""
    meta = {key: value for key, value in metadata(manifest).items() if key != "resourceVersion"}
    return {**manifest, "metadata": meta, "status": status}
