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
"""Requests a second."""
_FIRST_PHASE = 5200
"""Requests at 90/10: at least 5,000 are counted."""
_SECOND_PHASE = 8200
"""Requests at 50/50: so many that chance alone moves the share by 2 points once in 3,000 runs."""
_COUNTED = 5000
_TOLERANCE = 2.0
"""Percentage points."""
_SETTLE = 0.5
"""Seconds after a PUT that are not counted; the effect itself is measured."""
_EXPECTED = (200, 404)
_KINDS = (*["GET http://catalog:8080/products"] * 9, "GET http://catalog:8080/products/none")
"""Every tenth request asks for what is not there, so that there is more than one status."""


async def check(mesh: DemoMesh) -> list[Finding]:
    """All to v1, then 90/10, then 50/50, under one load."""
    await mesh.put_route({"v1": 100, "v2": 0})
    await mesh.wait_for("the first route", mesh.are_synced, 10.0)
    before = await _counters(mesh)
    async with mesh.load("load", *_KINDS, rate=RATE, duration=120.0) as load:
        await asyncio.sleep(_SETTLE)
        first = await mesh.put_route({"v1": 90, "v2": 10})
        await asyncio.sleep(_SETTLE + _FIRST_PHASE / RATE)
        second = await mesh.put_route({"v1": 50, "v2": 50})
        await asyncio.sleep(_SETTLE + _SECOND_PHASE / RATE)
        ended = time.monotonic()
        ledger = await load.stop()
    split = _split(ledger, first, second, ended)
    return [split, await _compared(mesh, before, ledger)]


def _split(ledger: Ledger, first: float, second: float, ended: float) -> Finding:
    evidence = Evidence("an HTTPRoute 90/10, then 50/50, put through REST under load")
    early = [record for record in ledger.records if record.version == "v2" and record.answered_at < first]
    evidence.expect(not early, f"v2 before the first PUT: {len(early)} answers")
    effects = [r.answered_at for r in ledger.records if r.version == "v2" and r.answered_at >= first]
    if effects:
        evidence.note(f"from PUT to the first answer of v2: {(min(effects) - first) * 1000:.0f} ms")
    _phase(evidence, ledger.between(first + _SETTLE, second), 10.0)
    _phase(evidence, ledger.between(second + _SETTLE, ended), 50.0)
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
