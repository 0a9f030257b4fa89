"""The HTTP side of one kind: query parameters and bodies in, JSON out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from control_plane.apiserver.delete_options import delete_options
from control_plane.apiserver.failure import Failure, success
from control_plane.apiserver.operations import Operations
from control_plane.apiserver.reading import KindReading
from control_plane.apiserver.request_body import read_body, read_optional_body
from control_plane.resources.manifest import Manifest, key_of, uid_of
from control_plane.resources.registry import ResourceKind

MERGE_PATCH = "application/merge-patch+json"
_SHOWN_WHEN_GONE = frozenset({"Pod", "Service", "ServiceAccount"})
"""Kinds whose deletion Kubernetes answers with the object's last state instead of a `Status`."""
_Update = Callable[..., Awaitable[Manifest]]


class KindEndpoints:
    """All paths of one kind."""

    def __init__(self, kind: ResourceKind, operations: Operations, reading: KindReading) -> None:
        self._kind = kind
        self._operations = operations
        self._reading = reading

    def routes(self) -> Sequence[Route]:
        """The collection over all namespaces, the collection, the object and its status."""
        kind = self._kind
        place = "{namespace}" if kind.namespaced else ""
        routes = [
            Route(kind.path(place), self._collection, methods=["GET", "POST"]),
            Route(kind.path(place, "{name}"), self._object, methods=["GET", "PUT", "PATCH", "DELETE"]),
        ]
        if kind.namespaced:
            routes.append(Route(kind.path(), self._list, methods=["GET"]))
        if kind.has_status:
            path = kind.path(place, "{name}", "status")
            routes.append(Route(path, self._status, methods=["GET", "PUT", "PATCH"]))
        return routes

    async def _collection(self, request: Request) -> Response:
        return await (self._create(request) if request.method == "POST" else self._list(request))

    async def _object(self, request: Request) -> Response:
        match request.method:
            case "PUT":
                return await self._replace(request, self._operations.update)
            case "PATCH":
                return await self._patch(request, self._operations.patch)
            case "DELETE":
                return await self._delete(request)
            case _:
                return await self._get(request)

    async def _status(self, request: Request) -> Response:
        match request.method:
            case "PUT":
                return await self._replace(request, self._operations.update_status)
            case "PATCH":
                return await self._patch(request, self._operations.patch_status)
            case _:
                return await self._get(request)

    async def _get(self, request: Request) -> Response:
        return await self._reading.get(request, *_place(request))

    async def _create(self, request: Request) -> Response:
        body = await read_body(request)
        dry_run = is_dry_run(request.query_params)
        namespace, _ = _place(request)
        created = await self._operations.create(self._kind, namespace, body, dry_run=dry_run)
        return self._answer(created, HTTPStatus.CREATED)

    async def _replace(self, request: Request, update: _Update) -> Response:
        body = await read_body(request)
        dry_run = is_dry_run(request.query_params)
        return self._answer(await update(self._kind, *_place(request), body, dry_run=dry_run))

    async def _patch(self, request: Request, patch: _Update) -> Response:
        body = await read_body(request, media_type=MERGE_PATCH)
        dry_run = is_dry_run(request.query_params)
        return self._answer(await patch(self._kind, *_place(request), body, dry_run=dry_run))

    async def _delete(self, request: Request) -> Response:
        options = await read_optional_body(request)
        dry_run = is_dry_run(request.query_params)
        options = delete_options(options, request.query_params)
        deletion = await self._operations.delete(self._kind, *_place(request), options, dry_run=dry_run)
        gone = deletion.resource
        if not deletion.is_gone or self._kind.kind in _SHOWN_WHEN_GONE:
            is_foreground = options.get("propagationPolicy") == "Foreground" and not deletion.is_gone
            return self._answer(gone, HTTPStatus.ACCEPTED if is_foreground else HTTPStatus.OK)
        return JSONResponse(success(key_of(gone), uid_of(gone)))

    async def _list(self, request: Request) -> Response:
        namespace, _ = _place(request)
        return await self._reading.list(request, namespace)

    def _answer(self, manifest: Manifest, status: HTTPStatus = HTTPStatus.OK) -> Response:
        return JSONResponse(self._kind.shown(manifest), status)


def _place(request: Request) -> tuple[str, str]:
    return request.path_params.get("namespace", ""), request.path_params.get("name", "")


def is_dry_run(query: Mapping[str, str]) -> bool:
    """Whether `dryRun=All` was asked for. Raises Failure (400) for any other value."""
    value = query.get("dryRun", "")
    if value not in ("", "All"):
        raise Failure(HTTPStatus.BAD_REQUEST, f"dryRun must be All, not {value!r}")
    return value == "All"
