"""Serving OpenAPI v3: made at the first request, off the loop, and kept."""

import asyncio
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from control_plane.apiserver.answer import bytes_answer, json_answer
from control_plane.apiserver.failure import Failure
from control_plane.apiserver.openapi import document

_FOR_EVER = {"Cache-Control": "public, immutable, max-age=31536000"}
"""Of an address that names the hash of what is there."""


def openapi_routes() -> list[Route]:
    """The index and the documents. `/openapi/v2` is not served: clients that know v3 ask no further."""
    return [
        Route(document.INDEX_PATH, _index),
        Route(f"{document.INDEX_PATH}/{{path:path}}", _document),
    ]


async def _index(request: Request) -> Response:
    return await json_answer(request, await asyncio.to_thread(document.index))


async def _document(request: Request) -> Response:
    path = request.path_params["path"]
    content = (await asyncio.to_thread(document.documents)).get(path)
    if content is None:
        raise Failure(HTTPStatus.NOT_FOUND, "the server could not find the requested resource")
    digest, given = document.digest(path), request.query_params.get("hash", "")
    if given and given != digest:
        return RedirectResponse(f"{document.INDEX_PATH}/{path}?hash={digest}", HTTPStatus.MOVED_PERMANENTLY)
    headers = {"Etag": f'"{digest}"', **(_FOR_EVER if given else {})}
    if request.headers.get("if-none-match") == headers["Etag"]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return await bytes_answer(request, content, headers=headers)
