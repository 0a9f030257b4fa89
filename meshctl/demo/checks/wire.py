"""Between meshed pods everything is TLS, the apps speak plain HTTP, and both sides prove who they are."""

import asyncio
import secrets

from control_plane.resources.node import Node
from meshctl.demo.capture import Capture
from meshctl.demo.finding import Evidence, Finding
from meshctl.demo.ledger import describe_failures, failures
from meshctl.demo.mesh import DemoMesh

_REQUESTS = 40
_REPEATS = 8
"""Of the marker in one body, so that the end of a packet cannot hide it."""
_CALLS = (("load", "web"), ("web", "catalog-v1"), ("web", "catalog-v2"), ("catalog-v1", "inventory"))


async def check(mesh: DemoMesh) -> list[Finding]:
    """Capture on the node while orders pass web, catalog and inventory, and one request goes out in plain."""
    marker, control = f"secret-{secrets.token_hex(8)}", f"control-{secrets.token_hex(8)}"
    capture = Capture(mesh.paths.root / "netns" / "node", [marker, control])
    await asyncio.to_thread(capture.start)
    try:
        note = " ".join([marker] * _REPEATS)
        kinds = ("POST http://web:8080/orders", "GET http://web:8080/")
        ledger = await mesh.run_load("load", *kinds, rate=80, limit=_REQUESTS, note=note)
        plain = f"GET http://legacy.outside:8080/products/{control}"
        outside = await mesh.run_load("load", plain, rate=20, limit=2)
    finally:
        captured = await asyncio.to_thread(capture.stop)
    wire = Evidence("every request between meshed pods travels as TLS")
    failed = failures(ledger.records)
    wire.expect(
        not failed,
        f"{len(ledger.records)} requests load → web → catalog → inventory, {describe_failures(failed)}",
    )
    wire.expect(
        captured.packets > 0 and captured.dropped == 0,
        f"{captured.packets} packets on {captured.interfaces} interfaces of the node, promiscuous, "
        f"{captured.dropped} lost",
    )
    wire.expect(captured.found[marker] == 0, f"packets with the bodies' marker: {captured.found[marker]}")
    seen = captured.found[control]
    wire.expect(
        seen > 0 and not failures(outside.records, (404,)),
        f"packets with the marker of the plaintext control (load → legacy, outside the mesh): {seen}",
    )
    # The kubelet asks sidecars, in plaintext, how pods are; no pod's traffic has a node's address.
    outsiders = {mesh.pod("legacy").ip, *await _node_addresses(mesh)}
    stray = [pair for pair in captured.plain_http if not outsiders.intersection(pair)]
    wire.expect(
        not stray, f"segments of plaintext HTTP that are neither legacy's nor the node's: {len(stray)}"
    )
    wire.expect(captured.tls_segments > 0, f"segments that begin with a TLS record: {captured.tls_segments}")
    if captured.server_names:
        wire.note("handshakes for " + ", ".join(sorted(captured.server_names)))
    return [wire.finding(), await _identities(mesh)]


async def _node_addresses(mesh: DemoMesh) -> set[str]:
    nodes = [Node.read(item) for item in (await mesh.client.list("Node")).items]
    return {address.address for node in nodes for address in node.status.addresses}


async def _identities(mesh: DemoMesh) -> Finding:
    evidence = Evidence(
        "the app calls http://catalog:8080/ in plain HTTP; both sidecars prove their identity"
    )
    for source, destination in _CALLS:
        samples = await mesh.samples(destination)
        principals = samples.grouped(
            "istio_requests_total",
            "source_principal",
            "destination_principal",
            "connection_security_policy",
            reporter="destination",
            source_workload=source,
        )
        for (caller, called, security), count in principals.items():
            proved = caller.startswith("spiffe://") and called.startswith("spiffe://")
            evidence.expect(
                proved and security == "mutual_tls", f"{caller} → {called}: {count} requests over {security}"
            )
        if not principals:
            evidence.expect(False, f"{destination} counted no requests of {source}")
    return evidence.finding()
