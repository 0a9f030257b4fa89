"""The control plane is down: what goes on, what waits, and what fails. docs/outages.md says the same."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from control_plane.client import ApiClient
from control_plane.resources.pod import Pod
from lab import lifecycle, netns
from lab.paths import LabPaths
from lab.pod_record import PodRecord
from lab.process import ProcessId
from lab.state import read_state
from meshctl.demo.ledger import describe_failures, failures
from meshctl.demo.mesh import DemoError, DemoMesh
from meshctl.proxy_status import is_synced, sync_states
from meshctl.sidecar_admin import network_of
from tests.e2e.lab_host import container_pid, meshctl
from tests.e2e.test_kill import eventually, manifests

pytestmark = pytest.mark.privileged

NAME = f"outage-{os.getpid()}"
PATHS = LabPaths.of(NAME)
LEAF_TTL = 48
"""Seconds. At the moment of the outage at least nearly half of it is left: time for what must go on."""
_PODS = 5


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[DemoMesh]:
    path = manifests(tmp_path)
    text = path.read_text().replace("  nodeSelector: {topology.kubernetes.io/zone: a}\n", "")
    before, catalog, after = text.partition("metadata: {name: catalog, namespace: adopt}\nspec:\n  replicas:")
    path.write_text(
        before.replace("replicas: 2", "replicas: 1") + catalog + after.replace("replicas: 2", "replicas: 1")
    )
    flags = ("--leaf-ttl", str(LEAF_TTL), "-f", str(path), "--timeout", "240")
    try:
        await asyncio.to_thread(meshctl, "up", "--name", NAME, *flags)
        async with ApiClient.from_kubeconfig(PATHS.kubeconfig) as client:
            yield DemoMesh(PATHS, client)
    finally:
        if (supervisor := process("supervisor")) is not None:
            os.kill(supervisor.pid, signal.SIGCONT)
        await asyncio.to_thread(lifecycle.stop, PATHS)


def process(name: str) -> ProcessId | None:
    state = read_state(PATHS.state)
    return state.processes.get(name) if state is not None else None


def take_control_plane_away() -> None:
    """`kill -9`, and nobody who would start it again."""
    supervisor, control_plane = process("supervisor"), process("control-plane")
    assert supervisor is not None
    assert control_plane is not None
    os.kill(supervisor.pid, signal.SIGSTOP)
    os.kill(control_plane.pid, signal.SIGKILL)


def give_it_back() -> None:
    supervisor = process("supervisor")
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGCONT)


async def status_of(mesh: DemoMesh, url: str) -> int:
    """Of one request from the client."""
    ledger = await mesh.run_load("client", f"GET {url}", rate=1, limit=1)
    return ledger.records[0].status


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Without asking the API, which is away."""
    for _ in range(1800):
        try:
            if await condition():
                return
        except DemoError:
            pass  # the page of a sidecar that does not run yet
        await asyncio.sleep(0.1)
    raise AssertionError("not in time")


async def has_expired(mesh: DemoMesh, pod: str) -> bool:
    ends_at = (await mesh.samples(pod)).total("meshproxy_certificate_expiry_timestamp_seconds")
    return ends_at < time.time()


def runs(pod: PodRecord) -> set[str]:
    return set(pod.containers)


def kill_all_of(pod: PodRecord) -> None:
    namespace = netns.identity(network_of(pod))
    assert namespace is not None
    netns.kill_processes({namespace})


async def is_whole(mesh: DemoMesh) -> bool:
    pods = [Pod.read(one) for one in (await mesh.client.list("Pod", "adopt")).items]
    synced = [node for node in await sync_states(mesh.client) if is_synced(node)]
    return len(pods) == _PODS == len(synced) and all(pod.status.is_ready for pod in pods)


async def test_without_its_control_plane_a_mesh_goes_on_until_its_certificates_end(mesh: DemoMesh) -> None:
    await eventually(lambda: is_whole(mesh), "the application", NAME)
    async with mesh.load("client", "GET http://web:8080/", rate=30, duration=600) as load:
        take_control_plane_away()
        # A Service that nobody has spoken to yet: what a sidecar has, is enough for it.
        assert await status_of(mesh, "http://catalog:8080/products") == 200

        # A sidecar that starts again has neither certificate nor token: it waits, and takes nothing.
        before = container_pid(PATHS, "catalog-", "meshproxy")
        os.kill(before, signal.SIGKILL)
        ledger = await load.stop()
    failed = failures(ledger.records)
    assert not failed, f"{len(ledger.records)} requests, {describe_failures(failed)}"

    # A pod that starts is not let past its sidecar: its app does not run, in plaintext or otherwise.
    new = mesh.pod("web")
    assert runs(new) == {"web", "meshproxy"}
    kill_all_of(new)

    async def is_waiting() -> bool:
        return "web" not in runs(mesh.pod(f"adopt/{new.name}"))

    await until(is_waiting)

    # A certificate that has ended is not used, nor done without: a new connection fails.
    await until(lambda: has_expired(mesh, "client"))
    assert await status_of(mesh, "http://inventory:8080/stock/1") == 503
    assert await is_waiting()

    give_it_back()
    await eventually(lambda: is_whole(mesh), "everything is as it was", NAME)
    assert container_pid(PATHS, "catalog-", "meshproxy") != before
    ledger = await mesh.run_load(
        "client", "GET http://web:8080/", "GET http://inventory:8080/stock/1", rate=30, limit=60
    )
    failed = failures(ledger.records)
    assert not failed, describe_failures(failed)
