"""The HTTP side of one kind: query parameters and bodies in, JSON out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from control_plane.apiserver.delete_options import delete_options
from control_plane.apiserver.failure import Failure, success
from control_plane.apiserver.operations import Operations
from control_plane.apiserver.request_body import read_body, read_optional_body
from control_plane.apiserver.selector import parse_selection
from control_plane.apiserver.watch import DEFAULT_LIFETIME, WatchStreams, event_lines
from control_plane.resources.manifest import Manifest, key_of, uid_of
from control_plane.resources.registry import ResourceKind
from control_plane.store.api import EventStream, Store

MERGE_PATCH = "application/merge-patch+json"
_SHOWN_WHEN_GONE = frozenset({"Pod", "Service", "ServiceAccount"})
"""Kinds whose deletion Kubernetes answers with the object's last state instead of a `Status`."""
_MAX_DIGITS = 18
"""Of a number in a query: fits into 64 bits; Python refuses to read very long ones."""
_Update = Callable[..., Awaitable[Manifest]]


class KindEndpoints:
    """All paths of one kind."""

    def __init__(
        self, kind: ResourceKind, store: Store, operations: Operations, streams: WatchStreams
    ) -> None:
        self._kind = kind
        self._store = store
        self._operations = operations
        self._streams = streams

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
        return self._answer(await self._operations.get(self._kind, *_place(request)))

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
        query, (namespace, _) = request.query_params, _place(request)
        if query.get("watch", "").lower() in ("true", "1"):
            return await self._watch(query, namespace)
        selection = parse_selection(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        items, version = await self._operations.list(self._kind, namespace, selection)
        metadata = {"resourceVersion": str(version)}
        envelope = {"kind": f"{self._kind.kind}List", "apiVersion": self._kind.api_version}
        shown = [self._kind.shown(item) for item in items]
        return JSONResponse({**envelope, "metadata": metadata, "items": shown})

    def _answer(self, manifest: Manifest, status: HTTPStatus = HTTPStatus.OK) -> Response:
        return JSONResponse(self._kind.shown(manifest), status)

    async def _watch(self, query: Mapping[str, str], namespace: str) -> Response:
        if query.get("sendInitialEvents"):
            raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, "sendInitialEvents: not supported yet")
        selection = parse_selection(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        lifetime = _number(query, "timeoutSeconds") or DEFAULT_LIFETIME
        since = _number(query, "resourceVersion")
        initial: list[Manifest] = []
        if since == 0:  # absent, or "0": any state will do, so tell the current one first
            initial, since = await self._operations.list(self._kind, namespace, selection)
        events: EventStream = self._store.events(since, {self._kind.kind})
        lines = event_lines(
            initial,
            events,
            namespace=namespace,
            selection=selection,
            streams=self._streams,
            lifetime=float(lifetime),
            show=self._kind.shown,
        )
        return StreamingResponse(lines, media_type="application/json")


def _place(request: Request) -> tuple[str, str]:
    return request.path_params.get("namespace", ""), request.path_params.get("name", "")


def is_dry_run(query: Mapping[str, str]) -> bool:
    """Whether `dryRun=All` was asked for. Raises Failure (400) for any other value."""
    value = query.get("dryRun", "")
    if value not in ("", "All"):
        raise Failure(HTTPStatus.BAD_REQUEST, f"dryRun must be All, not {value!r}")
    return value == "All"


def _number(query: Mapping[str, str], name: str) -> int:
    """A decimal parameter; 0 when it is absent."""
    value = query.get(name, "")
    if value and not (value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS):
        raise Failure(HTTPStatus.BAD_REQUEST, f"{name} must be a number, not {value[:40]!r}")
    return int(value or 0)
