"""Serving the REST API over TLS in a loop that is already running, on an address or an inherited socket."""

import asyncio
import socket
import ssl

import uvicorn
from websockets import http11

from control_plane.apiserver.app import RestApp

MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers; it is read before anybody has said who they are."""
GRACEFUL_TIMEOUT = 5
"""Seconds that requests in flight have to end when the server stops."""
http11.MAX_LINE_LENGTH = 1024 * 1024
# A command for a container travels in the request line. h11 has bounded that line already; uvicorn never
# sends what websockets answers to one that it finds too long, 8 KiB, and the client waits for ever.
_CLOSE_TIMEOUT = 0.5
"""Seconds for idle clients to answer the end of TLS; many never do, and asyncio would wait for 30."""
_KEEP_ALIVE = 75
_BACKLOG = 1024


class RestServer:
    """One listening socket. `start`, then `stop`; signals stay the caller's business."""

    def __init__(self, app: RestApp, *, tls: ssl.SSLContext | None) -> None:
        """Without `tls` it serves plain HTTP."""
        self._app = app
        self._config = uvicorn.Config(
            app.asgi,
            http="h11",  # uvicorn does not bound a request's head with its other parser
            h11_max_incomplete_event_size=MAX_HEAD,
            ws="websockets-sansio",  # for pods/exec only
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=GRACEFUL_TIMEOUT,
            backlog=_BACKLOG,
        )
        self._config.load()
        self._config.ssl = tls
        self._server = uvicorn.Server(self._config)
        self._sockets: list[socket.socket] = []

    async def start(self, listener: socket.socket) -> int:
        """Serve on a bound socket, which is the server's from now on; returns its port."""
        listener.setblocking(False)
        self._sockets = [listener]
        # `Server.serve` would take over the process's signals and poll ten times a second.
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.startup(sockets=self._sockets)
        port: int = listener.getsockname()[1]
        return port

    async def stop(self) -> None:
        """End the watches, let other requests finish, close everything. Idempotent."""
        if not self._sockets:
            return
        self._app.streams.close()
        sockets, self._sockets = self._sockets, []
        requests = set(self._server.server_state.tasks)
        stopping = asyncio.ensure_future(self._server.shutdown(sockets=sockets))
        if requests:
            await asyncio.wait(requests, timeout=GRACEFUL_TIMEOUT)
        await asyncio.wait([stopping], timeout=_CLOSE_TIMEOUT)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await stopping


def bind(address: str) -> socket.socket:
    """A listening socket for `host:port` (`[::1]:0` for v6; port 0 chooses). Raises OSError, ValueError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{address!r} is not host:port")
    host = host.removeprefix("[").removesuffix("]")
    return socket.create_server(
        (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_BACKLOG
    )


def inherit(descriptor: int) -> socket.socket:
    """The socket a parent process opened for us. Raises OSError."""
    listener = socket.socket(fileno=descriptor)
    listener.set_inheritable(False)  # children of ours have no business with it
    return listener


def server_context() -> ssl.SSLContext:
    """TLS for `RestServer`, without a certificate yet: `serving_certificate.load_into` gives it each one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # kubectl and curl of any age; sidecars never come here
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
