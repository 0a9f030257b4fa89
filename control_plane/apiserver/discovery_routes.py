"""Serving what tells clients whom they talk to: health, version, and the discovery documents."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from control_plane.apiserver import discovery_document
from control_plane.apiserver.answer import accepted, json_answer
from control_plane.resources.manifest import Manifest

KUBERNETES_VERSION = ("1", "33")
"""The Kubernetes version whose API this is a part of, told to clients at `/version`."""
_AGGREGATED_GROUP = "apidiscovery.k8s.io"
_AGGREGATED_VERSIONS = ("v2", "v2beta1")


def version_document() -> Manifest:
    """`/version`, with every field that clients read."""
    major, minor = KUBERNETES_VERSION
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{major}.{minor}.0+meshproxy",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux/amd64",
    }


def public_routes(is_ready: Callable[[], bool]) -> list[Route]:
    """What is told to everybody."""

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def ready(request: Request) -> Response:
        if is_ready():
            return PlainTextResponse("ok")
        return PlainTextResponse("not ready", HTTPStatus.SERVICE_UNAVAILABLE)

    paths = {"/healthz": health, "/livez": health, "/readyz": ready}
    return [
        *_document_routes("/version", version_document()),
        *(Route(path, endpoint) for path, endpoint in paths.items()),
    ]


def discovery_routes() -> list[Route]:
    """`/api` and `/apis` in both forms, each group, and each version's resources."""
    versions = discovery_document.api_versions()
    groups = [*dict.fromkeys(version.rpartition("/")[0] for version in versions)]
    core, others = discovery_document.core_versions(), discovery_document.group_list()
    named = [name for name in groups if name]
    routes = [*_root_routes("/api", core, [""]), *_root_routes("/apis", others, named)]
    for name in named:
        routes += _document_routes(f"/apis/{name}", discovery_document.group(name))
    for version in versions:
        root = "apis" if "/" in version else "api"
        routes += _document_routes(f"/{root}/{version}", discovery_document.resource_list(version))
    return routes


def _either_way(path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> list[Route]:
    """With a final slash, too: the clients that are generated from Kubernetes' OpenAPI ask so."""
    return [Route(path, endpoint), Route(f"{path}/", endpoint)]


def _document_routes(path: str, document: Manifest) -> list[Route]:
    async def endpoint(request: Request) -> Response:
        return await json_answer(request, document)

    return _either_way(path, endpoint)


def _root_routes(path: str, document: Manifest, groups: list[str]) -> list[Route]:
    """One that tells everything below it at once to clients that ask so: they need two requests, not one for
    each version."""

    async def endpoint(request: Request) -> Response:
        version = _aggregated_version(request)
        if version is None:
            return await json_answer(request, document)
        told = discovery_document.aggregated(groups, f"{_AGGREGATED_GROUP}/{version}")
        answer = await json_answer(request, told)
        parameters = f"g={_AGGREGATED_GROUP};v={version};as=APIGroupDiscoveryList"
        answer.headers["Content-Type"] = f"application/json;{parameters}"
        return answer

    return _either_way(path, endpoint)


def _aggregated_version(request: Request) -> str | None:
    """Which version of the aggregated form comes first in `Accept`; None for the plain documents."""
    for one in accepted(request):
        if "as" not in one.parameters:
            return None
        version = one.parameters.get("v", "")
        is_known = one.says(g=_AGGREGATED_GROUP, **{"as": "APIGroupDiscoveryList"})
        if is_known and version in _AGGREGATED_VERSIONS:
            return version
    return None
