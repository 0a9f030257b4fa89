"""A plain HTTP/1.1 client inside a namespace, which adds nothing to what it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.contract.network_namespace import NetworkNamespace
from tests.parity.h2_fields import by_name
from tests.parity.script import fields_of
from tests.parity.upstream import read_body

TIMEOUT = 20.0
"""Seconds without an answer after which a case has failed."""


@dataclass(frozen=True)
class Reply:
    status: int
    """0: the connection ended without an answer."""
    headers: Mapping[str, tuple[str, ...]]
    """By lower-case name, in order."""
    body: bytes = b""
    trailers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def grpc_status(self) -> str | None:
        """Of a call, whether it stands in trailers or in a head that is all there is."""
        values = self.trailers.get("grpc-status") or self.headers.get("grpc-status")
        return None if values is None else ", ".join(values)

    @property
    def outcome(self) -> int | str:
        """`200`, or `grpc 14`."""
        status = self.grpc_status
        return self.status if status in (None, "0") or self.status != 200 else f"grpc {status}"

    def field(self, name: str) -> str | None:
        """All values of a header; None without it."""
        values = self.headers.get(name.lower())
        return None if values is None else ", ".join(values)


class Connection:
    """One connection; requests follow each other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def exchange(self, request: bytes) -> Reply:
        method = request.split(b" ", 1)[0]
        self._writer.write(request)
        try:
            async with asyncio.timeout(TIMEOUT):
                return await _read_reply(self.reader, method)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return Reply(0, {})

    def close(self) -> None:
        self._writer.close()


@dataclass(frozen=True)
class Tls:
    """What a client trusts, and the server it asks for."""

    context: ssl.SSLContext
    server: str


async def connect(
    network: NetworkNamespace,
    address: str,
    port: int,
    source: str,
    tls: Tls | None = None,
    made: type[Connection] = Connection,
) -> Connection:
    """`source`: the client's own address. Raises OSError, also for a handshake that fails."""
    sock = await asyncio.to_thread(network.connect, address, port, TIMEOUT, source)
    secure = {} if tls is None else {"ssl": tls.context, "server_hostname": tls.server}
    return made(*await asyncio.open_connection(sock=sock, **secure))  # type: ignore[arg-type]


async def _read_reply(reader: asyncio.StreamReader, method: bytes) -> Reply:
    start, fields = fields_of((await reader.readuntil(b"\r\n\r\n"))[:-4])
    headers = by_name((name.lower(), value) for name, value in fields)
    status = int(start.split(" ")[1])
    has_body = method != b"HEAD" and status not in (204, 304)
    return Reply(status, headers, *(await read_body(reader, headers) if has_body else (b"", {})))
