"""HTTPS for the webhook: bounded bodies, health, a certificate that changes without a restart."""

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

import uvicorn

from certs.presented import present
from injector.certificate import IssuedCertificate
from injector.overdue import Overdue
from injector.registration import ENABLED_PATH, OTHER_PATH
from injector.template import InjectorSettings
from injector.webhook import BadReview, respond

if TYPE_CHECKING:
    from uvicorn.server import Protocols

_log = logging.getLogger(__name__)

MAX_BODY = 8 * 1024 * 1024
"""Bytes: an API server's limit for an object is 3 MiB, and a review may hold two."""
_MAX_HEAD = 64 * 1024
_MAX_REQUESTS = 256
"""At a time; more are answered with 503."""
_GRACE = 5
"""Seconds that requests in flight have to end when the server stops."""
_BACKLOG = 1024
_LOOK = 0.5
"""Seconds between looks at connections."""

Scope = Mapping[str, object]
Receive = Callable[[], Awaitable[Mapping[str, object]]]
Send = Callable[[dict[str, object]], Awaitable[None]]


class _Refused(Exception):
    """A request that gets no review."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class WebhookApp:
    """The ASGI application. `/healthz` and `/readyz` answer probes."""

    def __init__(self, settings: InjectorSettings) -> None:
        self._settings = settings
        self.is_ready = False
        """Set when the API server can verify us."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            status, content = HTTPStatus.OK, await self._answer(scope, receive)
        except _Refused as error:
            status, content = error.status, str(error).encode()
            _log.warning("%s %s: %s", scope["method"], scope["path"], error)
        is_json = content.startswith(b"{")
        media_type = b"application/json" if is_json else b"text/plain; charset=utf-8"
        headers = [(b"content-type", media_type), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, scope: Scope, receive: Receive) -> bytes:
        match scope["method"], scope["path"]:
            case "GET", "/healthz":
                return b"ok"
            case "GET", "/readyz":
                if not self.is_ready:
                    raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the caBundle is not in place yet")
                return b"ok"
            case "POST", str(path) if path in (ENABLED_PATH, OTHER_PATH):
                return self._review(await _body(receive), in_enabled_namespace=path == ENABLED_PATH)
            case _, path if path in (ENABLED_PATH, OTHER_PATH, "/healthz", "/readyz"):
                raise _Refused(HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed")
            case _:
                raise _Refused(HTTPStatus.NOT_FOUND, "no such path")

    def _review(self, body: bytes, *, in_enabled_namespace: bool) -> bytes:
        try:
            review = json.loads(body)
            answer = respond(review, in_enabled_namespace=in_enabled_namespace, settings=self._settings)
        except (BadReview, ValueError, RecursionError) as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"no AdmissionReview: {error}") from error
        return json.dumps(answer).encode()


async def _body(receive: Receive) -> bytes:
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused(HTTPStatus.BAD_REQUEST, "the client went away")
        chunk = message.get("body", b"")
        assert isinstance(chunk, bytes)
        content += chunk
        if len(content) > MAX_BODY:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY} bytes")
        if not message.get("more_body"):
            return bytes(content)


class WebhookServer:
    """One listening socket. `present` a certificate, `start`, then `stop`."""

    def __init__(self, app: WebhookApp) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls.set_alpn_protocols(["http/1.1"])
        self._config = uvicorn.Config(
            app,
            http="h11",
            h11_max_incomplete_event_size=_MAX_HEAD,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MAX_REQUESTS,
            timeout_graceful_shutdown=_GRACE,
            backlog=_BACKLOG,
        )
        self._config.load()
        self._config.ssl = self._tls
        self._server = uvicorn.Server(self._config)
        self._sockets: list[socket.socket] = []
        self._overdue: Overdue[Protocols] = Overdue()
        self._look: asyncio.TimerHandle | None = None

    def present(self, certificate: IssuedCertificate) -> None:
        """To clients from the next handshake on."""
        present(self._tls, key_pem=certificate.key_pem, chain_pem=certificate.chain_pem)

    async def start(self, listener: socket.socket) -> int:
        """Serve on a bound socket, which is the server's from now on; returns its port."""
        listener.setblocking(False)
        self._sockets = [listener]
        # `Server.serve` would take over the process's signals.
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.startup(sockets=self._sockets)
        self._end_overdue()
        port: int = listener.getsockname()[1]
        return port

    def _end_overdue(self) -> None:
        """uvicorn waits for ever for the rest of a request: whoever can reach us could take every place."""
        connections = self._server.server_state.connections
        owing = [one for one in connections if _owes(one)]
        is_crowded = len(connections) > _MAX_REQUESTS // 2
        loop = asyncio.get_running_loop()
        for connection in self._overdue.find(owing, loop.time(), is_crowded=is_crowded):
            connection.transport.abort()
        self._look = loop.call_later(_LOOK, self._end_overdue)

    async def stop(self) -> None:
        """Let requests in flight end, close everything. Idempotent."""
        if not self._sockets:
            return
        if self._look is not None:
            self._look.cancel()
        sockets, self._sockets = self._sockets, []
        requests = set(self._server.server_state.tasks)
        stopping = asyncio.ensure_future(self._server.shutdown(sockets=sockets))
        if requests:
            await asyncio.wait(requests, timeout=_GRACE)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await stopping


def _owes(connection: object) -> bool:
    """Whether the client has to send something before it can be answered. After an answer uvicorn itself
    ends a connection on which nothing more comes."""
    cycle = getattr(connection, "cycle", None)
    return cycle is None or (cycle.more_body and not cycle.response_complete)
