"""The kubelet's HTTPS endpoint, asked by the API server: logs of containers, commands in them, health.

Paths and parameters are Kubernetes' (kubernetes/pkg/kubelet/server): `/containerLogs/<ns>/<pod>/<container>`,
`/exec/<ns>/<pod>/<container>`, `/healthz`. Whoever has no client certificate of the lab's kubelet CA does not
get past the TLS handshake.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets import http11

from control_plane.resources.timestamp import rfc3339, seconds_of
from lab import netns
from lab.container_log import ContainerLogs
from lab.entrance import EnteringCommand
from lab.exec_session import ExecRequest, serve_exec
from lab.kubelet_certificates import KubeletTls
from lab.log_line import LogQuery
from lab.network import Node

KUBELET_PORT = 10250
_MAX_HEAD = 64 * 1024
http11.MAX_LINE_LENGTH = 1024 * 1024
# Commands travel in the request line, which h11 has bounded; websockets' own bound is 8 KiB.
_GRACEFUL_TIMEOUT = 1
_BACKLOG = 128
_SUBPROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


@dataclass(frozen=True, slots=True)
class ServedContainer:
    """A container as the endpoint sees it."""

    logs: ContainerLogs
    enter: Callable[[list[str]], EnteringCommand | None]
    """What runs a command beside it; None while it does not run."""
    is_running: Callable[[], bool]
    waits_for: Callable[[], str]
    """Why it does not run, as a reason such as `ContainerCreating`."""


Find = Callable[[str, str, str], ServedContainer | None]
"""By namespace, pod and container; None when the node has no such container."""


def log_query(parameters: Mapping[str, str], now: float) -> LogQuery:
    """From the query of a request, whose names are `PodLogOptions`'s. `now` in seconds since the epoch.

    Raises ValueError.
    """
    since = ""
    if text := parameters.get("sinceTime"):
        since = rfc3339(seconds_of(text))
    elif text := parameters.get("sinceSeconds"):
        since = rfc3339(max(0.0, now - _whole(text, "sinceSeconds")))
    tail, limit = parameters.get("tailLines"), parameters.get("limitBytes")
    return LogQuery(
        follow=_truth(parameters.get("follow")),
        previous=_truth(parameters.get("previous")),
        timestamps=_truth(parameters.get("timestamps")),
        since=since,
        tail_lines=_whole(tail, "tailLines") if tail else None,
        limit_bytes=_whole(limit, "limitBytes") if limit else None,
        stream=parameters.get("stream") or "All",
    )


def _truth(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1", "t")


def _whole(text: str, name: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{name}: {text!r} is not a whole number of at least 0")
    return int(text)


class KubeletServer:
    """Serves in the node's network namespace, in the loop that is running."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._stopping = asyncio.Event()
        routes = [
            Route("/healthz", self._healthz),
            Route("/containerLogs/{namespace}/{pod}/{container}", self._logs),
            WebSocketRoute("/exec/{namespace}/{pod}/{container}", self._exec),
        ]
        self._config = uvicorn.Config(
            Starlette(routes=routes),
            http="h11",
            h11_max_incomplete_event_size=_MAX_HEAD,
            ws="websockets-sansio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACEFUL_TIMEOUT,
            backlog=_BACKLOG,
        )
        self._config.load()
        self._server = uvicorn.Server(self._config)
        self._sockets: list[socket.socket] = []

    async def start(self, node: Node, tls: KubeletTls, port: int = KUBELET_PORT) -> None:
        """Listen on every address of the node. Raises OSError."""
        self._config.ssl = server_context(tls)
        for address in node.addresses:
            family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
            listener = netns.open_socket(node.namespace, family, socket.SOCK_STREAM)
            self._sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((str(address), port))
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        # `Server.serve` would take over the process's signals.
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.startup(sockets=self._sockets)

    async def stop(self) -> None:
        """End what is being served. Idempotent."""
        if not self._sockets:
            return
        self._stopping.set()
        sockets, self._sockets = self._sockets, []
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await self._server.shutdown(sockets=sockets)

    async def _healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    def _container(self, parameters: Mapping[str, str]) -> ServedContainer | None:
        return self._find(parameters["namespace"], parameters["pod"], parameters["container"])

    async def _logs(self, request: Request) -> Response:
        names = request.path_params
        found = self._container(names)
        if found is None:
            text = f"container {names['container']} of pod {names['pod']} is not on this node"
            return PlainTextResponse(text, 404)
        try:
            query = log_query(request.query_params, time.time())
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        if found.logs.chosen(query.previous) is None:
            text = f'container "{names["container"]}" in pod "{names["pod"]}"'
            if query.previous:
                return PlainTextResponse(f"previous terminated {text} not found", 400)
            return PlainTextResponse(f"{text} is waiting to start: {found.waits_for()}", 400)
        return StreamingResponse(self._log_stream(found, query), media_type="text/plain")

    async def _log_stream(self, found: ServedContainer, query: LogQuery) -> AsyncIterator[bytes]:
        """Until the container has ended, when it is followed; until the kubelet stops in any case."""
        async with contextlib.aclosing(found.logs.stream(query, found.is_running)) as chunks:
            async for chunk in chunks:
                if self._stopping.is_set():
                    return
                yield chunk

    async def _exec(self, websocket: WebSocket) -> None:
        found = self._container(websocket.path_params)
        offered = websocket.scope.get("subprotocols") or []
        chosen = next((name for name in _SUBPROTOCOLS if name in offered), None)
        request = ExecRequest.of(websocket.query_params.multi_items())
        if found is None or chosen is None or not request.command:
            await websocket.close(1008)
            return
        await websocket.accept(subprotocol=chosen)
        await serve_exec(websocket, request, found.enter(list(request.command)))


def server_context(tls: KubeletTls) -> ssl.SSLContext:
    """TLS that asks for a client certificate of the CA, and refuses who has none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.pair.certificate, tls.pair.key)
    context.load_verify_locations(tls.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    return context
