"""`pods/{name}/exec`: a command in a container, over a WebSocket passed on to the kubelet of its node.

Only the WebSocket forms of Kubernetes' remote command protocol (v5 and v4) are served; messages are passed on
unread.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from control_plane.apiserver.admission_request import Admission, AdmissionRequest
from control_plane.apiserver.failure import Failure, failure_of
from control_plane.apiserver.kubelet import CONNECT_TIMEOUT, ContainerPlace, Kubelets
from control_plane.apiserver.watch import WatchStreams
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import BY_KIND
from control_plane.store.api import StoreError

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
"""The best first."""
_FLAGS = ("stdin", "stdout", "stderr", "tty")
_MAX_MESSAGE = 1024 * 1024
"""Bytes; kubectl and kubelets send 32 KiB at most."""
_DONE, _GOING_AWAY = 1000, 1001
"""Close codes of RFC 6455, section 7.4.1; kubectl takes all but the first for an error."""


class PodExec:
    """Serves it; sessions end when `streams` are closed."""

    def __init__(self, kubelets: Kubelets, streams: WatchStreams, admission: Admission) -> None:
        self._admission = admission
        self._kubelets = kubelets
        self._streams = streams

    def routes(self) -> list[BaseRoute]:
        path = BY_KIND["Pod"].path("{namespace}", "{name}", "exec")
        return [WebSocketRoute(path, self._exec), Route(path, self._plain, methods=["GET", "POST"])]

    async def _plain(self, request: Request) -> Response:
        """Clients that were refused try again with SPDY, which is not served: they are told the reason."""
        await self._place(request)
        message = f"Upgrade request required: to a WebSocket with {' or '.join(PROTOCOLS)}"
        raise Failure(HTTPStatus.BAD_REQUEST, message)

    async def _exec(self, websocket: WebSocket) -> None:
        try:
            protocol = _chosen(websocket.scope.get("subprotocols") or [])
            place = await self._place(websocket)
            await self.admit(websocket)
            kubelet = await self._connected(place, websocket, protocol)
        except (Failure, StoreError) as exc:
            failure = failure_of(exc)
            assert failure is not None, "a store's refusal of a read has a status"
            await websocket.send_denial_response(JSONResponse(failure.body(), failure.status))
            return
        async with kubelet:
            await websocket.accept(subprotocol=protocol)
            await _Session(websocket, kubelet).run(self._streams)

    async def _place(self, connection: HTTPConnection) -> ContainerPlace:
        names, query = connection.path_params, connection.query_params
        if "command" not in query:  # an argument may be empty
            raise Failure(HTTPStatus.BAD_REQUEST, "you must specify at least one command for the container")
        place = await self._kubelets.place(names["namespace"], names["name"], query.get("container", ""))
        if place is None:
            message = f"pod {names['name']} does not have a host assigned"
            raise Failure(HTTPStatus.BAD_REQUEST, message)
        return place

    async def admit(self, connection: HTTPConnection) -> None:
        """Raises Failure when a webhook refuses."""
        names, query = connection.path_params, connection.query_params
        flags = {flag: True for flag in _FLAGS if query.get(flag, "") in ("1", "true")}
        options: Manifest = {
            "kind": "PodExecOptions",
            "apiVersion": "v1",
            **flags,
            "command": query.getlist("command"),
        }
        if container := query.get("container"):
            options["container"] = container
        place = (names["namespace"], names["name"])
        request = AdmissionRequest("CONNECT", BY_KIND["Pod"], *place, options, subresource="exec")
        if await self._admission.mutate(request) != options:
            message = "an admission webhook attempted to modify what is executed, which is not supported"
            raise Failure(HTTPStatus.INTERNAL_SERVER_ERROR, message)
        await self._admission.validate(request)

    async def _connected(
        self, place: ContainerPlace, websocket: WebSocket, protocol: Subprotocol
    ) -> ClientConnection:
        """Raises Failure (500) when the kubelet cannot be reached or refuses."""
        query = [("command", word) for word in websocket.query_params.getlist("command")]
        query += [(name, "1") for name in _FLAGS if websocket.query_params.get(name, "") in ("1", "true")]
        url = f"wss://{place.authority}{place.path('exec')}?{urlencode(query)}"
        try:
            return await connect(
                url,
                ssl=self._kubelets.tls(),
                subprotocols=[protocol],
                compression=None,
                max_size=_MAX_MESSAGE,
                open_timeout=CONNECT_TIMEOUT,
                ping_interval=None,
                proxy=None,
            )
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as exc:
            message = f"the kubelet of pod {place.pod} cannot be reached at {place.authority}: {exc}"
            raise Failure(HTTPStatus.INTERNAL_SERVER_ERROR, message) from exc


def _chosen(offered: Sequence[str]) -> Subprotocol:
    for protocol in PROTOCOLS:
        if protocol in offered:
            return Subprotocol(protocol)
    message = f"unable to negotiate protocol: client offers {list(offered)}, served are {list(PROTOCOLS)}"
    raise Failure(HTTPStatus.BAD_REQUEST, message)


class _Session:
    """Messages both ways until one side closes."""

    def __init__(self, websocket: WebSocket, kubelet: ClientConnection) -> None:
        self._websocket = websocket
        self._kubelet = kubelet
        self._closing = asyncio.Event()

    def close(self) -> None:
        """The server stops."""
        self._closing.set()

    async def run(self, streams: WatchStreams) -> None:
        streams.add(self)
        tasks = {
            asyncio.ensure_future(part) for part in (self._inwards(), self._outwards(), self._closing.wait())
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            code = _GOING_AWAY if self._closing.is_set() else _DONE
            streams.discard(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the client has gone already
            await self._websocket.close(code)

    async def _inwards(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, ConnectionClosed):
            while True:
                await self._kubelet.send(await self._websocket.receive_bytes())

    async def _outwards(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, ConnectionClosed, RuntimeError):
            async for message in self._kubelet:
                await self._websocket.send_bytes(message if isinstance(message, bytes) else message.encode())
