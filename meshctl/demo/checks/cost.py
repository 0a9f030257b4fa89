"""What the sidecars cost: memory of each, and the latency they add at a modest rate."""

from meshctl.demo.finding import Evidence, Finding
from meshctl.demo.ledger import Ledger, describe_failures, failures, percentile
from meshctl.demo.mesh import MESHED, DemoMesh

_RATE = 200.0
_WARM_UP = 100
"""First requests that are not measured: they resolve names and open connections."""
_REQUESTS = 700
_SIDECARS = 2
"""On the way from load to catalog."""


async def check(mesh: DemoMesh) -> list[Finding]:
    """The same program, called from a pod without sidecars, and between two pods with one each."""
    return [await _memory(mesh), await _latency(mesh)]


async def _memory(mesh: DemoMesh) -> Finding:
    evidence = Evidence("memory of each sidecar")
    sizes = {pod: (await mesh.samples(pod)).total("meshproxy_resident_memory_bytes") / 1e6 for pod in MESHED}
    evidence.expect(all(sizes.values()), ", ".join(f"{pod} {size:.0f} MB" for pod, size in sizes.items()))
    return evidence.finding()


async def _latency(mesh: DemoMesh) -> Finding:
    evidence = Evidence(f"latency that the mesh adds at {_RATE:g} requests/s, from the intended send time")
    path = ":8080/products"
    direct = await mesh.run_load("outsider", f"GET http://legacy{path}", rate=_RATE, limit=_REQUESTS)
    meshed = await mesh.run_load("load", f"GET http://catalog{path}", rate=_RATE, limit=_REQUESTS)
    _told(evidence, "without sidecars", direct)
    _told(evidence, f"through {_SIDECARS} sidecars with mTLS", meshed)
    added = [_latency_at(meshed, p) - _latency_at(direct, p) for p in (0.5, 0.99)]
    evidence.note(
        f"added by each sidecar: p50 {added[0] / _SIDECARS:.2f} ms, p99 {added[1] / _SIDECARS:.2f} ms"
    )
    return evidence.finding()


def _told(evidence: Evidence, how: str, ledger: Ledger) -> None:
    failed = failures(ledger.records)
    p50, p99 = _latency_at(ledger, 0.5), _latency_at(ledger, 0.99)
    evidence.expect(
        not failed,
        f"{how}: p50 {p50:.2f} ms, p99 {p99:.2f} ms "
        f"({len(ledger.records)} requests, {describe_failures(failed)})",
    )


def _latency_at(ledger: Ledger, fraction: float) -> float:
    return percentile(ledger.records[_WARM_UP:], fraction)
