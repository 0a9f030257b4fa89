"""Certificates of a few seconds' life are replaced under load; nobody notices, old connections stay."""

import asyncio
import time

from meshctl.demo.conversation import conversation
from meshctl.demo.finding import Evidence, Finding
from meshctl.demo.ledger import describe_failures, failures
from meshctl.demo.mesh import MESHED, DemoMesh

_ROTATIONS = 3
_RATE = 50.0
_TIMEOUT = 120.0
_METRIC = "meshproxy_certificate_renewals_total"


async def check(mesh: DemoMesh, leaf_ttl: float) -> list[Finding]:
    """Until every sidecar has had three new certificates; `leaf_ttl` is how long one lives, in seconds."""
    evidence = Evidence(f"certificates that live {leaf_ttl:g} s rotate under load, old connections go on")
    started_at = time.monotonic()
    before = await _renewals(mesh)
    async with (
        conversation(mesh, "load") as talk,
        mesh.load(
            "load", "GET http://inventory:8080/stock/1", rate=_RATE, connections=2, duration=300.0
        ) as load,
    ):
        await talk.line()
        first = await talk.say("before")

        async def rotated() -> bool:
            now = await _renewals(mesh)
            return all(now[pod] - before[pod] >= _ROTATIONS for pod in MESHED)

        await mesh.wait_for(f"{_ROTATIONS} rotations everywhere", rotated, _TIMEOUT)
        await asyncio.sleep(1 / _RATE)
        last = await talk.say("after")
        age = time.monotonic() - talk.opened_at
        ledger = await load.stop()
    after = await _renewals(mesh)
    counts = [f"{pod} {after[pod] - before[pod]}" for pod in MESHED]
    evidence.note(f"new certificates in {time.monotonic() - started_at:.1f} s: {', '.join(counts)}")
    failed = failures(ledger.records)
    evidence.expect(
        not failed and bool(ledger.records), f"{len(ledger.records)} requests, {describe_failures(failed)}"
    )
    alive = (first, last) == ("before", "after") and age > leaf_ttl
    evidence.expect(alive, f"a TCP connection opened {age:.1f} s ago still answers")
    return [evidence.finding()]


async def _renewals(mesh: DemoMesh) -> dict[str, int]:
    return {pod: int((await mesh.samples(pod)).total(_METRIC)) for pod in MESHED}
