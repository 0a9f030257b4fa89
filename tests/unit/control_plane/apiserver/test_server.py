"""Serving over TLS: sockets, certificates, stopping."""

import asyncio
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.apiserver.server import MAX_HEAD, bind, inherit
from control_plane.apiserver.watch import WatchStreams
from control_plane.client import ApiClient
from control_plane.serving_certificate import load_into
from control_plane.store.api import EventStream
from tests.unit.control_plane.apiserver.serving import new_certificate, serving


async def peer_serial(port: int, root: str) -> str:
    """The serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cadata=root)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate = writer.get_extra_info("peercert")
    writer.close()
    await writer.wait_closed()
    return str(certificate["serialNumber"])


async def test_a_renewed_certificate_serves_new_connections_and_old_ones_live_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as serve, ApiClient(serve.config) as client:
        await client.list("Pod")
        port = int(serve.config.server.rpartition(":")[2])
        before = await peer_serial(port, serve.config.ca_pem)
        load_into(serve.tls, new_certificate(serve.authority))
        assert await peer_serial(port, serve.config.ca_pem) != before
        await client.list("Pod")


async def test_a_broken_certificate_is_not_loaded(tmp_path: Path) -> None:
    async with serving(tmp_path) as serve:
        port = int(serve.config.server.rpartition(":")[2])
        keyed, other = new_certificate(serve.authority), new_certificate(serve.authority)
        load_into(serve.tls, keyed)
        before = await peer_serial(port, serve.config.ca_pem)
        with pytest.raises(ssl.SSLError):
            load_into(serve.tls, replace(keyed, key=other.key))
        assert await peer_serial(port, serve.config.ca_pem) == before


async def test_stopping_ends_watches_and_frees_the_port(tmp_path: Path) -> None:
    async with serving(tmp_path) as serve, ApiClient(serve.config) as client:
        events = client.watch("Namespace", resource_version="0")
        assert (await anext(events)).type == "ADDED"
        rest = asyncio.ensure_future(_drain(events))
        async with asyncio.timeout(30):
            await serve.server.stop()
            assert await rest == 2
        await serve.server.stop()
        port = int(serve.config.server.rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def _drain(events: object) -> int:
    return len([event async for event in events])  # type: ignore[attr-defined]


async def test_an_abandoned_watch_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    discard, discarded = WatchStreams.discard, asyncio.Event()

    def noticed(streams: WatchStreams, events: EventStream) -> None:
        discard(streams, events)
        discarded.set()

    monkeypatch.setattr(WatchStreams, "discard", noticed)
    async with serving(tmp_path) as serve:
        async with ApiClient(serve.config) as client:
            events = client.watch("Namespace", resource_version="0")
            await anext(events)
            await events.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            await discarded.wait()


async def test_an_inherited_socket_is_served(tmp_path: Path) -> None:
    parents = bind("127.0.0.1:0")
    address = parents.getsockname()
    listener = inherit(parents.detach())
    assert not listener.get_inheritable()
    assert listener.getsockname() == address
    listener.close()


def test_addresses() -> None:
    with bind("[::1]:0") as listener:
        assert listener.family == socket.AF_INET6
    for wrong in ("127.0.0.1", ":80", "localhost:http"):
        with pytest.raises(ValueError, match="is not host:port"):
            bind(wrong)


async def test_a_head_without_end_is_cut(tmp_path: Path) -> None:
    """It comes before the token: whoever reaches the port could fill the memory."""
    async with serving(tmp_path) as serve:
        context = ssl.create_default_context(cadata=serve.config.ca_pem)
        port = int(serve.config.server.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"a" * MAX_HEAD)
        answer = await asyncio.wait_for(reader.read(), 30)
        assert answer.startswith(b"HTTP/1.1 400 ")
        writer.close()
