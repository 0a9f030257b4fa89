"""TLS as a transport: two ends over a real socket pair, with what peers do to it."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshproxy.transport import socket_option
from meshproxy.transport.tls import TlsConnection, TlsFailure, TlsTruncated


def _write_pair(directory: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = directory / f"{name}.pem", directory / f"{name}-key.pem"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_path, key_path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return _write_pair(tmp_path_factory.mktemp("tls"), "peer")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return _write_pair(tmp_path_factory.mktemp("foreign"), "foreign")


def server_context(pair: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(*pair)
    context.load_verify_locations(pair[0])
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["istio"])
    return context


def client_context(pair: tuple[Path, Path], trusted: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_cert_chain(*pair)
    context.load_verify_locations(trusted)
    context.set_alpn_protocols(["istio"])
    return context


class Recorder(asyncio.Protocol):
    """Keeps what it hears; `keep_open` answers eof_received."""

    def __init__(self, keep_open: bool = True) -> None:
        self.received = b""
        self.keep_open = keep_open
        self.transport: TlsConnection | None = None
        self.eof = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.arrived = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsConnection)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.arrived.set()

    def eof_received(self) -> bool:
        self.eof.set()
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(exc)

    async def until(self, size: int) -> bytes:
        while len(self.received) < size:
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), 30)
        return self.received


class End:
    """One end: the connection, and the future of its handshake."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self.handshake: asyncio.Future[TlsConnection] = asyncio.get_running_loop().create_future()
        self.connection = TlsConnection(
            context,
            server_side=server_side,
            server_name=None if server_side else "outbound_.8080_._.catalog.shop.svc.cluster.local",
            on_established=self.handshake.set_result,
            on_failed=self.handshake.set_exception,
        )

    async def attach(self, protocol: Recorder | None = None) -> Recorder:
        connection = await asyncio.wait_for(self.handshake, 30)
        recorder = protocol or Recorder()
        connection.attach(recorder)
        return recorder


@asynccontextmanager
async def ends(server: ssl.SSLContext, client: ssl.SSLContext) -> AsyncIterator[tuple[End, End]]:
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", 0))
    client_end = End(client, server_side=False)
    server_end = End(server, server_side=True)
    accepted = await loop.create_server(lambda: server_end.connection, sock=listening)
    await loop.create_connection(lambda: client_end.connection, *listening.getsockname())
    try:
        yield server_end, client_end
    finally:
        for end in (server_end, client_end):
            end.connection.abort()
        accepted.close()
        await accepted.wait_closed()
        await asyncio.sleep(0)


Pair = tuple[Path, Path]


async def test_carries_data_both_ways_after_mutual_authentication(pair: Pair):
    async with ends(server_context(pair), client_context(pair, pair[0])) as (server, client):
        at_client, at_server = await client.attach(), await server.attach()
        client.connection.write(b"ping")
        assert await at_server.until(4) == b"ping"
        big = bytes(range(256)) * 8192
        server.connection.write(big)
        assert await at_client.until(len(big)) == big
        assert client.connection.ssl_object.selected_alpn_protocol() == "istio"
        assert client.connection.ssl_object.version() == "TLSv1.3"


async def test_what_arrives_before_attach_is_not_lost(pair: Pair):
    async with ends(server_context(pair), client_context(pair, pair[0])) as (server, client):
        await server.attach()
        server.connection.write(b"first words")
        await asyncio.wait_for(client.handshake, 30)
        await asyncio.sleep(0.05)  # let the bytes arrive at a connection nobody has attached to
        at_client = await client.attach()
        assert await at_client.until(11) == b"first words"


async def test_half_close_ends_one_direction_only(pair: Pair):
    async with ends(server_context(pair), client_context(pair, pair[0])) as (server, client):
        at_client, at_server = await client.attach(), await server.attach()
        client.connection.write(b"last")
        client.connection.write_eof()
        await asyncio.wait_for(at_server.eof.wait(), 30)
        assert at_server.received == b"last"
        server.connection.write(b"answer after your end")
        assert await at_client.until(21) == b"answer after your end"
        server.connection.write_eof()
        await asyncio.wait_for(at_client.eof.wait(), 30)


async def test_an_end_without_close_notify_is_a_truncation(pair: Pair):
    async with ends(server_context(pair), client_context(pair, pair[0])) as (server, client):
        await client.attach()
        at_server = await server.attach()
        client.connection.write(b"half a mess")
        await at_server.until(11)
        client.connection._raw.write_eof()
        error = await asyncio.wait_for(at_server.lost, 30)
        assert isinstance(error, TlsTruncated)
        assert not at_server.eof.is_set()


async def test_a_reset_is_heard_as_a_loss(pair: Pair):
    async with ends(server_context(pair), client_context(pair, pair[0])) as (server, client):
        await client.attach()
        at_server = await server.attach()
        socket_option.reset(client.connection)
        assert isinstance(await asyncio.wait_for(at_server.lost, 30), ConnectionError)


async def test_a_foreign_client_is_refused_by_the_server_and_learns_it_at_its_first_read(
    pair: Pair, foreign: Pair
):
    async with ends(server_context(pair), client_context(foreign, pair[0])) as (server, client):
        with pytest.raises(TlsFailure):
            await asyncio.wait_for(server.handshake, 30)
        at_client = await client.attach()  # TLS 1.3: the client believed itself connected
        error = await asyncio.wait_for(at_client.lost, 30)
        assert isinstance(error, TlsFailure)
        assert not at_client.received


async def test_a_foreign_server_is_refused_by_the_client(pair: Pair, foreign: Pair):
    async with ends(server_context(foreign), client_context(pair, pair[0])) as (server, client):
        with pytest.raises(TlsFailure, match="certificate verify failed"):
            await asyncio.wait_for(client.handshake, 30)
        with pytest.raises(TlsFailure):
            await asyncio.wait_for(server.handshake, 30)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b""])
async def test_garbage_instead_of_a_handshake_fails_and_closes(pair: Pair, garbage: bytes):
    loop = asyncio.get_running_loop()
    end = End(server_context(pair), server_side=True)
    server = await loop.create_server(lambda: end.connection, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(garbage)
    writer.write_eof()
    with pytest.raises(TlsFailure):
        await asyncio.wait_for(end.handshake, 30)
    await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
