"""A small HTTP/1.1 server for the sidecar's own pages: admin, readiness, Prometheus. Not on the data path.

Framing is h11's; handlers are synchronous and answer with text, given whole or as an iterator of slices.
Between two slices the event loop serves requests, and a reader that is slow stops the iterator, so that no
dump or scrape stalls the proxy. Everything is bounded: head and body size, time to send a request, idle
time, time without progress of a response, connections.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import h11

from meshproxy.routing.table import without_port
from meshproxy.tasks import TaskGroupRegistry

_log = logging.getLogger(__name__)

EVERYWHERE = ""
"""The address to listen on that is every address of the pod, of both families."""
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
"""Host values under which a loopback-only page may be asked for: a web page whose name was rebound to
127.0.0.1 has its own name there.
"""


@dataclass(frozen=True, slots=True)
class HttpServerLimits:
    """Bounds of one server; seconds and bytes."""

    max_head_bytes: int = 16_384
    """A head still incomplete at this size is refused."""
    max_body_bytes: int = 65_536
    """Bodies are read and dropped: no page needs one."""
    request_timeout: float = 10.0
    """From the connection's start or the first byte of a further request to the request's end."""
    idle_timeout: float = 60.0
    """Between requests; above Prometheus' usual scrape interval, so that its connection is kept."""
    stall_timeout: float = 30.0
    """A response that the reader takes nothing of for this long is given up."""
    max_connections: int = 64
    """One more takes the place of one of those who hold the most: nobody keeps the kubelet's probes out."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a handler may look at."""

    method: str
    path: str
    query: Mapping[str, str]
    """The last value of a repeated key."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer; `body` is text, or slices of text made while they are sent."""

    body: str | Iterator[str]
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """A page: its handler, the method it needs (GET allows HEAD too), and a line for the index."""

    handler: Handler
    method: str = "GET"
    help: str = ""
    prepare: Callable[[], Awaitable[Handler | None]] | None = None
    """Awaited before the handler: gathers what it shows from others. None: it is all here. A handler that it
    returns knows what was gathered for this request, and answers in place of the other."""


class HttpServer:
    """One listening socket and its connections."""

    def __init__(
        self,
        routes: Mapping[str, HttpRoute],
        *,
        allowed_hosts: frozenset[str] | None = None,
        limits: HttpServerLimits | None = None,
    ) -> None:
        """`allowed_hosts`: names that Host and Origin may carry, without port; None does not look at them."""
        self.routes = routes
        self.allowed_hosts = allowed_hosts
        self.limits = limits or HttpServerLimits()
        self.connections: dict[_Connection, None] = {}
        """The oldest first."""
        self.tasks = TaskGroupRegistry()
        self._server: asyncio.Server | None = None
        self._without_connections = asyncio.Event()
        self._without_connections.set()

    async def start(self, address: str, port: int) -> int:
        """Listen on `address`, or on all of both families for `EVERYWHERE`; returns the port, chosen by the
        kernel when `port` is 0. Raises OSError."""
        loop = asyncio.get_running_loop()
        if address == EVERYWHERE:
            self._server = await loop.create_server(lambda: _Connection(self), sock=_dual_stack(port))
        else:
            self._server = await loop.create_server(lambda: _Connection(self), address, port)
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is None:
            return
        self._server.close()
        await self.tasks.close()
        for connection in list(self.connections):
            connection.abort()
        await self._without_connections.wait()
        await self._server.wait_closed()
        self._server = None

    def on_connected(self, connection: _Connection) -> bool:
        """Count a new connection; False when there are too many, and none that gives way."""
        if len(self.connections) >= self.limits.max_connections:
            self._make_room(connection.peer)
        self.connections[connection] = None
        self._without_connections.clear()
        return len(self.connections) <= self.limits.max_connections

    def _make_room(self, newcomer: str) -> None:
        """End a connection of the address that has the most, the oldest that asks nothing before others."""
        shares = Counter(one.peer for one in self.connections)
        shares[newcomer] += 1
        [(heaviest, share)] = shares.most_common(1)
        rivals = [one for one in self.connections if share == 1 or one.peer == heaviest]
        found = next((one for one in rivals if one.is_waiting), None)
        if found is None and share > 1 and heaviest != newcomer:
            found = rivals[0]
        if found is not None:
            del self.connections[found]
            found.abort()

    def on_disconnected(self, connection: _Connection) -> None:
        """Forget a connection."""
        self.connections.pop(connection, None)
        if not self.connections:
            self._without_connections.set()

    def respond(
        self, request: HttpRequest, host: str, origin: str, prepared: Handler | None = None
    ) -> HttpResponse:
        """The answer to `request`: routing, the checks around it, and what a failing handler becomes.
        `prepared` answers in place of the route's handler."""
        if not self._is_allowed(host, origin):
            return HttpResponse(f"host {host!r} may not ask here: use localhost\n", 403)
        route = self.routes.get(request.path)
        if route is None:
            return HttpResponse(f"{request.path}: no such page; / lists them\n", 404)
        if ("GET" if request.method == "HEAD" else request.method) != route.method:
            allow = "GET, HEAD" if route.method == "GET" else route.method
            return HttpResponse(f"{request.path} needs {route.method}\n", 405, headers=(("allow", allow),))
        try:
            return (prepared or route.handler)(request)
        except Exception:
            _log.exception("page %s failed", request.path)
            return HttpResponse(f"{request.path} failed; the log says why\n", 500)

    def _is_allowed(self, host: str, origin: str) -> bool:
        """Host stops DNS rebinding; Origin stops a foreign page that posts to the loopback address."""
        if self.allowed_hosts is None:
            return True
        if without_port(host.lower()).strip("[]") not in self.allowed_hosts:
            return False
        try:
            return not origin or urlsplit(origin).hostname in self.allowed_hosts
        except ValueError:
            return False


def _dual_stack(port: int) -> socket.socket:
    """One socket, so that a port of the kernel's choice is one. IPv4 alone where the kernel has no IPv6."""
    try:
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
        return socket.create_server(("0.0.0.0", port))


class _Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other; reading rests while a response is sent."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._limits = server.limits
        self.peer = ""
        """Whose it is: an address."""
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=server.limits.max_head_bytes)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._request: h11.Request | None = None
        self._body_bytes = 0
        self._slices: Iterator[str] | None = None
        self._is_writable = True
        self._is_preparing = False
        """The answer waits for what `HttpRoute.prepare` gathers; nothing more is read meanwhile."""

    @property
    def is_waiting(self) -> bool:
        """For a request, or the rest of one."""
        return self._slices is None and not self._is_preparing

    # --- transport callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without deriving from it
        address = transport.get_extra_info("peername")
        self.peer = str(address[0]) if address else ""
        if self._server.on_connected(self):
            self._arm(self._limits.request_timeout)
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.on_disconnected(self)
        self._transport = None
        self._slices = None
        self._disarm()

    def data_received(self, data: bytes) -> None:
        if self._request is None and self._h11.their_state is h11.IDLE and not self._h11.trailing_data[0]:
            self._arm(self._limits.request_timeout)
        self._h11.receive_data(data)
        self._read()

    def eof_received(self) -> bool:
        self._h11.receive_data(b"")
        self._read()
        return True  # a client that half-closes still gets its answer

    def pause_writing(self) -> None:
        self._is_writable = False
        self._arm(self._limits.stall_timeout)

    def resume_writing(self) -> None:
        self._is_writable = True
        self._arm(self._limits.stall_timeout)
        self._loop.call_soon(self._pump)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- reading ---

    def _read(self) -> None:
        """Take h11's events until a request is complete or bytes are missing."""
        try:
            while (
                self._slices is None
                and not self._is_preparing
                and self._transport is not None
                and self._take_event()
            ):
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, str(error))

    def _take_event(self) -> bool:
        """Act on one event; False when there is nothing more to do for now."""
        assert self._transport is not None
        event = self._h11.next_event()
        if isinstance(event, h11.Request):
            self._request, self._body_bytes = event, 0
            if self._h11.they_are_waiting_for_100_continue:
                self._send(h11.InformationalResponse(status_code=100, headers=[]))
        elif isinstance(event, h11.Data):
            self._body_bytes += len(event.data)
            if self._body_bytes > self._limits.max_body_bytes:
                self._refuse(413, f"body above {self._limits.max_body_bytes} bytes")
                return False
        elif isinstance(event, h11.EndOfMessage):
            self._answer()
        elif isinstance(event, h11.ConnectionClosed):
            self._transport.close()
            return False
        else:
            return False
        return True

    # --- answering ---

    def _answer(self) -> None:
        assert self._request is not None
        headers = dict(self._request.headers)
        path, _, query = self._request.target.decode("latin-1").partition("?")
        request = HttpRequest(self._request.method.decode("latin-1"), path, dict(parse_qsl(query)))
        host, origin = (
            headers.get(b"host", b"").decode("latin-1"),
            headers.get(b"origin", b"").decode("latin-1"),
        )
        route = self._server.routes.get(request.path)
        if route is None or route.prepare is None:
            self._start(self._server.respond(request, host, origin))
        else:
            self._is_preparing = True
            self._disarm()
            self._server.tasks.start(self._prepare(route.prepare, request, host, origin), request.path)

    async def _prepare(
        self, prepare: Callable[[], Awaitable[Handler | None]], request: HttpRequest, host: str, origin: str
    ) -> None:
        """Answer once `prepare` has gathered what the page shows."""
        if self._transport is not None:
            self._transport.pause_reading()
        try:
            prepared = await prepare()
        except Exception:
            _log.exception("page %s failed while it was prepared", request.path)
            self.abort()
            return
        self._is_preparing = False
        if self._transport is not None:
            self._start(self._server.respond(request, host, origin, prepared))

    def _start(self, response: HttpResponse) -> None:
        """Send the head, then the body slice by slice."""
        assert self._transport is not None
        self._transport.pause_reading()
        self._arm(self._limits.stall_timeout)
        headers = [
            ("content-type", response.content_type),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            *response.headers,
        ]
        body = response.body
        if isinstance(body, str):
            headers.append(("content-length", str(len(body.encode()))))
            body = iter((body,))
        reason = HTTPStatus(response.status).phrase.encode()
        self._send(h11.Response(status_code=response.status, headers=headers, reason=reason))
        is_head = self._request is not None and self._request.method == b"HEAD"
        self._slices = iter(()) if is_head else body
        self._pump()

    def _pump(self) -> None:
        """Send one slice; the next one after other connections had their turn."""
        if self._slices is None or not self._is_writable:
            return
        try:
            piece = next(self._slices, None)
        except Exception:
            _log.exception("a page failed while it was sent")
            self.abort()
            return
        if piece is None:
            self._finish()
            return
        self._send(h11.Data(data=piece.encode()))
        if self._is_writable:
            self._arm(self._limits.stall_timeout)
            self._loop.call_soon(self._pump)

    def _finish(self) -> None:
        """The response is complete: keep the connection where both sides may."""
        assert self._transport is not None
        self._slices = None
        self._request = None
        self._send(h11.EndOfMessage())
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            self._transport.close()
            return
        self._h11.start_next_cycle()
        self._arm(self._limits.idle_timeout)
        self._transport.resume_reading()
        self._loop.call_soon(self._read)

    def _refuse(self, status: int, reason: str) -> None:
        """Answer what could not be read as a request, and close."""
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._request = None
            self._start(HttpResponse(f"{reason}\n", status, headers=(("connection", "close"),)))
        else:
            self.abort()

    def _send(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data and self._transport is not None:
            self._transport.write(data)

    # --- time ---

    def _arm(self, seconds: float) -> None:
        """Give the connection `seconds` until the next progress."""
        self._disarm()
        self._timer = self._loop.call_later(seconds, self.abort)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
