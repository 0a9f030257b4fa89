"""Port 15020: the app's probes and the metrics, on a real loopback socket."""

import asyncio

from meshproxy.admin.app_health import app_health_routes
from meshproxy.admin.http_server import HttpServer
from meshproxy.local_app.probe import AppProbe, TcpProbe
from meshproxy.local_app.prober import ProbeOutcome

LIVE, READY = "/app-health/app/livez", "/app-health/app/readyz"


async def ask(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: 10.244.0.7:15020\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


async def test_each_path_asks_its_own_probe_and_answers_with_its_status() -> None:
    probes = {LIVE: AppProbe(TcpProbe(1), 1.0), READY: AppProbe(TcpProbe(2), 1.0)}
    outcomes = {1: ProbeOutcome(200), 2: ProbeOutcome(503, "connection refused")}
    asked = []

    async def prober(probe: AppProbe) -> ProbeOutcome:
        assert isinstance(probe.action, TcpProbe)
        asked.append(probe.action.port)
        await asyncio.sleep(0)
        return outcomes[probe.action.port]

    server = HttpServer(app_health_routes(probes, prober))
    port = await server.start("127.0.0.1", 0)
    try:
        assert await asyncio.gather(*[ask(port, path) for path in (LIVE, READY)]) == [
            (200, ""),
            (503, "connection refused\n"),
        ]
        outcomes[1] = ProbeOutcome(204)
        assert await ask(port, LIVE) == (200, "")
        outcomes[1] = ProbeOutcome(302)
        assert (await ask(port, LIVE))[0] == 302
        assert (await ask(port, "/app-health/other/livez"))[0] == 404
        assert (await ask(port, LIVE, "DELETE"))[0] == 405
    finally:
        await server.close()
    assert set(asked) == {1, 2}
