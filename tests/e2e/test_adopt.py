"""Adopt and leave under load: a plaintext application goes into a strict mesh and out again, and no request
fails."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from control_plane.client import ApiClient
from lab import lifecycle
from lab.paths import LabPaths
from lab.sandbox import SOURCE_ROOT
from meshctl.demo.ledger import Ledger, Record, describe_failures, failures
from meshctl.demo.mesh import DemoMesh, RunningLoad
from meshctl.edge import PLAINTEXT
from meshctl.edges import read_edges
from tests.e2e.lab_host import meshctl

pytestmark = [
    pytest.mark.privileged,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]

NAME = f"adopt-{os.getpid()}"
PATHS = LabPaths.of(NAME)
EXAMPLE = SOURCE_ROOT / "examples" / "adopt"
APPS = ("inventory", "catalog", "web")
REQUESTS = ("GET http://web:8080/", "POST http://web:8080/orders")
STRANGER = "name: stranger, namespace: default"
_RATE = 30.0
_PATIENCE = "120s"
_WINDOW = 1.0


@pytest.fixture
async def mesh() -> AsyncIterator[DemoMesh]:
    """A lab, STRICT as it is by default, with the application in it, as it was before there was a mesh."""
    try:
        await asyncio.to_thread(
            meshctl, "up", "--name", NAME, "-f", str(EXAMPLE / "manifests"), "--timeout", "240"
        )
        async with ApiClient.from_kubeconfig(PATHS.kubeconfig) as client:
            yield DemoMesh(PATHS, client)
    finally:
        await asyncio.to_thread(lifecycle.stop, PATHS)


class Clients:
    """A load that never stops: the next client begins before the one before it ends. Each is a pod of its
    own, with or without sidecar, as the namespace is labelled when it comes."""

    def __init__(self, mesh: DemoMesh, stack: AsyncExitStack) -> None:
        self._mesh = mesh
        self._stack = stack
        self._current: tuple[str, RunningLoad] | None = None
        self.records: list[Record] = []

    async def next(self, pod: str) -> None:
        manifest = (EXAMPLE / "client.yaml").read_text().replace("name: client,", f"name: {pod},")
        await kubectl("apply", "-f", "-", manifest=manifest)
        await kubectl("-n", "adopt", "wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={_PATIENCE}")
        load = self._mesh.load(pod, *REQUESTS, rate=_RATE, duration=600, request_timeout=30)
        running = await self._stack.enter_async_context(load)
        before, self._current = self._current, (pod, running)
        if before is not None:
            await self._end(*before)

    async def stop(self) -> None:
        assert self._current is not None
        await self._end(*self._current)

    async def _end(self, pod: str, running: RunningLoad) -> None:
        self.records += (await running.stop()).records
        await kubectl("-n", "adopt", "delete", "pod", pod, "--wait=false")


async def kubectl(*arguments: str, manifest: str = "") -> str:
    """Its output; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *("kubectl", "--kubeconfig", str(PATHS.kubeconfig), "--cache-dir", str(PATHS.root / "kubectl")),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(manifest.encode())
    assert process.returncode == 0, f"kubectl {' '.join(arguments)}: {output.decode()}"
    return output.decode()


async def roll(app: str) -> None:
    """Every pod of it is replaced, one after the other."""
    await kubectl("-n", "adopt", "rollout", "restart", f"deployment/{app}")
    await kubectl("-n", "adopt", "rollout", "status", f"deployment/{app}", f"--timeout={_PATIENCE}")


async def apply(file: Path) -> None:
    """A PeerAuthentication, until the control plane has it."""
    await kubectl("apply", "-f", str(file))
    await kubectl(
        *("-n", "adopt", "wait", "--for=condition=Accepted", "peerauthentication/default"),
        f"--timeout={_PATIENCE}",
    )


async def containers() -> set[int]:
    """How many run in the application's pods, of all that are not being deleted."""
    shown = await kubectl("-n", "adopt", "get", "pods", "-l", "app!=client", "--no-headers")
    rows = [line.split() for line in shown.splitlines()]
    return {int(row[1].partition("/")[2]) for row in rows if row[2] != "Terminating"}


async def plaintext() -> set[tuple[str, str]]:
    """Edges, `adopt/` left out."""
    found = await asyncio.to_thread(read_edges, PATHS, _WINDOW)
    return {
        (edge.source.removeprefix("adopt/"), edge.destination.removeprefix("adopt/"))
        for edge in found
        if edge.secured == PLAINTEXT
    }


async def until_plaintext_is(expected: set[tuple[str, str]]) -> None:
    """What is on its way when something changes is still counted: looked at until it is over."""
    found: set[tuple[str, str]] = set()
    for _ in range(30):
        found = await plaintext()
        if found == expected:
            return
    raise AssertionError(f"in plaintext: {found}, expected: {expected}")


async def until_a_stranger_is(status: int) -> None:
    """A client without sidecar in another namespace asks web: 200, or 0 when it is refused."""
    found = -1
    for _ in range(60):
        ledger = await asyncio.to_thread(
            *(meshctl, "exec", "--name", NAME, "stranger", "--", "python", "-m", "examples.shop.load"),
            *("--request", "GET http://web.adopt:8080/", "--limit", "1"),
        )
        found = Ledger.parse(ledger.removesuffix("started\n")).records[0].status
        if found == status:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"a stranger got {found}, not {status}")


async def test_an_application_is_adopted_and_leaves_and_no_request_fails(mesh: DemoMesh) -> None:
    async with AsyncExitStack() as stack:
        stranger = (EXAMPLE / "client.yaml").read_text().replace("name: client, namespace: adopt", STRANGER)
        await kubectl("apply", "-f", "-", manifest=stranger)
        clients = Clients(mesh, stack)
        await clients.next("client-before")
        assert await containers() == {1}

        await apply(EXAMPLE / "permissive.yaml")
        await kubectl("label", "namespace", "adopt", "meshproxy.io/injection=enabled")
        await roll("inventory")
        await until_plaintext_is({("(no sidecar)", "inventory")})
        await roll("catalog")
        await until_plaintext_is({("(no sidecar)", "catalog")})
        await roll("web")
        await until_plaintext_is({("(no sidecar)", "web")})
        await clients.next("client-within")
        await until_plaintext_is(set())
        assert await containers() == {2}
        await until_a_stranger_is(200)

        await apply(EXAMPLE / "strict.yaml")
        await until_a_stranger_is(0)

        await apply(EXAMPLE / "permissive.yaml")
        await until_a_stranger_is(200)
        await kubectl("label", "namespace", "adopt", "meshproxy.io/injection-")
        await clients.next("client-after")
        for app in reversed(APPS):
            await roll(app)
        assert await containers() == {1}
        await kubectl("-n", "adopt", "delete", "peerauthentication", "default")
        await clients.stop()

    assert len(clients.records) > 100
    failed = failures(clients.records)
    assert not failed, f"{len(clients.records)} requests, {describe_failures(failed)}"
