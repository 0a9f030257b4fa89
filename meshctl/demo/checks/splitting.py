"""An HTTPRoute changed through REST under load splits traffic as it says, without a failed request; the
sidecars' counters equal the load generator's ledger.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Collection

from meshctl.demo.finding import Evidence, Finding
from meshctl.demo.ledger import Ledger, Record, describe_failures, failures, share
from meshctl.demo.mesh import CATALOG_PODS, DemoMesh

RATE = 900.0
"""Requests a second; a machine that cannot do as many takes longer."""
_FIRST_PHASE = 5200
"""Requests at 90/10: at least 5,000 are counted."""
_SECOND_PHASE = 8200
"""Requests at 50/50: so many that chance alone moves the share by 2 points once in 3,000 runs."""
_COUNTED = 5000
_TOLERANCE = 2.0
"""Percentage points."""
_BEFORE = 0.5
"""Seconds of load before the first PUT."""
_TIMEOUT = 120.0
_EXPECTED = (200, 404)
_KINDS = (*["GET http://catalog:8080/products"] * 9, "GET http://catalog:8080/products/none")
"""Every tenth request asks for what is not there, so that there is more than one status."""


async def check(mesh: DemoMesh) -> list[Finding]:
    """All to v1, then 90/10, then 50/50, under one load."""
    await mesh.put_route({"v1": 100, "v2": 0})
    await mesh.wait_for("the first route", mesh.are_synced, _TIMEOUT)
    before = await _counters(mesh)
    async with mesh.load("load", *_KINDS, rate=RATE) as load:
        begun = time.monotonic()
        await asyncio.sleep(_BEFORE)
        first = await mesh.change_route({"v1": 90, "v2": 10})
        await _until_answered(mesh, before[0].total(), begun, _FIRST_PHASE)
        second = await mesh.change_route({"v1": 50, "v2": 50})
        await _until_answered(mesh, before[0].total(), begun, _SECOND_PHASE)
        ledger = await load.stop()
    split = _split(ledger, first, second)
    return [split, await _compared(mesh, before, ledger)]


async def _until_answered(mesh: DemoMesh, before: int, begun: float, count: int) -> None:
    """So many of the requests that are due from now on, and those before them where the machine is behind."""
    due = int((time.monotonic() - begun + 1.0) * RATE)
    await asyncio.sleep(count / RATE)

    async def are_answered() -> bool:
        called, _ = await _counters(mesh)
        return called.total() - before >= due + count

    await mesh.wait_for(f"{count} answers", are_answered, _TIMEOUT)


def _split(ledger: Ledger, first: tuple[float, float], second: tuple[float, float]) -> Finding:
    """`first` and `second`: when each PUT was sent, and when it was in force."""
    evidence = Evidence("an HTTPRoute 90/10, then 50/50, put through REST under load")
    early = [r for r in ledger.records if r.version == "v2" and r.answered_at < first[0]]
    evidence.expect(not early, f"v2 before the first PUT: {len(early)} answers")
    effects = [r.answered_at for r in ledger.records if r.version == "v2" and r.answered_at >= first[0]]
    if effects:
        evidence.note(f"from PUT to the first answer of v2: {(min(effects) - first[0]) * 1000:.0f} ms")
    # One that was late was sent later than it was due: what counts is that it was answered before.
    _phase(evidence, [r for r in ledger.between(first[1], second[0]) if r.answered_at < second[0]], 10.0)
    _phase(evidence, ledger.between(second[1]), 50.0)
    failed = failures(ledger.records, _EXPECTED)
    evidence.expect(
        not failed, f"{len(ledger.records)} requests across both changes, {describe_failures(failed)}"
    )
    return evidence.finding()


def _phase(evidence: Evidence, records: Collection[Record], wanted: float) -> None:
    measured = share(records, "v2")
    evidence.expect(
        abs(measured - wanted) <= _TOLERANCE and len(records) >= _COUNTED,
        f"share of v2 with {100 - wanted:.0f}/{wanted:.0f}: {measured:.2f} % of {len(records)} requests",
    )


async def _counters(mesh: DemoMesh) -> tuple[Counter[tuple[str, ...]], Counter[tuple[str, ...]]]:
    """By status and destination version: what load's sidecar counted, and what those of catalog counted."""
    labels = ("response_code", "destination_version")
    called = (await mesh.samples("load")).grouped(
        "istio_requests_total", *labels, reporter="source", destination_app="catalog"
    )
    served: Counter[tuple[str, ...]] = Counter()
    for pod in CATALOG_PODS:
        samples = await mesh.samples(pod)
        served += samples.grouped(
            "istio_requests_total", *labels, reporter="destination", source_workload="load"
        )
    return called, served


async def _compared(
    mesh: DemoMesh, before: tuple[Counter[tuple[str, ...]], Counter[tuple[str, ...]]], ledger: Ledger
) -> Finding:
    evidence = Evidence("the sidecars' counters equal the load generator's ledger, by status and version")
    after = await _counters(mesh)
    expected = ledger.by_status_and_version()
    for name, old, new in zip(("source", "destination"), before, after, strict=True):
        counted = new - old
        evidence.expect(counted == expected, f"reporter={name}: {_told(counted)}")
    evidence.note(f"ledger: {_told(expected)}")
    return evidence.finding()


def _told(counts: Counter[tuple[str, ...]]) -> str:
    return ", ".join(f"{status} {version or '-'}: {n}" for (status, version), n in sorted(counts.items()))
