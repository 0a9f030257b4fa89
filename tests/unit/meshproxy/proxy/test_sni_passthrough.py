"""TLS that is not ours goes to the cluster its SNI names, unopened."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from certs.ca import CertificateAuthority
from meshproxy.config.model import Direction, Endpoint, FilterChain, FilterChainMatch, Listener, TcpProxy
from meshproxy.config.route import WeightedCluster
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.identity import contexts
from meshproxy.identity.identity import Identity
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, issue, new_authority
from tests.unit.meshproxy.proxy.harness import Mesh, running, snapshot, static_cluster
from tests.unit.meshproxy.proxy.test_http_failure import settled


def chain(cluster: str, *names: str) -> FilterChain:
    network = TcpProxy(cluster, (WeightedCluster(cluster, 1),))
    return FilterChain(cluster, FilterChainMatch(transport_protocol="tls", server_names=names), network)


def listening(*ports: int) -> ConfigSnapshot:
    """`exact.example` to the first port, what else is below `example` to the second."""
    chains = (chain("exact", "exact.example"), chain("suffix", "*.example"))
    listener = Listener("listener", Direction.OUTBOUND, "127.0.0.1", 0, chains, tls_inspector=True)
    clusters = [
        static_cluster(name, Endpoint("127.0.0.1", port))
        for name, port in zip(("exact", "suffix"), ports, strict=True)
    ]
    return snapshot(listener, *clusters)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return new_authority()


async def tls_server(identity: Identity, name: bytes) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name + b" heard " + await reader.readline())
        writer.close()

    context = contexts.server_context(identity, require_client_certificate=False, alpn=())
    return await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)


async def ask(mesh: Mesh, context: ssl.SSLContext, name: str) -> tuple[bytes, str]:
    """(answer, the server's identity) of a TLS connection with that SNI."""
    reader, writer = await asyncio.open_connection("127.0.0.1", mesh.port, ssl=context, server_hostname=name)
    proved = contexts.peer_spiffe_id(writer.get_extra_info("ssl_object"))
    writer.write(b"hello\n")
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await writer.wait_closed()
    return answer, str(proved)


async def test_the_server_name_picks_the_cluster_and_the_client_sees_the_servers_own_certificate(authority):
    web, catalog = issue(authority, WEB), issue(authority, CATALOG)
    one, two = await tls_server(web, b"one"), await tls_server(catalog, b"two")
    ports = [server.sockets[0].getsockname()[1] for server in (one, two)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=web.root_pem.decode())
    async with running(listening(*ports)) as mesh:  # no identity: nothing could be decrypted
        assert await ask(mesh, context, "exact.example") == (b"one heard hello\n", str(WEB))
        assert await ask(mesh, context, "other.example") == (b"two heard hello\n", str(CATALOG))
        assert await ask(mesh, context, "EXACT.example") == (b"one heard hello\n", str(WEB))
        with pytest.raises(ConnectionError):
            await ask(mesh, context, "example")
        assert mesh.refused == [("listener", "no_filter_chain")]
        await settled(lambda: mesh.worker.open_connections == 0)
    for server in (one, two):
        server.close()
        await server.wait_closed()


async def test_a_client_hello_that_comes_byte_by_byte_is_routed_whole(authority):
    catalog = issue(authority, CATALOG)
    server = await tls_server(catalog, b"one")
    port = server.sockets[0].getsockname()[1]
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = contexts.client_context(issue(authority, WEB), alpn=())
    tls = context.wrap_bio(incoming, outgoing, server_hostname="exact.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    async with running(listening(port, port)) as mesh:
        reader, writer = await mesh.connect()
        for byte in outgoing.read():
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        while True:
            data = await asyncio.wait_for(reader.read(65536), 30)
            assert data, "cut during the handshake"
            incoming.write(data)
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            break
        assert contexts.peer_spiffe_id(tls) == CATALOG
        writer.close()
    server.close()
    await server.wait_closed()
