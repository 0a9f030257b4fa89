"""A kubelet of one container, `app`, that runs commands on this machine; with the lab's TLS."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from control_plane.apiserver.app import RestApp
from control_plane.apiserver.kubelet import KubeletFiles
from control_plane.apiserver.server import RestServer, bind
from control_plane.apiserver.watch import WatchStreams
from control_plane.resources.manifest import Manifest
from lab.entrance import EnteringCommand
from lab.exec_session import ExecRequest, serve_exec
from lab.kubelet_certificates import KubeletAuthority
from lab.kubelet_server import server_context
from lab.paths import LabPaths

NODE = "node-0"


@dataclass
class FakeKubelet:
    """Tells what it was asked."""

    files: KubeletFiles
    port: int
    asked: list[dict[str, str]] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    """Lets a log that is followed go on."""

    def node(self) -> Manifest:
        """The Node to register, without its status."""
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}

    def status(self) -> Manifest:
        return {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
        }

    async def logs(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.asked.append(query)
        if query.get("previous") == "true":
            name = request.path_params["container"]
            return PlainTextResponse(f'previous terminated container "{name}" not found', 400)
        return StreamingResponse(self._lines(query.get("follow") == "true"), media_type="text/plain")

    async def _lines(self, is_followed: bool) -> AsyncIterator[bytes]:
        yield b"first\n"
        if is_followed:
            await self.more.wait()
            yield b"second\n"

    async def exec(self, websocket: WebSocket) -> None:
        request = ExecRequest.of(websocket.query_params.multi_items())
        (protocol,) = websocket.scope["subprotocols"]
        await websocket.accept(subprotocol=protocol)
        await serve_exec(websocket, request, EnteringCommand(list(request.command), dict(os.environ)))


@asynccontextmanager
async def fake_kubelet(directory: Path) -> AsyncIterator[FakeKubelet]:
    authority = KubeletAuthority(LabPaths(directory))
    client = authority.api_server()
    files = KubeletFiles(client.authority, client.pair.certificate, client.pair.key)
    kubelet = FakeKubelet(files, 0)
    routes = [
        Route("/containerLogs/{namespace}/{pod}/{container}", kubelet.logs),
        WebSocketRoute("/exec/{namespace}/{pod}/{container}", kubelet.exec),
    ]
    tls = server_context(authority.node(NODE, [IPv4Address("127.0.0.1")]))
    server = RestServer(RestApp(Starlette(routes=routes), WatchStreams()), tls=tls)
    kubelet.port = await server.start(bind("127.0.0.1:0"))
    try:
        yield kubelet
    finally:
        kubelet.more.set()
        await server.stop()
