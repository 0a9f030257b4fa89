"""The REST API in the shape of Kubernetes': one ASGI application over one store."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from control_plane.apiserver.admission import AdmissionCheck
from control_plane.apiserver.authentication import BearerAuthentication
from control_plane.apiserver.discovery_routes import discovery_routes, public_routes
from control_plane.apiserver.endpoints import KindEndpoints
from control_plane.apiserver.failure import Failure, failure_of
from control_plane.apiserver.identity import Role, TokenUsers, current_user
from control_plane.apiserver.kubelet import KubeletFiles, Kubelets
from control_plane.apiserver.openapi.routes import openapi_routes
from control_plane.apiserver.operations import Operations
from control_plane.apiserver.paging import Pages
from control_plane.apiserver.pod_endpoints import PodEndpoints
from control_plane.apiserver.pod_exec import PodExec
from control_plane.apiserver.pod_log import PodLogs
from control_plane.apiserver.reading import KindReading
from control_plane.apiserver.request_body import read_body
from control_plane.apiserver.request_warning import WarningHeaders
from control_plane.apiserver.review_routes import review_routes
from control_plane.apiserver.scale_endpoints import scale_routes
from control_plane.apiserver.service_address import ServiceAllocator
from control_plane.apiserver.token_request import TokenMinter, TokenRequests
from control_plane.apiserver.token_review import TokenReviews, TokenVerifier
from control_plane.apiserver.unserved import not_served
from control_plane.apiserver.watch import WatchStreams
from control_plane.apiserver.webhook_admission import WebhookAdmission
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.registry import BY_KIND, KINDS
from control_plane.store.api import Store, StoreError


@dataclass(frozen=True, slots=True)
class RestApp:
    """The application, and the watches to end before its server is stopped."""

    asgi: ASGIApp
    streams: WatchStreams
    users: TokenUsers | None = None
    """Whose bearer tokens it knows; None for one without authentication."""


def create_app(
    store: Store,
    *,
    admin_token: str,
    token_minter: TokenMinter,
    now: Callable[[], float],
    role_tokens: Mapping[Role, str] | None = None,
    token_verifier: TokenVerifier | None = None,
    kubelet_files: KubeletFiles | None = None,
    services: ServiceAllocator | None = None,
    checks: Sequence[AdmissionCheck] = (),
    is_ready: Callable[[], bool] = lambda: True,
    rng: random.Random | None = None,
) -> RestApp:
    """Build it; call `ensure_system_objects(store)` before serving. The store stays the caller's to close.

    `role_tokens` are those of others than the administrator; with `token_verifier` TokenReview is served;
    with `kubelet_files` logs and exec are asked of kubelets;
    `now` gives seconds since the epoch (token lifetimes, ages); `checks` refuse objects beyond their own
    validation; `is_ready` is what `/readyz` answers; `rng` makes the suffixes of `generateName`.
    """
    streams, pages = WatchStreams(), Pages()
    admission = WebhookAdmission(store, user=lambda: current_user().info())
    operations = Operations(
        store,
        services=services or ServiceAllocator(),
        checks=checks,
        admission=admission,
        rng=rng or random.Random(),
        now=now,
    )
    users = TokenUsers({Role.ADMIN: admin_token, **(role_tokens or {})})
    reviews = None if token_verifier is None else TokenReviews(store, token_verifier, users, now)
    routes: list[BaseRoute] = [
        *public_routes(is_ready),
        *discovery_routes(),
        *openapi_routes(),
        *review_routes(reviews),
    ]
    routes.append(_token_route(store, token_minter, now))
    for kind in KINDS:
        for entry in kind.in_every_version():
            reading = KindReading(entry, store, operations, streams, pages, now)
            routes += KindEndpoints(entry, operations, reading).routes()
    routes += [*PodEndpoints(operations).routes(), *scale_routes(operations)]
    kubelets = Kubelets(store, kubelet_files)
    routes += [*PodLogs(kubelets, streams).routes(), *PodExec(kubelets, streams, admission).routes()]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(WarningHeaders), Middleware(BearerAuthentication, users=users)],
        exception_handlers={
            HTTPException: _on_http_exception,
            Failure: _on_refusal,
            InvalidResource: _on_refusal,
            StoreError: _on_refusal,
            RecursionError: _on_refusal,
            Exception: _on_bug,
        },
    )
    app.router.redirect_slashes = False
    return RestApp(app, streams, users)


def _token_route(store: Store, minter: TokenMinter, now: Callable[[], float]) -> Route:
    requests = TokenRequests(store, minter, now)

    async def endpoint(request: Request) -> Response:
        body = await read_body(request)
        names = request.path_params
        answer = await requests.create(names["namespace"], names["name"], body)
        return JSONResponse(answer, HTTPStatus.CREATED, headers={"Cache-Control": "no-store"})

    path = BY_KIND["ServiceAccount"].path("{namespace}", "{name}", "token")
    return Route(path, endpoint, methods=["POST"])


def _refusal(failure: Failure) -> Response:
    return JSONResponse(failure.body(), failure.status)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own: no such path, no such method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    method, path = request.method, request.url.path
    if status is HTTPStatus.NOT_FOUND:
        message = not_served(method, path, request.query_params)
    else:
        message = f"{method} {path}: {status.phrase.lower()}"
    # kubectl tells an absent kind or subresource from an absent object by details without a name.
    response = _refusal(Failure(status, message, details={}))
    response.headers.update(error.headers or {})
    return response


async def _on_refusal(request: Request, error: Exception) -> Response:
    return _refusal(failure_of(error) or _internal())


async def _on_bug(request: Request, error: Exception) -> Response:
    """The server logs it with its traceback; the client learns nothing of the inside."""
    return _refusal(_internal())


def _internal() -> Failure:
    return Failure(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; the control plane's log has the details"
    )
