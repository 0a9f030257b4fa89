"""Each line of the demo's report, over one lab with the shop in it."""

import asyncio
import functools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from control_plane.client import ApiClient
from lab import lifecycle
from lab.paths import LabPaths
from lab.state import LabOptions
from meshctl.demo import scenario
from meshctl.demo.checks import (
    bad_routes,
    control_plane_loss,
    cost,
    pod_loss,
    rotation,
    server_first,
    splitting,
    strangers,
    wire,
)
from meshctl.demo.command import demo_lock
from meshctl.demo.finding import Finding
from meshctl.demo.mesh import DemoMesh
from tests.e2e.lab_host import assert_nothing_is_left, host_state, namespaces_of

pytestmark = pytest.mark.privileged

START_TIMEOUT = 180.0


@pytest.fixture(scope="module")
def paths() -> Iterator[LabPaths]:
    """A lab with the shop, every pod ready."""
    found = LabPaths.of(f"e2e-demo-{os.getpid()}")
    lifecycle.stop(found)
    try:
        daemon = lifecycle.start(found, LabOptions(leaf_ttl=scenario.LEAF_TTL))
        lifecycle.wait_until_ready(found, daemon, START_TIMEOUT, lambda: None)
        asyncio.run(bring_up(found))
        yield found
    finally:
        lifecycle.stop(found)
    daemon.wait()


async def bring_up(paths: LabPaths) -> None:
    async with ApiClient.from_kubeconfig(paths.kubeconfig) as client:
        await DemoMesh(paths, client).apply_and_wait(scenario.manifests(), START_TIMEOUT)


@pytest.fixture
async def mesh(paths: LabPaths) -> AsyncIterator[DemoMesh]:
    async with ApiClient.from_kubeconfig(paths.kubeconfig) as client:
        yield DemoMesh(paths, client)


def held(findings: list[Finding]) -> None:
    """Fails with everything that was measured when a claim did not hold."""
    assert findings
    for finding in findings:
        assert finding.held, "\n  ".join([finding.claim, *finding.measured])


async def test_traffic_between_pods_is_mutual_tls_and_the_capture_would_see_plaintext(mesh: DemoMesh):
    held(await wire.check(mesh))


async def test_a_server_that_speaks_first_answers(mesh: DemoMesh):
    held(await server_first.check(mesh))


async def test_a_client_without_a_sidecar_is_refused_and_counted(mesh: DemoMesh):
    held(await strangers.check(mesh))


async def test_a_route_splits_traffic_and_the_metrics_equal_the_ledger(mesh: DemoMesh):
    held(await splitting.check(mesh))


async def test_bad_routes_are_refused_or_explained_and_disturb_nobody(mesh: DemoMesh):
    held(await bad_routes.check(mesh))


async def test_certificates_rotate_under_load(mesh: DemoMesh):
    held(await rotation.check(mesh, scenario.LEAF_TTL))


async def test_the_mesh_outlives_its_control_plane(mesh: DemoMesh):
    held(await control_plane_loss.check(mesh))


async def test_the_loss_of_a_pod_fails_no_get_and_repeats_no_post(mesh: DemoMesh):
    held(await pod_loss.check(mesh))


async def test_memory_and_latency_are_measured(mesh: DemoMesh):
    held(await cost.check(mesh))


def test_an_interrupted_demo_leaves_nothing_and_says_so():
    before = host_state()
    paths = LabPaths.of(f"e2e-interrupted-{os.getpid()}")
    command = [sys.executable, "-m", "meshctl", "demo", "--name", paths.name]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    # A shell that starts something in the background has it ignore SIGINT; what it starts inherits that.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, **pipes, text=True, preexec_fn=heed) as demo:
        try:
            assert demo.stdout is not None
            said = [demo.stdout.readline()]
            while "PASS" not in said[-1]:
                said.append(demo.stdout.readline())
                assert said[-1], "".join(said)
            namespaces = namespaces_of(paths)
            demo.send_signal(signal.SIGINT)
            output = demo.communicate(timeout=180)[0]
        except BaseException:
            demo.kill()
            lifecycle.stop(paths)
            raise
    assert demo.returncode == 1
    assert "interrupted; everything was taken down" in output
    assert "Traceback" not in output
    assert_nothing_is_left(paths, before, namespaces)


def test_a_second_demo_does_not_take_the_first_ones_lab():
    name = f"e2e-second-{os.getpid()}"
    with demo_lock(name):
        command = [sys.executable, "-m", "meshctl", "demo", "--name", name]
        second = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert second.returncode == 1
    assert f"another demo runs in lab {name}" in second.stderr
