"""Scripted upstream servers: each endpoint answers as it was told and notes what it got.

All endpoints of a namespace share one listening socket per port; which one was meant is its address.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import replace

from tests.contract.network_namespace import NetworkNamespace
from tests.parity.h2_fields import by_name
from tests.parity.h2_upstream import H2Server
from tests.parity.script import (
    HTTP_PORT,
    NAMED,
    PREFACE,
    TCP_PORT,
    TLS_PORT,
    Answer,
    Endpoint,
    Seen,
    chunked,
    fields_of,
)


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
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if accepted_for is not None:
                accepted_for.open -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (seen := await _read_request(reader)) is not None:
            if (endpoint := await self._note(writer, seen)) is None:
                break
            await _do(endpoint.answer(), seen, endpoint, reader, writer)
        if seen is None:
            await self._serve_h2(reader, writer)

    async def _note(self, writer: asyncio.StreamWriter, seen: Seen) -> Endpoint | None:
        """Whose request it is; looked up for each one: connections to the meshed pod outlive a case."""
        if (endpoint := self._endpoint(writer)) is not None:
            endpoint.seen.append(replace(seen, endpoint=endpoint.name))
            async with self.arrived:
                self.arrived.notify_all()
        return endpoint

    async def _serve_h2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def arrived(seen: Seen) -> tuple[str, Answer, asyncio.Event] | None:
            endpoint = await self._note(writer, seen)
            return None if endpoint is None else (endpoint.name, endpoint.answer(), endpoint.released)

        await H2Server(reader, writer, arrived).serve()


async def _read_request(reader: asyncio.StreamReader) -> Seen | None:
    """None: the client goes on in HTTP/2."""
    head = await reader.readuntil(b"\r\n\r\n")
    if head == PREFACE:
        return None
    start, fields = fields_of(head[:-4])
    headers = by_name((name.lower(), value) for name, value in fields)
    method, target, _ = start.split(" ")
    return Seen("", method, target, headers, *await read_body(reader, headers))


async def read_body(
    reader: asyncio.StreamReader, headers: Mapping[str, tuple[str, ...]]
) -> tuple[bytes, Mapping[str, tuple[str, ...]]]:
    """By content-length or chunks (RFC 9112 section 6); nothing without either. Trailers with it."""
    if "transfer-encoding" not in headers:
        return await reader.readexactly(int(headers.get("content-length", ("0",))[0])), {}
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    trailers = b""
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        trailers += line
    _, fields = fields_of(b"\r\n" + trailers[:-2]) if trailers else ("", [])
    return body, by_name((name.lower(), value) for name, value in fields)


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
        writer.write(
            chunked(answer.body.encode(), answer.trailers) if answer.trailers else answer.body.encode()
        )
    await writer.drain()


def _head(answer: Answer, name: str) -> bytes:
    length = len(answer.body) + (1 if answer.after == "trickle" else 0)
    framing = ("transfer-encoding", "chunked") if answer.trailers else ("content-length", str(length))
    fields = [*answer.headers, (NAMED, name), framing]
    lines = "".join(f"{key}: {value}\r\n" for key, value in fields)
    return f"HTTP/1.1 {answer.status} Scripted\r\n{lines}\r\n".encode()
