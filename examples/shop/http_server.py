"""A keep-alive HTTP/1.1 server on asyncio's callbacks: one handler, whole bodies, orderly end on SIGTERM."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from examples.shop.http_message import MessageError, Request, Response, format_response, parse_request

Handler: TypeAlias = Callable[[Request], Response | Awaitable[Response]]
_STOP_TIMEOUT = 2.0
"""Seconds that requests in progress get after SIGTERM."""


def json_response(status: int, content: object, **headers: str) -> Response:
    """A response with a JSON body."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return Response(status, body, {"content-type": "application/json", **headers})


class HttpServer:
    """Open connections of one listening socket."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.is_stopping = False
        self.connections: set[_Connection] = set()

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Accept connections; port 0 takes a free one."""
        return await asyncio.get_running_loop().create_server(lambda: _Connection(self), host, port)

    async def stop(self) -> None:
        """Answer what is in progress, then close every connection."""
        self.is_stopping = True
        closing = [connection.finish() for connection in list(self.connections)]
        if closing:
            await asyncio.wait([asyncio.ensure_future(each) for each in closing], timeout=_STOP_TIMEOUT)


class _Connection(asyncio.Protocol):
    """One client; requests are answered one after the other."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._closed.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._advance()

    async def finish(self) -> None:
        """End the connection now, or after the answer that is being made."""
        if self._task is None:
            self._transport.close()
        await self._closed.wait()

    def _advance(self) -> None:
        """Answer what has arrived whole, until a handler has to wait for something."""
        try:
            while self._task is None and (request := parse_request(self._buffer)) is not None:
                answer = self._server.handler(request)
                if isinstance(answer, Response):
                    self._send(request, answer)
                else:
                    task = self._wait(request, answer)
                    self._task = asyncio.get_running_loop().create_task(task)
        except MessageError as error:
            self._transport.write(format_response(json_response(400, {"error": str(error)}), close=True))
            self._transport.close()

    async def _wait(self, request: Request, answer: Awaitable[Response]) -> None:
        try:
            response = await answer
        except Exception as error:  # the client gets an answer whatever the handler does
            response = json_response(500, {"error": f"{type(error).__name__}: {error}"})
        self._task = None
        self._send(request, response)
        self._advance()

    def _send(self, request: Request, response: Response) -> None:
        close = self._server.is_stopping or request.headers.get("connection", "").lower() == "close"
        self._transport.write(format_response(response, is_head=request.method == "HEAD", close=close))
        if close:
            self._transport.close()


async def serve(handler: Handler, port: int, drain: float = 0.0) -> None:
    """Serve on all addresses until SIGTERM or SIGINT, and `drain` seconds longer: who still comes is
    answered, and told to go elsewhere next."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = HttpServer(handler)
    listener = await server.listen("0.0.0.0", port)
    await stop.wait()
    server.is_stopping = True
    await asyncio.sleep(drain)
    listener.close()
    await server.stop()
