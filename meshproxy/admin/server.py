"""The pages of the sidecar: which exist, what they need, what they answer. Their content comes from
callables.

Four servers share them: admin (15000, loopback only), the app's (15020), readiness (15021) and Prometheus
(15090). Paths and meanings follow Envoy's admin interface; structured pages are JSON. What changes something
needs POST.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from meshproxy.admin.http_server import (
    LOOPBACK_HOSTS,
    Handler,
    HttpRequest,
    HttpResponse,
    HttpRoute,
    HttpServer,
)
from meshproxy.admin.json_text import json_slices
from meshproxy.local_app.metrics import AppMetrics, text_slices
from meshproxy.telemetry.exposition import CONTENT_TYPE

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

Prepare = Callable[[], Awaitable[None]]
Document = Callable[[], Mapping[str, object] | Sequence[object]]
"""Gives what `json_text` can write: dataclasses, mappings, sequences, enums. Secrets are never in it."""


@dataclass(frozen=True, slots=True)
class AdminSources:
    """Where the pages' content comes from; each is called anew for every request."""

    not_ready: Callable[[], Sequence[str]]
    """Why the sidecar is not ready, one reason an entry; empty when it is."""
    config_dump: Document
    clusters: Document
    listeners: Document
    certs: Document
    server_info: Document
    metrics: Callable[[], Iterator[str]]
    """Prometheus text in slices: `MeshMetrics.exposition`."""
    stats: Callable[[], Iterator[str]]
    """`name: value` lines in slices: `MeshMetrics.stats`."""
    set_log_level: Callable[[str], None]
    """Given one of `LOG_LEVELS`."""
    drain: Callable[[bool], None]
    """Start to drain: finish exchanges, close idle connections; returns at once. Given whether to go on
    afterwards, for who is about to be stopped."""
    refresh_metrics: Prepare | None = None
    """Awaited before `metrics` and `stats`: brings in what worker processes counted. None: there are none."""
    refresh_pages: Prepare | None = None
    """Awaited before `clusters` and `listeners`, likewise."""


def admin_server(sources: AdminSources) -> HttpServer:
    """Every page, for the loopback address."""
    return HttpServer(admin_routes(sources), allowed_hosts=LOOPBACK_HOSTS)


def readiness_server(sources: AdminSources) -> HttpServer:
    """`/healthz/ready`, for the kubelet's probe."""
    return HttpServer({"/healthz/ready": HttpRoute(_ready(sources.not_ready))})


def prometheus_server(sources: AdminSources) -> HttpServer:
    """`/stats/prometheus` and `/metrics`."""
    route = HttpRoute(_metrics(sources.metrics), prepare=sources.refresh_metrics)
    return HttpServer({"/stats/prometheus": route, "/metrics": route})


def status_server(
    sources: AdminSources, app_health: Mapping[str, HttpRoute], app_metrics: AppMetrics | None = None
) -> HttpServer:
    """The app's probes, and our metrics with the app's behind them, for whoever may not reach the app past
    the mesh."""

    async def prepare() -> Handler | None:
        if sources.refresh_metrics is not None:
            await sources.refresh_metrics()
        if app_metrics is None:
            return None
        text = await app_metrics.scrape()
        return _metrics(lambda: chain(sources.metrics(), text_slices(text)))

    route = HttpRoute(_metrics(sources.metrics), prepare=prepare)
    return HttpServer({"/stats/prometheus": route, "/metrics": route, **app_health})


def admin_routes(sources: AdminSources) -> dict[str, HttpRoute]:
    """The admin pages with their index."""
    routes = {
        "/ready": HttpRoute(_ready(sources.not_ready), help="200 when ready, else 503 and why not"),
        "/config_dump": HttpRoute(_json(sources.config_dump), help="configuration in force"),
        "/clusters": HttpRoute(
            _json(sources.clusters),
            help="clusters and their endpoints, with counters",
            prepare=sources.refresh_pages,
        ),
        "/listeners": HttpRoute(
            _json(sources.listeners), help="listeners and their addresses", prepare=sources.refresh_pages
        ),
        "/certs": HttpRoute(_json(sources.certs), help="workload certificate and trust bundle"),
        "/server_info": HttpRoute(_json(sources.server_info), help="version, state, uptime"),
        "/stats": HttpRoute(
            _text(sources.stats), help="own counters and gauges", prepare=sources.refresh_metrics
        ),
        "/stats/prometheus": HttpRoute(
            _metrics(sources.metrics), help="all metrics, for Prometheus", prepare=sources.refresh_metrics
        ),
        "/logging": HttpRoute(_logging(sources.set_log_level), "POST", f"?level={'|'.join(LOG_LEVELS)}"),
        "/drain": HttpRoute(
            _drain(sources.drain),
            "POST",
            "end connections one by one, then the process; not it with ?skip_exit=true",
        ),
    }
    index = "".join(f"{route.method:4} {path:18} {route.help}\n" for path, route in routes.items())
    return {"/": HttpRoute(lambda request: HttpResponse(index)), **routes}


def _ready(not_ready: Callable[[], Sequence[str]]) -> Callable[[HttpRequest], HttpResponse]:
    def answer(request: HttpRequest) -> HttpResponse:
        reasons = not_ready()
        return (
            HttpResponse("".join(f"{reason}\n" for reason in reasons), 503)
            if reasons
            else HttpResponse("LIVE\n")
        )

    return answer


def _json(document: Document) -> Callable[[HttpRequest], HttpResponse]:
    return lambda request: HttpResponse(json_slices(document()), content_type="application/json")


def _text(lines: Callable[[], Iterator[str]]) -> Callable[[HttpRequest], HttpResponse]:
    return lambda request: HttpResponse(lines())


def _metrics(exposition: Callable[[], Iterator[str]]) -> Callable[[HttpRequest], HttpResponse]:
    return lambda request: HttpResponse(exposition(), content_type=CONTENT_TYPE)


def _logging(set_log_level: Callable[[str], None]) -> Callable[[HttpRequest], HttpResponse]:
    def answer(request: HttpRequest) -> HttpResponse:
        level = request.query.get("level", "")
        if level not in LOG_LEVELS:
            return HttpResponse(f"level {level!r}: use ?level= with one of {', '.join(LOG_LEVELS)}\n", 400)
        set_log_level(level)
        return HttpResponse(f"level: {level}\n")

    return answer


def _drain(drain: Callable[[bool], None]) -> Callable[[HttpRequest], HttpResponse]:
    def answer(request: HttpRequest) -> HttpResponse:
        drain(request.query.get("skip_exit") == "true")
        return HttpResponse("draining\n")

    return answer
