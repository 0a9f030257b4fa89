"""The demo from its first to its last check, and which of them run side by side."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import httpx

from control_plane.client import ApiError
from lab.sandbox import SOURCE_ROOT
from lab.topology import Declared, Source, read_topology
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
from meshctl.demo.finding import Finding
from meshctl.demo.mesh import DemoError, DemoMesh

LEAF_TTL = 20
"""Seconds a certificate lives in the demo: at half of it comes the next, and for the other half the control
plane may be away."""
_READY_TIMEOUT = 180.0
_CHECK_TIMEOUT = 300.0
"""A bound, not a measurement."""
EXAMPLE = SOURCE_ROOT / "examples" / "shop"

Report = Callable[[Finding], None]
_log = logging.getLogger(__name__)


def manifests(example: Path = EXAMPLE) -> list[Declared]:
    """Everything of the shop but its route. Raises DemoError when the examples are not there."""
    files = sorted((example / "manifests").glob("*.yaml"))
    if not files:
        raise DemoError(f"{example}: the demo runs from a clone of the repository, which holds examples/shop")
    return read_topology([Source(path, path.read_text()) for path in files])


async def run(mesh: DemoMesh, report: Report) -> bool:
    """Bring the shop up and check everything; whether all held. Findings are reported as they come."""
    await mesh.apply_and_wait(manifests(), _READY_TIMEOUT)
    held: list[bool] = []

    async def check(name: str, work: Awaitable[Sequence[Finding]]) -> None:
        for finding in await _guarded(name, work):
            held.append(finding.held)
            report(finding)

    # Task groups, because they wait for every check to clean up when the demo is interrupted.
    async with asyncio.TaskGroup() as beside:
        rotating = beside.create_task(check("rotation", rotation.check(mesh, LEAF_TTL)))
        await check("wire", wire.check(mesh))
        await check("server-first", server_first.check(mesh))
        await check("strangers", strangers.check(mesh))
        async with asyncio.TaskGroup() as together:
            together.create_task(check("splitting", splitting.check(mesh)))
            together.create_task(check("bad routes", bad_routes.check(mesh)))
        await rotating
        await check("control plane", control_plane_loss.check(mesh))
        await check("pod", pod_loss.check(mesh))
        await check("cost", cost.check(mesh))
    return all(held)


async def _guarded(name: str, work: Awaitable[Sequence[Finding]]) -> Sequence[Finding]:
    """What a check could not measure is a finding that did not hold."""
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT):  # `wait_for` of Python 3.11 may lose an interrupt
            return await work
    except TimeoutError:
        return [Finding(name, (f"NOT HELD: not done within {_CHECK_TIMEOUT:g} s",), False)]
    except (DemoError, ApiError, OSError, ValueError, httpx.TransportError) as error:
        _log.debug("%s", name, exc_info=error)
        return [Finding(name, (f"NOT HELD: {type(error).__name__}: {error}",), False)]
