"""Serving OpenAPI: v3 is made at the first request, off the loop, and kept; v2 tells nothing."""

import asyncio
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from control_plane.apiserver.answer import accepted, bytes_answer, json_answer
from control_plane.apiserver.failure import Failure
from control_plane.apiserver.openapi import document, v2

_FOR_EVER = {"Cache-Control": "public, immutable, max-age=31536000"}
"""Of an address that names the hash of what is there."""


def openapi_routes() -> list[Route]:
    """The index and the documents of v3, and v2."""
    return [
        Route(v2.PATH, _v2),
        Route(document.INDEX_PATH, _index),
        Route(f"{document.INDEX_PATH}/{{path:path}}", _document),
    ]


async def _v2(request: Request) -> Response:
    asked = [one.name for one in accepted(request)]
    if asked and asked[0] in v2.PROTOBUF_TYPES:
        return Response(v2.protobuf(), media_type=v2.PROTOBUF, headers={"Vary": "Accept"})
    return await json_answer(request, v2.document())


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
