"""Scripted upstream servers: each endpoint answers as it was told and notes what it got.

All endpoints of a namespace share one listening socket per port; which one was meant is its address.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.contract.network_namespace import NetworkNamespace

HTTP_PORT, TCP_PORT, TLS_PORT = 8080, 9000, 9443
NAMED = "x-upstream"
"""Response header with the endpoint's name."""


@dataclass(frozen=True)
class Answer:
    """What an endpoint does with one request."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    after: str = "answer"
    """`answer`; `reset` and `hang` never answer; `hold` answers what asks for `/hold` when it is released;
    `trickle` answers the head only."""


RESET, HANG, HOLD, TRICKLE = (Answer(after=what) for what in ("reset", "hang", "hold", "trickle"))
OK = Answer()


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    endpoint: str
    method: str
    target: str
    headers: Mapping[str, tuple[str, ...]]
    """By lower-case name, in order."""
    body: bytes


@dataclass
class Endpoint:
    """One endpoint's script: answers in turn, the last one for ever."""

    name: str
    script: Sequence[Answer]
    seen: list[Seen] = field(default_factory=list)
    accepted: int = 0
    """Connections so far."""
    open: int = 0
    """Connections now."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _next: int = 0

    def answer(self) -> Answer:
        chosen = self.script[min(self._next, len(self.script) - 1)]
        self._next += 1
        return chosen


class Upstreams:
    """The servers of one namespace."""

    def __init__(self) -> None:
        self._by_address: dict[str, Endpoint] = {}
        self._servers: list[asyncio.Server] = []
        self.arrived = asyncio.Condition()
        """Notified of every request."""

    async def start(self, network: NetworkNamespace, tls: ssl.SSLContext) -> None:
        """`tls`: of the port on which HTTP is served over TLS."""
        serving = ((HTTP_PORT, self._serve_http, None), (TCP_PORT, self._greet, None))
        for port, handler, context in (*serving, (TLS_PORT, self._serve_http, tls)):
            listening = network.listen("0.0.0.0", port)
            self._servers.append(await asyncio.start_server(handler, sock=listening, ssl=context))

    def stop(self) -> None:
        for server in self._servers:
            server.close()

    def script(self, address: str, endpoint: Endpoint) -> None:
        """From now on `address` is this endpoint."""
        self._by_address[address] = endpoint

    def forget(self, address: str) -> None:
        del self._by_address[address]

    def _endpoint(self, writer: asyncio.StreamWriter) -> Endpoint | None:
        return self._by_address.get(writer.get_extra_info("sockname")[0])

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A protocol in which the server speaks first."""
        endpoint = self._endpoint(writer)
        if endpoint is not None:
            writer.write(endpoint.name.encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
        writer.close()

    async def _serve_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted_for = self._endpoint(writer)
        if accepted_for is not None:
            accepted_for.accepted += 1
            accepted_for.open += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                seen = await _read_request(reader)
                # Looked up for each request: connections to the meshed pod outlive a case.
                if (endpoint := self._endpoint(writer)) is None:
                    break
                seen = replace(seen, endpoint=endpoint.name)
                answer = endpoint.answer()
                endpoint.seen.append(seen)
                async with self.arrived:
                    self.arrived.notify_all()
                await _do(answer, seen, endpoint, reader, writer)
        if accepted_for is not None:
            accepted_for.open -= 1
        writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head[:-4].split("\r\n")
    headers: dict[str, tuple[str, ...]] = {}
    for line in lines:
        key, _, value = line.partition(":")
        headers[key.lower()] = (*headers.get(key.lower(), ()), value.strip())
    method, target, _ = start.split(" ")
    return Seen("", method, target, headers, await read_body(reader, headers))


async def read_body(reader: asyncio.StreamReader, headers: Mapping[str, tuple[str, ...]]) -> bytes:
    """By content-length or chunks (RFC 9112 section 6); nothing without either."""
    if "transfer-encoding" not in headers:
        return await reader.readexactly(int(headers.get("content-length", ("0",))[0]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body


async def _do(
    answer: Answer,
    seen: Seen,
    endpoint: Endpoint,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    match answer.after:
        case "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            raise ConnectionResetError
        case "hang":
            await reader.read()
            raise ConnectionResetError
        case "hold" if seen.target == "/hold":
            await endpoint.released.wait()
    writer.write(_head(answer, endpoint.name))
    if answer.after == "trickle":
        await reader.read()
        raise ConnectionResetError
    if seen.method != "HEAD":
        writer.write(answer.body.encode())
    await writer.drain()


def _head(answer: Answer, name: str) -> bytes:
    length = len(answer.body) + (1 if answer.after == "trickle" else 0)
    fields = [*answer.headers, (NAMED, name), ("content-length", str(length))]
    lines = "".join(f"{key}: {value}\r\n" for key, value in fields)
    return f"HTTP/1.1 {answer.status} Scripted\r\n{lines}\r\n".encode()
