"""One GET to the pod's own app, outside the data path: for the kubelet's probes and for the app's metrics.

It comes from 127.0.0.6 (`::6`), as everything the sidecar hands to the app does: the interception leaves
connections from there alone, so that they reach the app and not the sidecar again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import h11

from meshproxy.errors import UpstreamError

_HEAD_BYTES: Final = 65_536
_CHUNK_BYTES: Final = 65_536
_URL_CHARACTERS: Final = "%/:=&?~+!$,;'@()*[]"
_USER_AGENT: Final = "kube-probe/meshproxy"
"""Apps that answer probes by another door know them by the part before the slash."""


@dataclass(frozen=True, slots=True)
class AppAnswer:
    """What the app said; `body` as far as it was asked for."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Names in lower case."""
    body: bytes = b""


def source_address(address: str) -> tuple[str, int]:
    """Where the sidecar dials the app at `address` from; the port is the kernel's choice."""
    return ("::6" if ":" in address else "127.0.0.6", 0)


def authority(address: str, port: int) -> str:
    """`host:port` as URLs have it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def unverified() -> ssl.SSLContext:
    """TLS to the app as the kubelet has it: there is no way to know the app's certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def get(
    address: str,
    port: int,
    path: str,
    headers: Sequence[tuple[str, str]] = (),
    *,
    tls: ssl.SSLContext | None = None,
    max_body_bytes: int = 0,
) -> AppAnswer:
    """GET `path`. More than `max_body_bytes` of body fails; 0 ends the exchange with the head.

    The caller limits the time. Raises UpstreamError for everything that goes wrong.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        reader, writer = await asyncio.open_connection(
            address,
            port,
            ssl=tls,
            server_hostname=None if tls is None else address,
            local_addr=source_address(address),
        )
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        fields = _request_headers(headers, authority(address, port))
        writer.write(connection.send(h11.Request(method="GET", target=_target(path), headers=fields)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        return await _answer(connection, reader, max_body_bytes)
    except (OSError, h11.ProtocolError) as error:
        raise UpstreamError(f"{authority(address, port)}: {error or type(error).__name__}") from error
    finally:
        if writer is not None:
            writer.transport.abort()


async def connect(address: str, port: int) -> None:
    """Open a connection and close it. The caller limits the time. Raises UpstreamError."""
    try:
        _, writer = await asyncio.open_connection(address, port, local_addr=source_address(address))
    except OSError as error:
        raise UpstreamError(f"{authority(address, port)}: {error}") from error
    writer.close()


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader, max_body_bytes: int) -> AppAnswer:
    head: h11.Response | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK_BYTES))
        elif isinstance(event, h11.Response):
            head = event
            if not max_body_bytes:
                return _made(head, b"")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > max_body_bytes:
                raise UpstreamError(f"the answer is longer than {max_body_bytes} bytes")
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return _made(head, bytes(body))


def _made(head: h11.Response, body: bytes) -> AppAnswer:
    fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
    return AppAnswer(head.status_code, fields, body)


def _request_headers(given: Sequence[tuple[str, str]], host: str) -> list[tuple[str, str]]:
    """The pod's headers and the kubelet's defaults. As with the kubelet, a `User-Agent` or `Accept` given
    empty is left out, and the last `Host` counts."""
    named = {name.lower(): value for name, value in given}
    fields = [("Host", named.get("host") or host)]
    for name, default in (("User-Agent", _USER_AGENT), ("Accept", "*/*")):
        if name.lower() not in named:
            fields.append((name, default))
    removable = {"user-agent", "accept"}
    for name, value in given:
        lower = name.lower()
        if lower not in ("host", "connection") and (value or lower not in removable):
            fields.append((name, value))
    return [*fields, ("Connection", "close")]


def _target(path: str) -> str:
    target = quote(path.partition("#")[0], safe=_URL_CHARACTERS)
    return target if target.startswith("/") else f"/{target}"
