"""A client without a sidecar gets nowhere in a STRICT mesh, and the refusal is counted with its reason."""

from collections import Counter

from meshctl.demo.finding import Evidence, Finding
from meshctl.demo.ledger import failures
from meshctl.demo.mesh import CATALOG_PODS, DemoMesh

_CLIENT = "outsider"


async def check(mesh: DemoMesh) -> list[Finding]:
    """By Service name, by pod address, and, as control, a server outside the mesh."""
    evidence = Evidence("a client without a sidecar is refused by STRICT, and the reason is counted")
    before = await _refused(mesh)
    address = mesh.pod("catalog-v1").ip
    for how, host in (("by name", "catalog.shop"), ("by pod address", address)):
        ledger = await mesh.run_load(_CLIENT, f"GET http://{host}:8080/products", rate=10, limit=1)
        record = ledger.records[0]
        evidence.expect(record.status == 0, f"{how}, {host}: {record.failure or f'status {record.status}'}")
    control = await mesh.run_load(_CLIENT, "GET http://legacy:8080/products", rate=10, limit=1)
    evidence.expect(not failures(control.records), "the same client reaches legacy, outside the mesh")
    counted = await _refused(mesh) - before
    told = ", ".join(f'{{listener="{name}",reason="{why}"}} +{n}' for (name, why), n in counted.items())
    evidence.expect(counted.total() == 2, f"meshproxy_connections_refused_total {told or 'unchanged'}")
    return [evidence.finding()]


async def _refused(mesh: DemoMesh) -> Counter[tuple[str, ...]]:
    total: Counter[tuple[str, ...]] = Counter()
    for pod in CATALOG_PODS:
        samples = await mesh.samples(pod)
        total += samples.grouped("meshproxy_connections_refused_total", "listener", "reason")
    return total
