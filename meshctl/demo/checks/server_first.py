"""A TCP service that speaks first works through mTLS, half-close included."""

from meshctl.demo.conversation import conversation
from meshctl.demo.finding import Evidence, Finding
from meshctl.demo.mesh import DemoMesh

_TEXT = "are you there?"


async def check(mesh: DemoMesh) -> list[Finding]:
    """The banner comes before anything was sent; what is sent comes back; the last line follows our FIN."""
    evidence = Evidence("the server-first TCP service answers through mTLS")
    before = (await mesh.samples("greeter")).total("istio_tcp_connections_opened_total")
    async with conversation(mesh, "load") as talk:
        banner = await talk.line()
        evidence.expect(banner.startswith("hello from greeter"), f"it said first: {banner!r}")
        echo = await talk.say(_TEXT)
        evidence.expect(echo == _TEXT, f"echo: {echo!r}")
        last = await talk.half_close()
        evidence.expect(last == f"goodbye, {len(_TEXT) + 1} bytes", f"after our FIN: {last!r}")
    samples = await mesh.samples("greeter")
    opened = samples.grouped(
        "istio_tcp_connections_opened_total",
        "source_principal",
        "connection_security_policy",
        reporter="destination",
    )
    secured = all(security == "mutual_tls" for _, security in opened)
    callers = ", ".join(sorted(f"{caller} over {security}" for caller, security in opened))
    evidence.expect(opened.total() > before and secured, f"greeter's sidecar: opened by {callers}")
    return [evidence.finding()]
