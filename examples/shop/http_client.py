"""A keep-alive HTTP/1.1 client on asyncio's callbacks. It never retries: what fails is told."""

import asyncio
from urllib.parse import urlsplit

from examples.shop.http_message import MessageError, Request, Response, format_request, parse_response

_TIMEOUT = 30.0
"""Seconds for one request."""


class RequestFailed(Exception):
    """No whole response came; the message is a short reason."""


class HttpClient:
    """Connections to one server, given as `http://host[:port]`. At most one request at a time on each."""

    def __init__(self, base_url: str, timeout: float = _TIMEOUT) -> None:
        """`timeout`: seconds for one request, connecting included."""
        parts = urlsplit(base_url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"{base_url!r}: must be http://host[:port]")
        self._host, self._port = parts.hostname, parts.port or 80
        self._authority = parts.netloc
        self._timeout = timeout
        self._idle: list[_Connection] = []

    async def get(self, target: str) -> Response:
        """Raises RequestFailed."""
        return await self.send(Request("GET", target))

    async def send(self, request: Request) -> Response:
        """Raises RequestFailed."""
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._connection()
                try:
                    response = await connection.exchange(request, self._authority)
                except BaseException:
                    connection.close()
                    raise
        except TimeoutError as error:
            raise RequestFailed("timeout") from error
        except (OSError, MessageError) as error:
            raise RequestFailed(f"{type(error).__name__}: {error}") from error
        if response.headers.get("connection", "").lower() == "close":
            connection.close()
        else:
            self._idle.append(connection)
        return response

    async def _connection(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        _, made = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        return made

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.is_open = False
        self._buffer = bytearray()
        self._is_head = False
        self._waiter: asyncio.Future[Response] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._waiter is not None and not self._waiter.done():
            how = "reset" if isinstance(exc, ConnectionResetError) else "closed"
            self._waiter.set_exception(RequestFailed(f"connection {how} before a response"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._waiter is None or self._waiter.done():
            self.close()  # bytes that nobody asked for
            return
        try:
            response = parse_response(self._buffer, is_head=self._is_head)
        except MessageError as error:
            self._waiter.set_exception(error)
            return
        if response is not None:
            self._waiter.set_result(response)

    async def exchange(self, request: Request, authority: str) -> Response:
        """Send and wait for the response."""
        self._waiter = asyncio.get_running_loop().create_future()
        self._is_head = request.method == "HEAD"
        self._transport.write(format_request(request, authority))
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """At once; what is unsent is lost."""
        self.is_open = False
        self._transport.abort()
