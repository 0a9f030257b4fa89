"""`kill -9` of the control plane: traffic goes on, and after its restart everything is as it was."""

import asyncio
import signal
import time

import httpx

from control_plane.client import ApiError
from control_plane.resources.manifest import Manifest, metadata, section
from control_plane.resources.registry import KINDS
from lab.process import end
from lab.state import read_state
from meshctl.demo.finding import Evidence, Finding
from meshctl.demo.ledger import describe_failures, failures
from meshctl.demo.mesh import DemoError, DemoMesh

_RATE = 200.0
_TIMEOUT = 90.0
_PROCESS = "control-plane"


async def check(mesh: DemoMesh) -> list[Finding]:
    """Kill it under load, wait until it is back and all sidecars are SYNCED again, then change a route."""
    evidence = Evidence(
        "kill -9 of the control plane: traffic goes on, everything reconverges, nothing is lost"
    )
    await mesh.put_route({"v1": 90, "v2": 10})
    await mesh.wait_for("the route", mesh.are_synced, _TIMEOUT)
    objects = await _objects(mesh)
    async with mesh.load("load", "GET http://catalog:8080/products", rate=_RATE) as load:
        await asyncio.sleep(1.0)
        killed_at, killed_at_clock = time.monotonic(), time.time()
        await asyncio.to_thread(_kill, mesh)
        back_after = await _until_back(mesh)
        await mesh.wait_for("SYNCED sidecars", lambda: mesh.are_synced(killed_at_clock), _TIMEOUT)
        converged_after = time.monotonic() - killed_at
        kept = await _objects(mesh)
        _, changed_at = await mesh.change_route({"v1": 0, "v2": 100})
        await asyncio.sleep(1.0)
        ledger = await load.stop()
    gone = ledger.between(killed_at, killed_at + back_after)
    evidence.expect(
        bool(gone) and not failures(gone),
        f"without it for {back_after:.1f} s: {len(gone)} requests, {describe_failures(failures(gone))}",
    )
    failed = failures(ledger.records)
    evidence.expect(not failed, f"in all {len(ledger.records)} requests, {describe_failures(failed)}")
    evidence.note(f"every sidecar connected and SYNCED again {converged_after:.1f} s after the kill")
    lost = [name for name, content in objects.items() if kept.get(name) != content]
    evidence.expect(not lost, f"{len(objects)} objects before, lost or changed: {', '.join(lost) or 'none'}")
    tail = ledger.between(changed_at)
    effects = [record for record in tail if record.version != "v2"]
    evidence.expect(
        bool(tail) and not effects,
        f"a route changed afterwards: {len(tail) - len(effects)} of {len(tail)} to v2",
    )
    return [evidence.finding()]


def _kill(mesh: DemoMesh) -> None:
    state = read_state(mesh.paths.state)
    if state is None or not end(state.processes[_PROCESS], signal.SIGKILL, _TIMEOUT):
        raise DemoError("the control plane's process was not found, or survived SIGKILL")


async def _until_back(mesh: DemoMesh) -> float:
    async def answers() -> bool:
        try:
            await mesh.client.list("Namespace")
        except (httpx.TransportError, ApiError):
            return False
        return True

    return await mesh.wait_for("the control plane", answers, _TIMEOUT)


async def _objects(mesh: DemoMesh) -> dict[str, Manifest]:
    """What users wrote, by kind and name; what controllers keep writing is left out."""
    found: dict[str, Manifest] = {}
    for kind in KINDS:
        for item in (await mesh.client.list(kind.kind)).items:
            meta = metadata(item)
            place = f"{kind.kind} {meta.get('namespace', '')}/{meta['name']}"
            found[place] = {"uid": meta["uid"], "spec": section(item, "spec"), "data": section(item, "data")}
    return found
