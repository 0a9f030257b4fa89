"""JSON answers: what a client says it accepts, and compression of big ones."""

import asyncio
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

JSON = "application/json"
GZIP_FROM = 128 * 1024
"""Bytes; Kubernetes compresses from here: below, the time costs more than the transfer."""
_GZIP_LEVEL = 1
_OFF_LOOP_FROM = 1024 * 1024
"""Bytes whose compression would hold up other requests for longer than handing it to a thread."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """One element of `Accept`: `application/json;as=Table;v=v1;g=meta.k8s.io`."""

    name: str
    parameters: Mapping[str, str]

    def says(self, **parameters: str) -> bool:
        """Whether each parameter has this value."""
        return all(self.parameters.get(name) == value for name, value in parameters.items())


def accepted(request: Request) -> list[MediaType]:
    """What `Accept` lists, in its order, which is how clients of Kubernetes state preference."""
    header = ",".join(request.headers.getlist("accept"))
    return [_media_type(element) for element in header.split(",") if element.strip()]


def _media_type(element: str) -> MediaType:
    name, *rest = (part.strip() for part in element.split(";"))
    pairs = (part.partition("=") for part in rest)
    return MediaType(name.lower(), {key.strip().lower(): value.strip() for key, _, value in pairs})


async def json_answer(
    request: Request,
    document: object,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`document` as JSON."""
    content = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return await bytes_answer(request, content, status, headers)


async def bytes_answer(
    request: Request,
    content: bytes,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """JSON that is encoded already; gzipped when it is big and the client takes that."""
    fields = {"Vary": "Accept, Accept-Encoding", **(headers or {})}
    if len(content) >= GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        fields["Content-Encoding"] = "gzip"
        if len(content) >= _OFF_LOOP_FROM:
            content = await asyncio.to_thread(gzip.compress, content, _GZIP_LEVEL)
        else:
            content = gzip.compress(content, _GZIP_LEVEL)
    return Response(content, status, fields, media_type=JSON)
