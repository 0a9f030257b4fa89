"""What a peer can do to the mTLS listener: stall, cut, send garbage, or everything in one segment."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import ssl
import struct
from collections.abc import AsyncIterator

import pytest

from certs.ca import CertificateAuthority
from meshproxy.identity import contexts
from meshproxy.proxy.http_connection import HttpServerConnection
from meshproxy.transport import listener as listener_module
from meshproxy.transport.tls import TlsConnection
from tests.unit.meshproxy.identity.mesh import CATALOG, HTTP, WEB, issue, new_authority
from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
)
from tests.unit.meshproxy.proxy.test_http_failure import A, serving, settled
from tests.unit.meshproxy.proxy.test_http_proxy import exchange, read_all
from tests.unit.meshproxy.proxy.test_two_sidecars import inbound, sidecars

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return new_authority()


@contextlib.asynccontextmanager
async def catalog(authority: CertificateAuthority) -> AsyncIterator[Mesh]:
    async with serving(answering(ok())) as app:
        target = ("127.0.0.1", app.port)
        async with running(inbound(app.port), issue(authority, CATALOG), original_dst=target) as mesh:
            yield mesh


class ByHand:
    """A TLS client whose records the test sends as it likes."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = contexts.client_context(issue(authority, WEB), alpn=HTTP).wrap_bio(self._in, self._out)

    def flight(self) -> bytes:
        """The next bytes of the handshake."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._out.read()

    async def finished(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """The last flight of the handshake, not sent yet."""
        writer.write(self.flight())
        while not (last := self.flight()):
            self._in.write(await asyncio.wait_for(reader.read(65536), 30))
        return last

    def sealed(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self._out.read()

    def closed(self) -> bytes:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._out.read()

    def opened(self, data: bytes) -> bytes:
        self._in.write(data)
        plain = b""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while part := self.tls.read():
                plain += part
        return plain


async def test_a_request_in_the_segment_that_ends_the_handshake_is_answered(authority):
    async with catalog(authority) as mesh:
        client = ByHand(authority)
        reader, writer = await mesh.connect()
        last = await client.finished(reader, writer)
        writer.write(last + client.sealed(GET))
        answer = b""
        while not answer.endswith(b"hello"):
            answer += client.opened(await asyncio.wait_for(reader.read(65536), 30))
        writer.close()


async def test_a_request_its_close_notify_and_fin_in_one_segment_end_cleanly(authority):
    async with catalog(authority) as mesh:
        client = ByHand(authority)
        reader, writer = await mesh.connect()
        last = await client.finished(reader, writer)
        writer.write(last + client.sealed(GET) + client.closed())
        writer.write_eof()
        await read_all(reader)
        await settled(lambda: mesh.worker.open_connections == 0)
        assert mesh.live.clusters["inbound"].active_requests == 0
        writer.close()


@pytest.mark.parametrize(
    "garbage",
    [b"\x17\x03\x03\x00\x10" + b"x" * 16, b"GET / HTTP/1.1\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"],
)
async def test_garbage_after_the_handshake_ends_the_connection_only(authority, garbage):
    async with catalog(authority) as mesh:
        client = ByHand(authority)
        reader, writer = await mesh.connect()
        writer.write(await client.finished(reader, writer))
        await settled(lambda: mesh.worker.open_connections == 1)
        writer.write(garbage)
        with contextlib.suppress(ConnectionResetError):
            await read_all(reader)
        await settled(lambda: mesh.worker.open_connections == 0)
        writer.close()


class Handshakes:
    """Those that have begun: a test ends their time as their timers would, whenever it likes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun: list[listener_module._Accepting] = []
        start = listener_module._Accepting._start_tls

        def start_tls(accepting, *arguments):
            self._begun.append(accepting)
            start(accepting, *arguments)

        monkeypatch.setattr(listener_module._Accepting, "_start_tls", start_tls)

    def time_is_over(self, number: int) -> None:
        accepting = self._begun[number]
        assert accepting._timer is not None
        accepting._stop_timer()
        accepting._on_handshake_timeout()


@pytest.mark.parametrize("flights", [0, 1])
async def test_a_handshake_that_stalls_is_cut(authority, monkeypatch, flights):
    if not flights:
        monkeypatch.setattr(listener_module, "_HANDSHAKE_TIMEOUT", 0.1)
    handshakes = Handshakes(monkeypatch)
    async with catalog(authority) as mesh:
        client = ByHand(authority)
        reader, writer = await mesh.connect()
        if flights:
            last = await client.finished(reader, writer)
            writer.write(last[: len(last) // 2])
            handshakes.time_is_over(0)
        else:
            writer.write(client.flight())
        with contextlib.suppress(ConnectionResetError):
            await read_all(reader)
        await settled(lambda: mesh.refused == [("listener", "tls_handshake")])
        writer.close()


async def test_a_client_that_is_gone_before_it_is_asked_where_to_is_no_error():
    def gone(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
        raise OSError(107, "Transport endpoint is not connected")

    async with running(snapshot(http_listener(A), static_cluster("a"))) as mesh:
        services = mesh.worker.listeners._services
        mesh.worker.listeners._services = dataclasses.replace(services, original_dst=gone)
        reader, writer = await mesh.connect()
        with contextlib.suppress(ConnectionResetError):
            assert await read_all(reader) == b""
        writer.close()
        mesh.worker.listeners._services = services
        reader, writer = await mesh.connect()
        assert (await exchange(reader, writer, GET)).startswith(b"HTTP/1.1 503")
        writer.close()


@pytest.mark.parametrize("end", ["abort", "fin", "close_notify", "hello_only", "before_finished"])
async def test_connections_dropped_in_any_way_leave_no_object_behind(authority, end):
    def alive() -> int:
        return sum(isinstance(o, (TlsConnection, HttpServerConnection)) for o in gc.get_objects())

    async def drop() -> None:
        client = ByHand(authority)
        reader, writer = await mesh.connect()
        if end == "hello_only":
            writer.write(client.flight())
        else:
            last = await client.finished(reader, writer)
            if end != "before_finished":
                writer.write(last + client.sealed(GET))
                client.opened(await reader.read(65536))
            if end == "close_notify":
                writer.write(client.closed())
        if end in ("abort", "before_finished"):
            writer.transport.abort()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with catalog(authority) as mesh:
        await drop()
        gc.collect()
        gc.disable()  # whatever only the collector could free is a cycle: memory that grows with connections
        try:
            for _ in range(20):
                await drop()
            await settled(lambda: mesh.worker.open_connections == 0)
            await settled(lambda: alive() <= 2)
        finally:
            gc.enable()


async def test_upstream_tls_connections_leave_no_object_behind(authority):
    def alive() -> int:
        return sum(isinstance(o, TlsConnection) for o in gc.get_objects())

    async with (
        serving(answering(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")) as app,
        sidecars(authority, app) as pair,
    ):
        pair.catalog.worker.begin_drain()  # each exchange ends its connection
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                reader, writer = await pair.web.connect()
                await exchange(reader, writer, GET)
                writer.close()
            await settled(lambda: alive() == 0)
        finally:
            gc.enable()


async def test_large_bodies_both_ways_at_once_through_mtls_do_not_stop_each_other(authority):
    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % left)
        while left:
            data = await reader.read(65536)
            left -= len(data)
            writer.write(data)
            await writer.drain()

    total = 8 * 1024 * 1024
    async with serving(mirror) as app, sidecars(authority, app) as pair:

        async def one() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", pair.web.port, limit=4096)
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: %d\r\n\r\n" % total)

            async def send() -> None:
                for number in range(total // 65536):
                    writer.write(struct.pack(">I", number) * 16384)
                    await writer.drain()

            sending = asyncio.create_task(send())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            for number in range(total // 65536):
                assert await reader.readexactly(65536) == struct.pack(">I", number) * 16384
            await sending
            writer.close()

        async with asyncio.timeout(20):
            await asyncio.gather(one(), one(), one())
