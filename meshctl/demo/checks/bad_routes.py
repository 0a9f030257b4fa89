"""A bad HTTPRoute is refused, or accepted with a condition that says why; traffic does not notice."""

import asyncio
from collections.abc import Mapping

from control_plane.client import ApiError
from control_plane.resources.manifest import Manifest, section
from meshctl.demo.finding import Evidence, Finding
from meshctl.demo.ledger import describe_failures, failures
from meshctl.demo.mesh import SHOP, DemoMesh, catalog_route
from meshctl.json_value import objects, text

_PREVIEW = "preview"
_STRAY = "stray"
_TIMEOUT = 60.0
_RATE = 100.0
_AFTER = 1.0
"""Seconds for which traffic is watched after the last change."""
_REFUSED: tuple[tuple[str, Mapping[str, object], str], ...] = (
    ("unknown field", {"name": "catalog-v1", "port": 8080, "wieght": 10}, "wieght"),
    ("negative weight", {"name": "catalog-v1", "port": 8080, "weight": -1}, "weight"),
)
"""What is wrong, a backendRef, and what the message must name."""


async def check(mesh: DemoMesh) -> list[Finding]:
    """Under load on web, which calls catalog."""
    evidence = Evidence("a bad HTTPRoute is refused or says why, and never disturbs traffic")
    async with mesh.load("load", "GET http://web:8080/", rate=_RATE) as load:
        for what, backend, named in _REFUSED:
            await _refused(mesh, evidence, what, backend, named)
        try:
            await _missing_backend(mesh, evidence)
            await _missing_parent(mesh, evidence)
        finally:
            await mesh.delete_route(_PREVIEW)
            await mesh.delete_route(_STRAY)
        await asyncio.sleep(_AFTER)
        ledger = await load.stop()
    failed = failures(ledger.records)
    evidence.expect(not failed, f"{len(ledger.records)} requests meanwhile, {describe_failures(failed)}")
    return [evidence.finding()]


async def _refused(
    mesh: DemoMesh, evidence: Evidence, what: str, backend: Mapping[str, object], named: str
) -> None:
    try:
        await mesh.client.apply(catalog_route(_PREVIEW, [{"backendRefs": [backend]}]))
    except ApiError as error:
        evidence.expect(error.status == 422 and named in str(error), f"{what}: {error.status} {error}")
    else:
        evidence.expect(False, f"{what}: accepted")


async def _missing_backend(mesh: DemoMesh, evidence: Evidence) -> None:
    matches = [{"path": {"type": "PathPrefix", "value": "/preview"}}]
    rule = {"matches": matches, "backendRefs": [{"name": "catalog-v9", "port": 8080}]}
    await mesh.client.apply(catalog_route(_PREVIEW, [rule]))
    condition = await _condition(mesh, _PREVIEW, "ResolvedRefs")
    evidence.expect(condition.startswith("False BackendNotFound"), f"missing backend: {condition}")

    async def answers_500() -> bool:
        ledger = await mesh.run_load("web", "GET http://catalog:8080/preview", rate=20, limit=1)
        return ledger.records[0].status == 500

    await mesh.wait_for("status 500 for the share of a missing backend", answers_500, _TIMEOUT)
    evidence.note("only its own path answers 500")


async def _missing_parent(mesh: DemoMesh, evidence: Evidence) -> None:
    rule = {"backendRefs": [{"name": "catalog-v1", "port": 8080}]}
    await mesh.client.apply(catalog_route(_STRAY, [rule], parent="nowhere"))
    condition = await _condition(mesh, _STRAY, "Accepted")
    evidence.expect(condition.startswith("False NoMatchingParent"), f"missing parent: {condition}")


async def _condition(mesh: DemoMesh, name: str, kind: str) -> str:
    """`<status> <reason>: <message>` once it is there."""
    found = ""

    async def is_there() -> bool:
        nonlocal found
        found = _condition_of(await mesh.client.get("HTTPRoute", name, SHOP), kind)
        return bool(found)

    await mesh.wait_for(f"condition {kind} of HTTPRoute {name}", is_there, _TIMEOUT)
    return found


def _condition_of(route: Manifest, kind: str) -> str:
    for parent in objects(section(route, "status").get("parents")):
        for condition in objects(parent.get("conditions")):
            if condition.get("type") == kind:
                status, reason = text(condition, "status"), text(condition, "reason")
                return f"{status} {reason}: {text(condition, 'message')}"
    return ""
