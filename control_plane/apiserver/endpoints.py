"""The HTTP side of one kind: query parameters and bodies in, JSON out."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from control_plane.apiserver.delete_options import delete_options
from control_plane.apiserver.failure import success
from control_plane.apiserver.operations import Operations
from control_plane.apiserver.reading import KindReading
from control_plane.apiserver.request_body import read_body, read_bytes, read_optional_body
from control_plane.apiserver.selector import parse_selection
from control_plane.apiserver.write_request import (
    APPLY_PATCH,
    Write,
    applied_configuration,
    check_apply,
    check_media_type,
    patching,
    write_of,
)
from control_plane.resources.manifest import Manifest, key_of, name_of, uid_of
from control_plane.resources.registry import ResourceKind
from control_plane.store.api import ObjectNotFound

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
            Route(kind.path(place), self._collection, methods=["GET", "POST", "DELETE"]),
            Route(kind.path(place, "{name}"), self._object, methods=["GET", "PUT", "PATCH", "DELETE"]),
        ]
        if kind.namespaced:
            routes.append(Route(kind.path(), self._list, methods=["GET"]))
        if kind.has_status:
            path = kind.path(place, "{name}", "status")
            routes.append(Route(path, self._status, methods=["GET", "PUT", "PATCH"]))
        return routes

    async def _collection(self, request: Request) -> Response:
        match request.method:
            case "POST":
                return await self._create(request)
            case "DELETE":
                return await self._delete_collection(request)
            case _:
                return await self._list(request)

    async def _object(self, request: Request) -> Response:
        match request.method:
            case "PUT":
                return await self._replace(request, self._operations.update)
            case "PATCH":
                return await self._patch(request)
            case "DELETE":
                return await self._delete(request)
            case _:
                return await self._get(request)

    async def _status(self, request: Request) -> Response:
        match request.method:
            case "PUT":
                return await self._replace(request, self._operations.update_status)
            case "PATCH":
                return await self._patch(request, "status")
            case _:
                return await self._get(request)

    async def _get(self, request: Request) -> Response:
        return await self._reading.get(request, *_place(request))

    async def _create(self, request: Request) -> Response:
        body = await read_body(request)
        namespace, _ = _place(request)
        created = await self._operations.create(self._kind, namespace, body, _write(request))
        return self._answer(created, HTTPStatus.CREATED)

    async def _replace(self, request: Request, update: _Update) -> Response:
        body = await read_body(request)
        return self._answer(await update(self._kind, *_place(request), body, _write(request)))

    async def _patch(self, request: Request, subresource: str = "") -> Response:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        check_media_type(self._kind, media_type)
        check_apply(request.query_params, media_type)
        content, write = await read_bytes(request), _write(request)
        if media_type == APPLY_PATCH:
            configuration = applied_configuration(content)
            applied, is_new = await self._operations.apply(
                self._kind, *_place(request), configuration, write, subresource
            )
            return self._answer(applied, HTTPStatus.CREATED if is_new else HTTPStatus.OK)
        change = patching(self._kind, media_type, content)
        changed = await self._operations.patch(self._kind, *_place(request), change, write, subresource)
        return self._answer(changed)

    async def _delete(self, request: Request) -> Response:
        options = await read_optional_body(request)
        dry_run = _write(request).dry_run
        options = delete_options(options, request.query_params)
        deletion = await self._operations.delete(self._kind, *_place(request), options, dry_run=dry_run)
        gone = deletion.resource
        if not deletion.is_gone or self._kind.kind in _SHOWN_WHEN_GONE:
            is_foreground = options.get("propagationPolicy") == "Foreground" and not deletion.is_gone
            return self._answer(gone, HTTPStatus.ACCEPTED if is_foreground else HTTPStatus.OK)
        return JSONResponse(success(key_of(gone), uid_of(gone)))

    async def _delete_collection(self, request: Request) -> Response:
        """Each object by itself, as in Kubernetes: another client may see some gone and some still there."""
        query, (namespace, _) = request.query_params, _place(request)
        body, dry_run = await read_optional_body(request), _write(request).dry_run
        options, kind = delete_options(body, query), self._kind
        selection = parse_selection(query.get("labelSelector", ""), query.get("fieldSelector", ""), kind.kind)
        listing = await self._operations.list(kind, namespace, selection)
        gone = []
        for item in listing.items:
            try:
                deletion = await self._operations.delete(
                    kind, namespace, name_of(item), options, dry_run=dry_run
                )
            except ObjectNotFound:
                continue  # somebody else was faster
            gone.append(kind.shown(deletion.resource))
        envelope = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version}
        meta = {"resourceVersion": str(listing.resource_version)}
        return JSONResponse({**envelope, "metadata": meta, "items": gone})

    async def _list(self, request: Request) -> Response:
        namespace, _ = _place(request)
        return await self._reading.list(request, namespace)

    def _answer(self, manifest: Manifest, status: HTTPStatus = HTTPStatus.OK) -> Response:
        return JSONResponse(self._kind.shown(manifest), status)


def _place(request: Request) -> tuple[str, str]:
    return request.path_params.get("namespace", ""), request.path_params.get("name", "")


def _write(request: Request) -> Write:
    return write_of(request.query_params, request.headers.get("user-agent", ""))
