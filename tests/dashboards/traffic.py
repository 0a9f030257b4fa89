"""Traffic of every kind in a lab with the shop, for as long as Prometheus looks, and what became of it."""

import asyncio
import json
import time
from contextlib import AsyncExitStack

from lab.pod_record import PodRecord
from meshctl.demo.mesh import DemoMesh, finish
from meshctl.proxy_status import sync_states
from tests.dashboards import sidecar_facts
from tests.dashboards.truth import (
    FICKLE_REQUESTS,
    LOST,
    TALKER,
    Connection,
    SidecarFacts,
    Truth,
    add_fickle_ledger,
    add_ledgers,
    add_lost_ledger,
)

WARM_UP = 4.0
"""Seconds of traffic before the window: rates need series that are there already."""
_AFTER = 2.5
"""Seconds of traffic after it, until what was counted is scraped."""
_CHANGE_PERIOD = 3.0
_NOTE = "n" * 500
_SIDECARS = ("web", "catalog-v1", "catalog-v2", "inventory", "greeter", "load", "fickle")
_SIGNING = "control-plane.meshproxy-system.svc:15011"
_TALK = ("greeter", "9000", "--rate", "4", "--size", "2000")
_HOST = "http://fickle:8080"
_TIMEOUT = 60.0


async def observe(mesh: DemoMesh, seconds: float) -> Truth:
    """Traffic during a window, and a little longer; the window's end is in `evaluated_at`."""
    await mesh.put_route({"v1": 75, "v2": 25})
    await mesh.wait_for("the first route", mesh.are_synced, _TIMEOUT)
    fickle = [f"{method} {_HOST}{path}" for method, path in (text.split() for text in FICKLE_REQUESTS)]
    async with AsyncExitStack() as stack:
        start = stack.enter_async_context
        catalog = await start(
            mesh.load(
                "load",
                *("GET http://catalog:8080/products", "GET http://catalog:8080/products/none"),
                rate=20,
            )
        )
        web = await start(mesh.load("load", "GET http://web:8080/", rate=10))
        wavering = await start(mesh.load("load", *fickle, rate=20, note=_NOTE))
        stranger = await start(mesh.load("outsider", "GET http://catalog.shop:8080/products", rate=2))
        tcp = await mesh.start(TALKER, "python", "-m", "tests.dashboards.tcp_load", *_TALK)
        stack.push_async_callback(finish, tcp)
        nowhere = await start(mesh.load(LOST, "GET http://nowhere:8080/", rate=2))
        root = (mesh.paths.control_plane / "ca" / "root-cert.pem").read_text()
        forger = await mesh.start(
            "outsider", "python", "-m", "tests.dashboards.forger", _SIGNING, root, "--rate", "2"
        )
        stack.push_async_callback(finish, forger)
        await asyncio.sleep(WARM_UP)
        truth = await _window(mesh, seconds)
        await asyncio.sleep(_AFTER)
        add_ledgers(truth, await catalog.stop(), await web.stop(), await wavering.stop(), _NOTE)
        truth.refused = [record.answered_at for record in (await stranger.stop()).records]
        add_lost_ledger(truth, await nowhere.stop())
        truth.forged = [(at, what) for at, what in json.loads((await forger.communicate(b""))[0])]
        add_fickle_ledger(truth, json.loads(await mesh.page("fickle", "/ledger", 8080)))
        truth.connections = [Connection(*entry) for entry in json.loads((await tcp.communicate(b""))[0])]
        return truth


async def _window(mesh: DemoMesh, seconds: float) -> Truth:
    """Routes change now and then; facts of sidecars are taken at both ends."""
    pods = [mesh.pod(name) for name in _SIDECARS]
    cpu = [sidecar_facts.cpu_seconds(pod) for pod in pods]
    truth = Truth(time.monotonic(), time.monotonic())
    while (left := truth.since + seconds - time.monotonic()) > 0:
        if left > _CHANGE_PERIOD:
            await _change(mesh, truth)
        await asyncio.sleep(max(0.0, min(_CHANGE_PERIOD, truth.since + seconds - time.monotonic())))
    truth.until, truth.evaluated_at = time.monotonic(), time.time()
    truth.sidecars = [_facts(pod, before, truth.seconds) for pod, before in zip(pods, cpu, strict=True)]
    return truth


def _facts(pod: PodRecord, cpu_before: float, seconds: float) -> SidecarFacts:
    cpu = (sidecar_facts.cpu_seconds(pod) - cpu_before) / seconds
    return SidecarFacts(pod.name, sidecar_facts.memory(pod), cpu, sidecar_facts.expires_at(pod))


async def _change(mesh: DemoMesh, truth: Truth) -> None:
    """Another split; until every sidecar has it."""
    before = await _route_versions(mesh)
    share = 70 + len(truth.changes) % 20
    started_at = time.monotonic()
    await mesh.put_route({"v1": share, "v2": 100 - share})
    truth.changes.append(time.monotonic())

    async def has_arrived() -> bool:
        now = await _route_versions(mesh)
        return all(now[node] != version for node, version in before.items()) and await mesh.are_synced()

    await mesh.wait_for("the changed route", has_arrived, _TIMEOUT)
    truth.slowest_change = max(truth.slowest_change, time.monotonic() - started_at)


async def _route_versions(mesh: DemoMesh) -> dict[str, str]:
    """What each sidecar was sent last."""
    found = {}
    for node in await sync_states(mesh.client):
        types = node["types"]
        assert isinstance(types, dict)
        found[str(node["nodeId"])] = str(types["rds"]["ackedVersion"])
    return found
