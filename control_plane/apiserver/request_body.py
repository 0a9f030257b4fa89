"""Reading a request's JSON body: bounded, and as strict as an API must be about what it was sent."""

import json
import math
from collections import Counter
from http import HTTPStatus
from typing import NoReturn

from starlette.requests import Request

from control_plane.apiserver import protobuf_body
from control_plane.apiserver.failure import Failure
from control_plane.resources.manifest import Manifest

MAX_BODY = 3 * 1024 * 1024
"""Bytes; the limit of a Kubernetes API server."""


async def read_body(request: Request, *, media_type: str = "application/json") -> Manifest:
    """The body, which must be a JSON object of `media_type`; for plain JSON also Kubernetes' protobuf.

    Raises Failure (400, 413, 415).
    """
    found = _media_type(request) or media_type
    if found == protobuf_body.MEDIA_TYPE:
        return _from_protobuf(await read_bytes(request))
    if found != media_type:
        message = f"the body must be {media_type}, not {found}"
        raise Failure(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
    return parse_object(await read_bytes(request))


async def read_optional_body(request: Request) -> Manifest:
    """The body as a JSON object; empty when there is none. Raises Failure (400, 413, 415)."""
    content = await read_bytes(request)
    if content and _media_type(request) == protobuf_body.MEDIA_TYPE:
        return _from_protobuf(content)
    return parse_object(content) if content else {}


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _from_protobuf(content: bytes) -> Manifest:
    try:
        return protobuf_body.read_protobuf(content)
    except protobuf_body.ProtobufError as exc:
        raise Failure(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(exc)) from exc


async def read_bytes(request: Request) -> bytes:
    """The body as it came. Raises Failure (413)."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY:
            raise Failure(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY} bytes")
    return bytes(content)


def parse_object(content: bytes) -> Manifest:
    """A JSON object, read as `parse_value` does. Raises Failure (400)."""
    value = parse_value(content)
    if not isinstance(value, dict):
        raise Failure(HTTPStatus.BAD_REQUEST, f"the body must be a JSON object, not {type(value).__name__}")
    return value


def parse_value(content: bytes) -> object:
    """A JSON value without repeated fields, NaN, infinities or halves of characters. Raises Failure (400).

    The last three could be stored and never be told again: nobody could list their kind any more.
    """
    try:
        value: object = json.loads(
            content, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
        )
        if b"\\u" in content:  # only an escape can give a lone surrogate in valid UTF-8
            json.dumps(value, ensure_ascii=False).encode()
        content.decode()
    except (ValueError, RecursionError) as exc:
        raise Failure(HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {exc}") from exc
    return value


def _unique(pairs: list[tuple[str, object]]) -> Manifest:
    result = dict(pairs)
    if len(result) < len(pairs):
        (twice, _), *_ = Counter(field for field, _ in pairs).most_common(1)
        raise ValueError(f"field {twice!r} appears twice in one object")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is beyond what a number can hold")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
