"""The HTTP side of what only Pods have: `pods/{name}/binding` and `pods/{name}/eviction`."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.operations import Operations
from control_plane.apiserver.request_body import read_body
from control_plane.resources.manifest import Manifest, name_of, section
from control_plane.resources.registry import BY_KIND

_CREATED: Manifest = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_EVICTION_FIELDS = {"apiVersion", "kind", "metadata", "deleteOptions"}


class PodEndpoints:
    """The paths below a Pod that create something."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def routes(self) -> Sequence[Route]:
        """Both accept `POST` only, as in Kubernetes."""
        pods = BY_KIND["Pod"]
        paths = {"binding": self._bind, "eviction": self._evict}
        return [
            Route(pods.path("{namespace}", "{name}", part), endpoint, methods=["POST"])
            for part, endpoint in paths.items()
        ]

    async def _bind(self, request: Request) -> Response:
        body = await read_body(request)
        await self._operations.bind(*_place(request), body, dry_run=_is_dry_run(request))
        return JSONResponse(_CREATED, HTTPStatus.CREATED)

    async def _evict(self, request: Request) -> Response:
        """There is no disruption budget, so an eviction is a deletion."""
        body, (namespace, name) = await read_body(request), _place(request)
        if unknown := sorted(body.keys() - _EVICTION_FIELDS):
            raise Failure(HTTPStatus.BAD_REQUEST, f"Eviction: unknown field {unknown[0]!r}")
        if name_of(body) not in ("", name):
            message = f"name in URL does not match name in Eviction object: {name_of(body)} != {name}"
            raise Failure(HTTPStatus.BAD_REQUEST, message)
        options = section(body, "deleteOptions")
        await self._operations.delete(BY_KIND["Pod"], namespace, name, options, dry_run=_is_dry_run(request))
        return JSONResponse(_CREATED, HTTPStatus.CREATED)


def _place(request: Request) -> tuple[str, str]:
    return request.path_params["namespace"], request.path_params["name"]


def _is_dry_run(request: Request) -> bool:
    value = request.query_params.get("dryRun", "")
    if value not in ("", "All"):
        raise Failure(HTTPStatus.BAD_REQUEST, f"dryRun must be All, not {value!r}")
    return value == "All"
