"""What the control plane tells about itself over HTTP: `/metrics`, and `/debug/syncz` for `meshctl
proxy-status`."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.apiserver.app import RestApp
from control_plane.apiserver.authentication import BearerAuthentication
from control_plane.apiserver.watch import WatchStreams
from control_plane.cache import SnapshotCache
from control_plane.metrics import CONTENT_TYPE, ControlPlaneMetrics

SYNCZ_PATH = "/debug/syncz"


def monitoring_app(cache: SnapshotCache, metrics: ControlPlaneMetrics) -> RestApp:
    """For 15014: no secrets, no changes, no authentication."""

    async def scrape(request: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    return RestApp(Starlette(routes=[Route("/metrics", scrape), _syncz_route(cache)]), WatchStreams())


def with_syncz(rest: RestApp, cache: SnapshotCache) -> RestApp:
    """The REST API with `/debug/syncz` beside it, behind the same bearer tokens."""
    assert rest.users is not None, "the REST API knows its users"
    debug = BearerAuthentication(Starlette(routes=[_syncz_route(cache)]), rest.users)
    return RestApp(_split(rest.asgi, debug), rest.streams, rest.users)


def _syncz_route(cache: SnapshotCache) -> Route:
    async def syncz(request: Request) -> Response:
        return JSONResponse({"nodes": [status.as_dict() for status in cache.statuses()]})

    return Route(SYNCZ_PATH, syncz)


def _split(rest: ASGIApp, debug: ASGIApp) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        is_debug = scope["type"] == "http" and scope["path"] == SYNCZ_PATH
        await (debug if is_debug else rest)(scope, receive, send)

    return application
