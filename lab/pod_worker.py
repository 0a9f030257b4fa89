"""Everything a node does for one pod: network, volumes, sandbox after sandbox, status, and the end.

A pod whose pause process dies (every process of the pod was killed) gets a new sandbox with the same network.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from control_plane.client import ApiClient, ApiError, NotFound
from control_plane.resources.manifest import Manifest, metadata, objects, section
from control_plane.resources.pod import Pod
from control_plane.resources.timestamp import rfc3339, seconds_of
from lab import netns
from lab.addressing import DNS_ADDRESS
from lab.container import ContainerRecord, RestartBackoff, should_restart
from lab.container_plan import container_user, launch_plan, pod_names
from lab.container_runner import PodSurroundings
from lab.entrance import EnteringCommand
from lab.environment import PodFacts, PodStartError
from lab.event_recorder import NORMAL, WARNING, EventRecorder
from lab.ignored import IGNORED_REASON, ignored_fields, ignored_message
from lab.kubelet_server import ServedContainer
from lab.launch import LaunchPlan, Mount
from lab.netns import NetworkError
from lab.network import Node, PodNetwork
from lab.paths import LabPaths
from lab.pod_files import PodFiles
from lab.pod_runtime import PodRuntime
from lab.pod_status import (
    OWN_CONDITIONS,
    TERMINAL_PHASES,
    PodOutline,
    PodPlace,
    PodVerdict,
    pod_status,
    resume,
)
from lab.sandbox import SOURCE_ROOT, Sandbox, container_path

_log = logging.getLogger(__name__)

REFRESH_PERIOD = 60.0
"""Seconds between rewrites of tokens and ConfigMaps in volumes; a token is good for one use, so a sidecar
that must log in again needs a new one well before the old would expire."""
_STATUS_RETRY = 0.5
"""Seconds before a status that could not be written is written again."""
_LEAST_GRACE = 1.0
"""Seconds that also a pod deleted by force has to end."""


@dataclass(frozen=True, slots=True)
class NodeServices:
    """What workers share."""

    client: ApiClient
    node: Node
    paths: LabPaths
    view: tuple[Mount, ...]
    """Mounts that make the interpreter reachable in every container."""
    events: EventRecorder
    allocatable: Mapping[str, int | float | str] = field(default_factory=dict)
    """What the node has, by resource."""


class PodWorker:
    """One pod on this node, from its assignment to its deletion."""

    def __init__(self, manifest: Manifest, services: NodeServices) -> None:
        self.manifest = manifest
        self._pod = Pod.read(manifest)
        self._services = services
        meta = self._pod.metadata
        self.name = f"{meta.namespace}_{meta.name}_{meta.uid[:8]}"
        self.files = PodFiles(services.paths.pods / self.name, services.client)
        self.records = [
            *(ContainerRecord(container, is_init=True) for container in self._pod.spec.init_containers),
            *(ContainerRecord(container) for container in self._pod.spec.containers),
        ]
        self._status = section(manifest, "status")
        resume(self.records, self._status)
        self._network: PodNetwork | None = None
        self._place = PodPlace(start_time=str(self._status.get("startTime") or ""))
        self._verdict = PodVerdict()
        self._dirty = asyncio.Event()
        self._refresh_due = asyncio.Event()
        self._is_ending = False
        self._runtime: PodRuntime | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; `delete` ends it. A pod that has ended already stays so."""
        if self._status.get("phase") in TERMINAL_PHASES:
            return
        loop = asyncio.get_running_loop()
        for work in (self._run(), self._report(), self._refresh(), self._keep_deadline()):
            self._tasks.append(loop.create_task(work, name=self.name))

    def on_modified(self, manifest: Manifest) -> None:
        """Labels and annotations may have changed; they are written into volumes at the next refresh."""
        self.manifest = manifest
        self._pod = Pod.read(manifest)
        if self._pod.spec.readiness_gates:
            self._dirty.set()  # somebody may have opened one

    def refresh(self) -> None:
        """Rewrite the volumes soon. After the API was away, sidecars may have to log in anew with a token."""
        self._refresh_due.set()

    async def delete(self, grace: float | None = None) -> None:
        """Stop gracefully, within `grace` seconds (None: the pod's own), give back the network, remove all
        files.
        """
        self._is_ending = True
        if self._runtime is not None:
            own = float(self._pod.spec.termination_grace_period_seconds)
            await self._runtime.stop(max(_LEAST_GRACE, own if grace is None else grace))
        await self._cancel()
        await asyncio.to_thread(self._services.node.remove_pod, self.name)
        await self.files.remove()

    def hurry(self, grace: float) -> None:
        """A pod that is being ended has `grace` seconds left, however much it had before."""
        asyncio.get_running_loop().call_later(grace, self._kill)

    def _kill(self) -> None:
        if self._runtime is not None:
            self._runtime.kill()

    async def abandon(self) -> None:
        """Kill at once, keep the network and the files: the node stops."""
        await self._cancel()

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def container(self, name: str) -> ServedContainer | None:
        """For the endpoint of the node."""
        record = next((record for record in self.records if record.spec.name == name), None)
        if record is None:
            return None
        return ServedContainer(
            logs=self.files.logs(name),
            enter=lambda command: self._enter(record, command),
            is_running=lambda: record.is_running,
            waits_for=lambda: record.waiting_reason or "ContainerCreating",
        )

    def _enter(self, record: ContainerRecord, command: list[str]) -> EnteringCommand | None:
        return None if self._runtime is None else self._runtime.enter(record.spec.name, command)

    # Events

    def _tell(self, kind: str, reason: str, message: str, field_path: str = "") -> None:
        self._services.events.tell(self.manifest, kind, reason, message, field_path=field_path)

    def _tell_of(self, record: ContainerRecord, kind: str, reason: str, message: str) -> None:
        containers = "initContainers" if record.is_init else "containers"
        self._tell(kind, reason, message, f"spec.{containers}{{{record.spec.name}}}")

    # The pod's life

    async def _run(self) -> None:
        backoff = RestartBackoff()
        while True:
            started_at = time.monotonic()
            try:
                await self._set_up()
                await self._run_sandbox()
                if self._is_ending or all(record.is_done for record in self.records):
                    self._changed()
                    return
                message = "the pod's processes were killed; starting it again"
                self._tell(NORMAL, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
            except (NetworkError, OSError, PodStartError) as error:
                message = str(error)
                _log.warning("pod %s: %s", self.name, error)
                self._tell(WARNING, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            if self._is_ending:
                return
            self._verdict = PodVerdict(message)
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
        self._place = PodPlace(
            str(network.address),
            str(node.address),
            self._place.start_time or rfc3339(time.time()),
            tuple(map(str, network.addresses)),
            tuple(map(str, node.addresses)),
        )
        for record in self.records:
            record.uid, record.gid = container_user(self._pod, record.spec, self._place.pod_ip)
        for omitted in self.files.set_up(self._facts(), (DNS_ADDRESS,)):
            self._tell(WARNING, "DNSConfigForming", omitted)
        if ignored := ignored_fields(self._pod):
            self._tell(NORMAL, IGNORED_REASON, ignored_message(ignored))

    async def _run_sandbox(self) -> None:
        assert self._network is not None  # _set_up ran
        for record in self.records:
            policy, ended = self._pod.spec.restart_policy, record.exit_code
            record.is_done = not (record.is_init or ended is None or should_restart(policy, ended))
            if not record.is_done:
                record.on_wait("PodInitializing", "")
        around = PodSurroundings(
            sandbox=Sandbox(str(self._network.namespace), pod_names(self._pod)[0]),
            probe_network=self._services.node.namespace,
            pod_ip=self._place.pod_ip,
            grace=float(self._pod.spec.termination_grace_period_seconds),
            prepare=self._prepare,
            logs_of=self.files.logs,
            end_message=self.files.end_message,
            changed=self._changed,
            tell=self._tell_of,
        )
        self._runtime = PodRuntime(self.records, around, self._pod.spec.restart_policy)
        if not self._verdict.reason:
            self._verdict = PodVerdict()
        self._changed()
        try:
            await self._runtime.run()
        finally:
            self._runtime = None

    async def _keep_deadline(self) -> None:
        """End a pod that is active for longer than it may."""
        limit = self._pod.spec.active_deadline_seconds
        if limit is None:
            return
        began = self._place.start_time
        already = max(0.0, time.time() - seconds_of(began)) if began else 0.0
        await asyncio.sleep(max(0.0, limit - already))
        message = "Pod was active on the node longer than the specified deadline"
        self._verdict = PodVerdict(message, "DeadlineExceeded")
        self._is_ending = True
        self._tell(NORMAL, "DeadlineExceeded", message)
        if self._runtime is not None:
            await self._runtime.stop(float(self._pod.spec.termination_grace_period_seconds))
        self._changed()

    # Volumes

    async def _prepare(self, record: ContainerRecord) -> LaunchPlan:
        try:
            sources = await self.files.prepare(record.spec, self._facts(), self._owners())
        except PodStartError as error:
            if error.reason == "ContainerCreating":  # a volume's, not the container's own
                self._tell(WARNING, "FailedMount", str(error))
            raise
        image = record.spec.image
        if image and not record.last_started_at:
            note = f'Container image "{image}" is not pulled: the lab runs the command as a process here'
            self._tell_of(record, NORMAL, "Pulled", note)
        assert self._network is not None  # containers run after _set_up
        return launch_plan(
            record.spec,
            self._facts(),
            sources,
            network=str(self._network.namespace),
            search_path=container_path(),
            source_root=str(SOURCE_ROOT),
            view=self._services.view,
            pod_directory=self.files.directory,
        )

    def _facts(self) -> PodFacts:
        place = self._place
        return PodFacts(
            self._pod,
            place.pod_ip,
            place.host_ip,
            self._pod.spec.node_name,
            place.pod_ips,
            place.host_ips,
            self._services.allocatable,
        )

    def _owners(self) -> dict[str, tuple[int, int]]:
        return {record.spec.name: (record.uid, record.gid) for record in self.records}

    async def _refresh(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_PERIOD):
                    await self._refresh_due.wait()
            self._refresh_due.clear()
            running = [record for record in self.records if record.is_running]
            mounted = {mount.name for record in running for mount in record.spec.volume_mounts}
            try:
                sources = await self.files.sources(self._pod)
                await self.files.write_volumes(mounted, self._facts(), sources, self._owners())
            except (PodStartError, ApiError, httpx.TransportError, OSError) as error:
                _log.warning("pod %s: volumes were not refreshed: %s", self.name, error)

    # Status

    def _changed(self) -> None:
        self._dirty.set()
        self.files.write_record(self._pod, self._place.pod_ip, self.records)

    async def _report(self) -> None:
        """Write the status whenever something changed; the last state wins."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            before, self._status = self._status, self._status_now()
            try:
                await self._services.client.patch(
                    "Pod",
                    self._pod.metadata.name,
                    self._pod.metadata.namespace,
                    _status_patch(self._pod.metadata.uid, before, self._status),
                    "status",
                )
            except NotFound:
                continue  # deleted meanwhile; the watch will say so
            except (ApiError, httpx.TransportError) as error:
                _log.warning("pod %s: status was not written, trying again: %s", self.name, error)
                await asyncio.sleep(_STATUS_RETRY)
                self._status = before | self._status
                self._dirty.set()

    def _status_now(self) -> Manifest:
        own = (one for one in objects(self._status, "conditions") if one.get("type") in OWN_CONDITIONS)
        known = objects(section(self.manifest, "status"), "conditions")
        others = (one for one in known if one.get("type") not in OWN_CONDITIONS)
        generation = metadata(self.manifest).get("generation")
        outline = PodOutline(
            uid=self._pod.metadata.uid,
            restart_policy=self._pod.spec.restart_policy,
            readiness_gates=tuple(gate.condition_type for gate in self._pod.spec.readiness_gates),
            previous=[*own, *others],
            generation=generation if isinstance(generation, int) else 0,
        )
        return pod_status(self.records, self._place, outline, rfc3339(time.time()), self._verdict)


def _status_patch(uid: str, before: Manifest, status: Manifest) -> Manifest:
    """A merge patch: what has gone from the status is taken out; another Pod of the name is left alone."""
    gone: Manifest = {name: None for name in ("message", "reason") if name in before and name not in status}
    return {"metadata": {"uid": uid}, "status": {**status, **gone}}
