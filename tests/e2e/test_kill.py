"""`kill -9` of each process in turn, under traffic: no request fails, nothing stored is lost, and after each
one the lab does again by itself all that it did before."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from control_plane.client import ApiClient, ApiError
from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import Manifest, metadata, section
from control_plane.resources.pod import Pod
from lab import lifecycle
from lab.paths import LabPaths
from lab.process import ProcessId
from lab.sandbox import SOURCE_ROOT
from lab.state import read_state
from meshctl.demo.ledger import describe_failures, failures
from meshctl.demo.mesh import DemoMesh
from meshctl.proxy_status import is_synced, node_name, sync_states
from tests.e2e.lab_host import container_pid, meshctl

pytestmark = pytest.mark.privileged

NAME = f"kill-{os.getpid()}"
PATHS = LabPaths.of(NAME)
EXAMPLE = SOURCE_ROOT / "examples" / "adopt"
APPS = ("web", "catalog", "inventory")
KEPT = ("Namespace", "ServiceAccount", "Service", "Deployment", "ReplicaSet", "ConfigMap", "Node")
"""What users write, and what is made once for it."""
_RATE = 30.0
_LOOKS, _POLL = 1800, 0.1


def manifests(folder: Path) -> Path:
    """The application with sidecars, two pods of each part, and the client on the first node."""
    app = (EXAMPLE / "manifests" / "app.yaml").read_text()
    app = app.replace("{name: adopt}", "{name: adopt, labels: {meshproxy.io/injection: enabled}}", 1)
    app = app.replace("replicas: 1", "replicas: 2").replace('"5"', '"2"')
    client = (EXAMPLE / "client.yaml").read_text()
    client = client.replace("\nspec:\n", "\nspec:\n  nodeSelector: {topology.kubernetes.io/zone: a}\n")
    path = folder / "app.yaml"
    path.write_text(f"{app}---\n{client}")
    return path


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[DemoMesh]:
    files = ("-f", str(manifests(tmp_path)))
    try:
        await asyncio.to_thread(meshctl, "up", "--name", NAME, "--zones", "a,b", *files, "--timeout", "240")
        async with ApiClient.from_kubeconfig(PATHS.kubeconfig) as client:
            yield DemoMesh(PATHS, client)
    finally:
        await asyncio.to_thread(lifecycle.stop, PATHS)


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, lab: str = NAME) -> None:
    """The time is a bound, not a measurement. Who does not answer meanwhile is asked again."""
    said = ""
    for _ in range(_LOOKS):
        try:
            if await condition():
                return
        except (httpx.TransportError, ApiError) as error:
            said = str(error)
        await asyncio.sleep(_POLL)
    shown = await asyncio.to_thread(meshctl, "status", "--name", lab)
    raise AssertionError(f"not in time: {what} {said}\n{shown}")


async def is_whole(mesh: DemoMesh) -> bool:
    """Every Deployment has its pods, all are ready, and their sidecars have what they should."""
    deployments = [Deployment.read(one) for one in (await mesh.client.list("Deployment", "adopt")).items]
    pods = [Pod.read(one) for one in (await mesh.client.list("Pod", "adopt")).items]
    synced = {node_name(node) for node in await sync_states(mesh.client) if is_synced(node)}
    return (
        all(one.status.available_replicas == 2 and one.status.replicas == 2 for one in deployments)
        and len(pods) == 2 * len(APPS) + 1
        and all(pod.status.is_ready and not pod.metadata.deletion_timestamp for pod in pods)
        and {f"{pod.metadata.name}.adopt" for pod in pods} <= synced
    )


async def another_pod(mesh: DemoMesh) -> None:
    """A pod is deleted, and the one in its place is made, bound, injected, run and told of to everybody."""
    pod = Pod.read((await mesh.client.list("Pod", "adopt", "app=inventory")).items[0])
    await mesh.client.delete("Pod", pod.metadata.name, "adopt")

    async def is_replaced() -> bool:
        pods = (await mesh.client.list("Pod", "adopt")).items
        return pod.metadata.uid not in {metadata(one)["uid"] for one in pods} and await is_whole(mesh)

    await eventually(is_replaced, f"another pod than {pod.metadata.name}")


async def stored(mesh: DemoMesh) -> dict[str, Manifest]:
    found: dict[str, Manifest] = {}
    for kind in KEPT:
        for one in (await mesh.client.list(kind)).items:
            meta = metadata(one)
            place = f"{kind} {meta.get('namespace', '')}/{meta['name']}"
            found[place] = {"uid": meta["uid"], "spec": section(one, "spec"), "data": section(one, "data")}
    return found


def process(name: str) -> ProcessId:
    state = read_state(PATHS.state)
    assert state is not None
    return state.processes[name]


async def kill_process(name: str) -> None:
    """One of the lab's, until there is another."""
    before = process(name)
    os.kill(before.pid, signal.SIGKILL)

    async def is_back() -> bool:
        return process(name) != before

    await eventually(is_back, f"another {name}")


async def kill_container(mesh: DemoMesh, pod: str, container: str) -> None:
    """Until it runs again."""
    before = container_pid(PATHS, f"{pod}-", container)
    os.kill(before, signal.SIGKILL)

    async def is_back() -> bool:
        try:
            return container_pid(PATHS, f"{pod}-", container) != before
        except KeyError:
            return False

    await eventually(is_back, f"container {container} of {pod}")


async def lab_processes(mesh: DemoMesh) -> list[str]:
    """All but the supervisor, with which a lab ends, and the kubelet that the client's processes die with.
    The other kubelet first: as long as each part of the application still has a pod on each node."""
    state = read_state(PATHS.state)
    assert state is not None
    client = Pod.read(await mesh.client.get("Pod", "client", "adopt"))
    others = state.processes.keys() - {"supervisor", f"kubelet-{client.spec.node_name}"}
    return sorted(others, key=lambda name: (not name.startswith("kubelet"), name))


async def test_whatever_is_killed_the_lab_converges_and_no_request_fails(mesh: DemoMesh) -> None:
    processes = await lab_processes(mesh)
    assert len(processes) == len(("control-plane", "injector", "controller", "kubelet of node b"))
    victims: dict[str, Callable[[], Awaitable[None]]] = {
        **{name: partial(kill_process, name) for name in processes},
        "a sidecar": lambda: kill_container(mesh, "catalog", "meshproxy"),
        "an app": lambda: kill_container(mesh, "inventory", "inventory"),
    }
    await eventually(lambda: is_whole(mesh), "the application")
    before = await stored(mesh)
    for victim, kill in victims.items():
        async with mesh.load("client", "GET http://web:8080/", rate=_RATE, duration=600) as load:
            await kill()
            await eventually(lambda: is_whole(mesh), f"the application, after {victim} was killed")
            await another_pod(mesh)
            ledger = await load.stop()
        failed = failures(ledger.records)
        assert ledger.records
        assert not failed, f"{victim}: {len(ledger.records)} requests, {describe_failures(failed)}"
        assert await stored(mesh) == before, victim
