"""Warnings of one request: whoever handles it adds them, its answer carries them (RFC 7234, section 5.5).

kubectl prints each `Warning: 299 - "…"` header. As in Kubernetes an equal text is told once, and long ones
are cut when all together would make a head too large.
"""

from contextvars import ContextVar

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_TOTAL = 4096
"""Characters of all warnings of an answer; beyond, each is cut to `MAX_ITEM`, and what is over left out."""
MAX_ITEM = 256

_warnings: ContextVar[list[str] | None] = ContextVar("request_warnings", default=None)


def add_warning(text: str) -> None:
    """Tell the client of the present request. Outside of one, and of no text, nobody is told."""
    texts = _warnings.get()
    if texts is not None and text and text not in texts:
        texts.append(text)


def warning_headers(texts: list[str]) -> list[bytes]:
    """Header values; control characters, which no header may have, become spaces."""
    if sum(map(len, texts)) > MAX_TOTAL:
        texts = [text[:MAX_ITEM] for text in texts][: MAX_TOTAL // MAX_ITEM]
    return [_header(text) for text in texts]


def _header(text: str) -> bytes:
    plain = "".join(character if character.isprintable() else " " for character in text)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'.encode("utf-8", "replace")


class WarningHeaders:
    """ASGI middleware that puts what was added into the answer's head."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        texts: list[str] = []

        async def with_warnings(message: Message) -> None:
            if message["type"] == "http.response.start" and texts:
                raw = MutableHeaders(scope=message).raw
                message["headers"] = [*raw, *((b"warning", value) for value in warning_headers(texts))]
            await send(message)

        token = _warnings.set(texts)
        try:
            await self._app(scope, receive, with_warnings)
        finally:
            _warnings.reset(token)
