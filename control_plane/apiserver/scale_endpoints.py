"""The HTTP side of `scale`, below the objects that have replicas."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.operations import Operations
from control_plane.apiserver.request_body import parse_object, read_bytes
from control_plane.apiserver.scale import SCALED_KINDS, scale_of, scaled
from control_plane.apiserver.write_request import (
    APPLY_PATCH,
    Change,
    check_media_type,
    patching,
    write_of,
)
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import KINDS, ResourceKind

_SUBRESOURCE = "scale"


class ScaleEndpoints:
    """`scale` of one kind."""

    def __init__(self, kind: ResourceKind, operations: Operations) -> None:
        self._kind = kind
        self._operations = operations

    def route(self) -> Route:
        """Read, replace and patch."""
        path = self._kind.path("{namespace}", "{name}", _SUBRESOURCE)
        return Route(path, self._answer, methods=["GET", "PUT", "PATCH"])

    async def _answer(self, request: Request) -> Response:
        place = request.path_params["namespace"], request.path_params["name"]
        if request.method == "GET":
            return JSONResponse(scale_of(await self._operations.get(self._kind, *place)))
        change = await (self._patch(request) if request.method == "PATCH" else self._replacement(request))
        write = write_of(request.query_params, request.headers.get("user-agent", ""))

        def scale(current: Manifest) -> Manifest:
            return scaled(current, change(scale_of(current)))

        changed = await self._operations.patch(self._kind, *place, scale, write, _SUBRESOURCE)
        return JSONResponse(scale_of(changed))

    async def _replacement(self, request: Request) -> Change:
        wanted = parse_object(await read_bytes(request))
        return lambda current: wanted

    async def _patch(self, request: Request) -> Change:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        check_media_type(self._kind, media_type)
        if media_type == APPLY_PATCH:
            raise Failure(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "scale cannot be applied; apply spec.replicas to the object itself",
            )
        return patching(self._kind, media_type, await read_bytes(request))


def scale_routes(operations: Operations) -> Sequence[Route]:
    """Of every kind that has replicas."""
    return [ScaleEndpoints(kind, operations).route() for kind in KINDS if kind.kind in SCALED_KINDS]
