"""The resolver's sockets: UDP and TCP on the loopback addresses of the pod, where its own queries are sent.

Bounded: questions that wait for an answer, connections, what they hold and how long they idle.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final, cast

from meshproxy.dns.message import BadQuery, Query, read_query, write_response
from meshproxy.dns.resolver import Resolver
from meshproxy.tasks import TaskGroupRegistry

_log = logging.getLogger(__name__)

ADDRESSES: Final = ("127.0.0.1", "::1")
"""Where the kernel redirects queries that leave the pod to."""
MAX_WAITING: Final = 1024
"""Questions that others are asked; more are dropped, and asked again by whoever asked."""
_MAX_CONNECTIONS: Final = 64
_MAX_PIPELINED: Final = 16
"""Questions of one connection that wait; reading pauses at that."""
_IDLE_TIMEOUT: Final = 10.0
"""Seconds a TCP client may take for its next question (RFC 7766 section 6.2.3 asks for a few)."""

Respond = Callable[[bytes], None]


class DnsServer:
    """Serves one resolver."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._tasks = TaskGroupRegistry()
        self._waiting = 0
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._listeners: list[asyncio.Server] = []
        self.connections: set[_Connection] = set()

    async def start(self, port: int) -> int:
        """Serve on `port` of both loopback addresses (0: chosen by the kernel), without IPv6 on one. Returns
        the port. Raises OSError."""
        for address in ADDRESSES:
            try:
                port = await self._start(address, port)
            except OSError:
                if ":" not in address:
                    raise
                _log.info("dns: not on %s: no IPv6 there", address)
        return port

    async def _start(self, address: str, port: int) -> int:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = await loop.create_server(lambda: _Connection(self), address, port, family=family)
        self._listeners.append(listener)
        bound = int(listener.sockets[0].getsockname()[1])
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), (address, bound))
        self._datagrams.append(transport)
        return bound

    async def close(self) -> None:
        """Stop serving; questions that wait get no answer."""
        for transport in self._datagrams:
            transport.close()
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.abort()
        await self._tasks.close()

    def on_query(self, data: bytes, respond: Respond, *, over_udp: bool) -> bool:
        """Answer now or later; False when there will be no answer."""
        try:
            query = read_query(data)
        except BadQuery as error:
            if error.response:
                respond(error.response)
            return bool(error.response)
        known = self._resolver.known(query.question)
        if known is not None:
            respond(write_response(query, known[0], over_udp=over_udp, age=known[1]))
            return True
        if self._waiting >= MAX_WAITING:
            return False
        self._waiting += 1
        self._tasks.start(self._ask(query, respond, over_udp), "dns answer")
        return True

    async def _ask(self, query: Query, respond: Respond, over_udp: bool) -> None:
        try:
            found = await self._resolver.ask(query.question)
            respond(write_response(query, found, over_udp=over_udp))
        finally:
            self._waiting -= 1


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None
        self._is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.on_query(data, lambda response: self._send(response, addr), over_udp=True)

    def _send(self, response: bytes, addr: tuple[str, int]) -> None:
        # A full socket buffer costs answers, not memory: they are dropped, and clients ask again.
        if self._transport is not None and not self._is_full and not self._transport.is_closing():
            self._transport.sendto(response, addr)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False

    def error_received(self, exc: Exception) -> None:
        _log.debug("dns: a client went away: %s", exc)


class _Connection(asyncio.Protocol):
    """Questions with their length before each (RFC 1035 section 4.2.2); answers as they come (RFC 7766)."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._waiting = 0
        self._is_full = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._server.connections) >= _MAX_CONNECTIONS:
            self.abort()
            return
        self._server.connections.add(self)
        self._restart_timer()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._take_in()

    def _take_in(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        while not self._is_busy() and len(self._buffer) >= 2:
            end = 2 + int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) < end:
                break
            query = bytes(self._buffer[2:end])
            del self._buffer[:end]
            self._waiting += 1
            if not self._server.on_query(query, self._respond, over_udp=False):
                self.abort()
                return
        self._pace()

    def _is_busy(self) -> bool:
        return self._is_full or self._waiting >= _MAX_PIPELINED

    def _pace(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._is_busy():
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _respond(self, response: bytes) -> None:
        self._waiting -= 1
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(len(response).to_bytes(2, "big") + response)
        self._restart_timer()
        if self._buffer:
            asyncio.get_running_loop().call_soon(self._take_in)
        else:
            self._pace()

    def pause_writing(self) -> None:
        """The client does not read its answers: take no more questions until it does."""
        self._is_full = True
        self._pace()

    def resume_writing(self) -> None:
        self._is_full = False
        self._take_in()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _restart_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_IDLE_TIMEOUT, self.abort)
