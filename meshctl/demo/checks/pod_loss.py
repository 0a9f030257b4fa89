"""`kill -9` of every process of a pod: idempotent requests go elsewhere, and no order is processed twice."""

import asyncio
import json
import time
from collections import Counter

from control_plane.resources.pod import Pod
from lab import netns
from meshctl.demo.finding import Evidence, Finding
from meshctl.demo.ledger import Ledger, describe_failures, failures
from meshctl.demo.mesh import CATALOG_PODS, SHOP, DemoError, DemoMesh
from meshctl.sidecar_admin import network_of

_CONNECTIONS = 8
"""Each sends as soon as it was answered, so that requests are under way at the moment of the kill."""
_VICTIM = "catalog-v1"
_BEFORE, _AFTER = 1.5, 1.0
_TIMEOUT = 90.0
_KINDS = (
    "GET http://catalog:8080/products",
    "GET http://catalog:8080/products/1",
    "GET http://catalog:8080/products/2",
    "POST http://catalog:8080/orders",
)
_POST = 3


async def check(mesh: DemoMesh) -> list[Finding]:
    """Of two pods of Service catalog, one dies and comes back, under GETs and POSTs."""
    evidence = Evidence("kill -9 of every process of a catalog pod: no failed GET, no POST processed twice")
    await mesh.delete_route()
    await mesh.wait_for("the Service without its route", mesh.are_synced, _TIMEOUT)
    retried = await _retries(mesh)
    async with mesh.load("load", *_KINDS, rate=0.0, connections=_CONNECTIONS) as load:
        await asyncio.sleep(_BEFORE)
        killed_at = time.monotonic()
        count = await asyncio.to_thread(_kill, mesh)
        await mesh.wait_for("the pod's failure", lambda: _is_ready(mesh, False), _TIMEOUT)
        await mesh.wait_for("the pod's return", lambda: _is_ready(mesh, True), _TIMEOUT)
        back_after = time.monotonic() - killed_at
        await asyncio.sleep(_AFTER)
        ledger = await load.stop()
    evidence.note(f"{count} processes of {_VICTIM} killed, ready again after {back_after:.1f} s")
    evidence.note(f"attempts made again by load's sidecar: {await _retries(mesh) - retried:.0f}")
    gets = [record for record in ledger.records if record.request != _POST]
    failed = failures(gets)
    evidence.expect(not failed, f"{len(gets)} GETs, {describe_failures(failed)}")
    late = {record.version for record in ledger.between(killed_at + back_after)}
    evidence.expect(late == {"v1", "v2"}, f"versions answering at the end: {', '.join(sorted(late))}")
    await _orders(mesh, evidence, ledger)
    return [evidence.finding()]


async def _orders(mesh: DemoMesh, evidence: Evidence, ledger: Ledger) -> None:
    posts = ledger.of_kind(_POST)
    answered = [ledger.order_id(record) for record in posts if record.status == 201]
    evidence.note(f"{len(posts)} POSTs, {describe_failures(failures(posts))}: they are not repeated")
    for where, pods in (("catalog", CATALOG_PODS), ("inventory", ("inventory",))):
        processed: Counter[str] = Counter()
        for pod in pods:
            processed.update(json.loads(await mesh.page(pod, "/ledger", 8080)))
        own = {order: n for order, n in processed.items() if order.startswith(f"{ledger.run}-")}
        twice = [order for order, n in own.items() if n > 1]
        evidence.expect(not twice, f"ledger of {where}: {len(own)} orders, {len(twice)} processed twice")
        missing = [order for order in answered if order not in own]
        evidence.expect(not missing, f"answered with 201 and missing from {where}: {len(missing)}")


async def _retries(mesh: DemoMesh) -> float:
    return (await mesh.samples("load")).total("meshproxy_upstream_retries_total")


def _kill(mesh: DemoMesh) -> int:
    """At once, the sidecar and the first process of the pod included; how many there were."""
    namespace = netns.identity(network_of(mesh.pod(_VICTIM)))
    if namespace is None:
        raise DemoError(f"the network namespace of {_VICTIM} is not there")
    count = len(netns.processes_in({namespace}))
    netns.kill_processes({namespace})
    return count


async def _is_ready(mesh: DemoMesh, wanted: bool) -> bool:
    listing = await mesh.client.list("Pod", SHOP, "app=catalog,version=v1")
    return all(Pod.read(item).status.is_ready == wanted for item in listing.items)
