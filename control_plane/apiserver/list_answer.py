"""Lists as JSON, in pieces: 20,000 Pods take more than a second, in which others want answers too."""

import asyncio
import json
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from control_plane.apiserver.answer import bytes_answer
from control_plane.apiserver.representation import Representation
from control_plane.resources.manifest import Manifest

AT_ONCE = 100
"""Objects encoded without letting anybody else in between: some 5 ms of Pods."""


async def list_answer(
    request: Request, form: Representation, items: Sequence[Manifest], list_metadata: Manifest
) -> Response:
    """`items` in the form the client asked for."""
    empty = form.many((), list_metadata)
    field = list(empty)[-1]
    assert empty[field] == [], "the objects, or rows, come last"
    pieces = []
    for start in range(0, len(items), AT_ONCE):
        some = form.many(items[start : start + AT_ONCE], list_metadata)
        pieces.append(_encoded(some[field])[1:-1])
        await asyncio.sleep(0)
    content = b"".join((_encoded(empty)[: -len(b"]}")], b",".join(pieces), b"]}"))
    return await bytes_answer(request, content)


def _encoded(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
