"""The pages: what each answers from its source, which need POST, what the other two servers show."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from meshproxy.admin.http_server import HttpRequest, HttpResponse, HttpServer
from meshproxy.admin.server import (
    LOG_LEVELS,
    AdminSources,
    admin_server,
    prometheus_server,
    readiness_server,
    status_server,
)
from meshproxy.config.model import Endpoint
from meshproxy.local_app.metrics import AppMetrics, MetricsPlace


@dataclass
class _Sidecar:
    """A sidecar's state as the pages see it."""

    reasons: list[str] = field(default_factory=list)
    level: str = "info"
    drained: int = 0
    goes_on: bool = False

    def sources(self) -> AdminSources:
        return AdminSources(
            not_ready=lambda: self.reasons,
            config_dump=lambda: {"endpoints": {"c": (Endpoint("10.0.0.1", 80),)}},
            clusters=lambda: [{"name": "c"}],
            listeners=lambda: [{"name": "virtualInbound"}],
            certs=lambda: {"spiffe_id": "spiffe://cluster.local/ns/a/sa/b"},
            server_info=lambda: {"version": "1"},
            metrics=lambda: iter(["a 1\n", "b 2\n"]),
            stats=lambda: iter(["a: 1\n"]),
            set_log_level=lambda level: setattr(self, "level", level),
            drain=self._drain,
        )

    def _drain(self, goes_on: bool) -> None:
        self.drained += 1
        self.goes_on = goes_on


def _ask(server: HttpServer, path: str, method: str = "GET", **query: str) -> HttpResponse:
    return server.respond(HttpRequest(method, path, query), "localhost", "")


def _text(response: HttpResponse) -> str:
    return response.body if isinstance(response.body, str) else "".join(response.body)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/clusters", [{"name": "c"}]),
        ("/listeners", [{"name": "virtualInbound"}]),
        ("/certs", {"spiffe_id": "spiffe://cluster.local/ns/a/sa/b"}),
        ("/server_info", {"version": "1"}),
    ],
)
def test_structured_pages_are_json(path: str, expected: object) -> None:
    response = _ask(admin_server(_Sidecar().sources()), path)
    assert response.content_type == "application/json"
    assert json.loads(_text(response)) == expected


def test_the_config_dump_shows_configuration_objects() -> None:
    dump = json.loads(_text(_ask(admin_server(_Sidecar().sources()), "/config_dump")))
    assert dump["endpoints"]["c"][0]["port"] == 80


def test_stats_and_metrics() -> None:
    server = admin_server(_Sidecar().sources())
    assert _text(_ask(server, "/stats")) == "a: 1\n"
    response = _ask(server, "/stats/prometheus")
    assert (_text(response), response.content_type) == (
        "a 1\nb 2\n",
        "text/plain; version=0.0.4; charset=utf-8",
    )


@pytest.mark.parametrize("path", ["/stats/prometheus", "/metrics"])
def test_the_prometheus_server_shows_metrics_under_both_names_whatever_the_host(path: str) -> None:
    server = prometheus_server(_Sidecar().sources())
    assert _text(server.respond(HttpRequest("GET", path, {}), "10.244.0.7:15090", "")) == "a 1\nb 2\n"


def test_ready_and_not_ready_with_the_reasons() -> None:
    sidecar = _Sidecar()
    for server, path in [
        (admin_server(sidecar.sources()), "/ready"),
        (readiness_server(sidecar.sources()), "/healthz/ready"),
    ]:
        sidecar.reasons = []
        assert _ask(server, path) == HttpResponse("LIVE\n", 200)
        sidecar.reasons = ["no certificate yet", "no listener yet"]
        assert _ask(server, path) == HttpResponse("no certificate yet\nno listener yet\n", 503)


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_the_log_level_is_set_by_post(level: str) -> None:
    sidecar = _Sidecar()
    assert (
        _text(_ask(admin_server(sidecar.sources()), "/logging", "POST", level=level)) == f"level: {level}\n"
    )
    assert sidecar.level == level


@pytest.mark.parametrize("query", [{}, {"level": "loud"}])
def test_an_unknown_log_level_is_refused_with_the_known_ones(query: dict[str, str]) -> None:
    sidecar = _Sidecar()
    response = _ask(admin_server(sidecar.sources()), "/logging", "POST", **query)
    assert response.status == 400
    assert "debug, info, warning, error, critical" in _text(response)
    assert sidecar.level == "info"


def test_drain_starts_by_post_only() -> None:
    sidecar = _Sidecar()
    server = admin_server(sidecar.sources())
    assert _ask(server, "/drain").status == 405
    assert sidecar.drained == 0
    assert _text(_ask(server, "/drain", "POST")) == "draining\n"
    assert (sidecar.drained, sidecar.goes_on) == (1, False)
    _ask(server, "/drain", "POST", skip_exit="true")
    assert (sidecar.drained, sidecar.goes_on) == (2, True)


def test_what_changes_something_needs_post() -> None:
    server = admin_server(_Sidecar().sources())
    assert {path for path, route in server.routes.items() if route.method == "POST"} == {"/logging", "/drain"}


def test_the_index_lists_every_page() -> None:
    server = admin_server(_Sidecar().sources())
    index = _text(_ask(server, "/"))
    assert {line.split()[1] for line in index.splitlines()} == set(server.routes) - {"/"}


def test_admin_answers_loopback_names_only() -> None:
    server = admin_server(_Sidecar().sources())
    assert server.respond(HttpRequest("GET", "/config_dump", {}), "rebound.example", "").status == 403


async def test_a_dump_over_the_wire() -> None:
    server = admin_server(_Sidecar().sources())
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /clusters HTTP/1.0\r\nhost: localhost\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await server.close()
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == [{"name": "c"}]


async def test_one_scrape_has_our_metrics_and_the_apps() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nc 3\n")
        writer.close()

    app = await asyncio.start_server(serve, "127.0.0.1", 0)
    server = status_server(
        _Sidecar().sources(), {}, AppMetrics("127.0.0.1", MetricsPlace(app.sockets[0].getsockname()[1]))
    )
    port = await server.start("127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stats/prometheus HTTP/1.0\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
    finally:
        await server.close()
        app.close()
        await app.wait_closed()
    assert "a 1\nb 2\n# HELP meshproxy_app_scrape_up " in text.replace("\r\n", "\n")
    assert text.endswith("meshproxy_app_scrape_up 1\nc 3\n")
