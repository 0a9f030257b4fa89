"""TLS at a gateway: certificates by name, rotation, clients that prove themselves, servers that must."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import nullcontext
from dataclasses import replace

import pytest

from meshproxy.config.model import EdgeSettings, Endpoint, FilterChain, FilterChainMatch, Listener, TcpProxy
from meshproxy.config.route import WeightedCluster
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.config.tls import ClientValidation, EdgeTls, OriginTls, SanKind, SanMatch, TlsCertificate
from meshproxy.identity.contexts import load_key_pair
from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    Upstream,
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
)
from tests.unit.meshproxy.proxy.outside import Authority, authority

CA = authority("world")
A = WeightedCluster("a", 1)
REFUSED = (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)
REQUEST = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


def gateway(
    *chains: tuple[tuple[str, ...], EdgeTls], details: tuple[str, ...] = ("uri",), **changes: object
) -> Listener:
    """HTTPS chains by server names."""
    plain = http_listener(A, edge=EdgeSettings(), forward_client_cert=True, client_cert_details=details)
    network = plain.filter_chains[0].network
    made = tuple(
        FilterChain(
            names[0] if names else "",
            FilterChainMatch(transport_protocol="tls", server_names=names),
            network,
            tls,
        )
        for names, tls in chains
    )
    return replace(plain, filter_chains=made, tls_inspector=True, **changes)  # type: ignore[arg-type]


def tls_of(secret: TlsCertificate, **changes: object) -> EdgeTls:
    return EdgeTls(secret.name, ("http/1.1",), **changes)  # type: ignore[arg-type]


def with_secrets(listener: Listener, upstream: Upstream, *secrets: TlsCertificate) -> ConfigSnapshot:
    config = snapshot(listener, static_cluster("a", upstream.endpoint))
    return replace(config, secrets={secret.name: secret for secret in secrets})


async def get(mesh: Mesh, name: str, context: ssl.SSLContext) -> tuple[bytes, ssl.SSLObject]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", mesh.port, ssl=context, server_hostname=name, ssl_handshake_timeout=5
    )
    writer.write(REQUEST)
    answer = await asyncio.wait_for(reader.readuntil(b"hello"), 30)
    found = writer.get_extra_info("ssl_object")
    writer.close()
    return answer, found


async def test_the_server_name_chooses_the_certificate_the_longest_match_first():
    exact, suffix = CA.secret("exact", "a.example"), CA.secret("suffix", "*.w.example")
    seen: list[bytes] = []
    upstream = await Upstream(answering(ok(), seen)).start()
    listener = gateway((("*.w.example",), tls_of(suffix)), (("a.example",), tls_of(exact)))
    async with running(with_secrets(listener, upstream, exact, suffix), codec="strict") as mesh:
        for name, wanted in (("a.example", "a.example"), ("b.w.example", "*.w.example")):
            answer, peer = await get(mesh, name, CA.client())
            assert answer.startswith(b"HTTP/1.1 200 ")
            certificate = peer.getpeercert()
            assert certificate is not None
            assert ("DNS", wanted) in certificate["subjectAltName"]  # type: ignore[operator]
            assert peer.selected_alpn_protocol() is None
        with pytest.raises(REFUSED):
            await get(mesh, "other.test", CA.client())
        assert ("listener", "tls_name_unknown") in mesh.refused
    await upstream.stop()
    assert b"\r\nx-forwarded-proto: https\r\n" in seen[0]
    assert b"x-forwarded-client-cert" not in seen[0]


async def test_plaintext_is_no_https():
    secret = CA.secret("one", "a.example")
    upstream = await Upstream(answering(ok())).start()
    async with running(with_secrets(gateway(((), tls_of(secret))), upstream, secret)) as mesh:
        reader, writer = await mesh.connect()
        writer.write(REQUEST)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(reader.readexactly(1), 30)
        assert mesh.refused == [("listener", "tls_required")]
        writer.close()
    await upstream.stop()


@pytest.mark.parametrize(
    ("version", "works"), [(ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)]
)
async def test_tls_1_2_is_the_least(version, works):
    secret = CA.secret("one", "a.example")
    upstream = await Upstream(answering(ok())).start()
    context = CA.client()
    context.options &= ~ssl.OP_NO_TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with nullcontext() if works else pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = version
    async with running(with_secrets(gateway(((), tls_of(secret))), upstream, secret)) as mesh:
        if works:
            assert (await get(mesh, "a.example", context))[1].version() == "TLSv1.2"
        else:
            with pytest.raises(REFUSED):
                await get(mesh, "a.example", context)
    await upstream.stop()


async def test_a_new_certificate_is_in_the_next_handshake_and_connections_go_on():
    old, new = CA.secret("one", "a.example"), CA.secret("one", "a.example", "new.example")
    upstream = await Upstream(answering(ok())).start()
    listener = gateway(((), tls_of(old)))
    config = with_secrets(listener, upstream, old)
    async with running(config) as mesh:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", mesh.port, ssl=CA.client(), server_hostname="a.example"
        )
        writer.write(REQUEST)
        await asyncio.wait_for(reader.readuntil(b"hello"), 30)
        await mesh.worker.apply(replace(config, secrets={new.name: new}))
        _, peer = await get(mesh, "new.example", CA.client())
        assert peer.getpeercert() is not None
        writer.write(REQUEST)
        assert b"connection: close" not in await asyncio.wait_for(reader.readuntil(b"hello"), 30)
        writer.close()
    await upstream.stop()


async def test_without_its_certificate_a_chain_refuses():
    secret = CA.secret("one", "a.example")
    upstream = await Upstream(answering(ok())).start()
    async with running(with_secrets(gateway(((), tls_of(secret))), upstream)) as mesh:
        with pytest.raises(REFUSED):
            await get(mesh, "a.example", CA.client())
        assert mesh.refused == [("listener", "no_certificate")]
    await upstream.stop()


CLIENTS = authority("clients")
SAN = SanMatch(SanKind.URI, exact="urn:one")


@pytest.mark.parametrize(
    ("validation", "signer", "works"),
    [
        (ClientValidation(CLIENTS.pem), CLIENTS, True),
        (ClientValidation(CLIENTS.pem), CA, False),
        (ClientValidation(CLIENTS.pem), None, False),
        (ClientValidation(CLIENTS.pem, is_required=False), None, True),
        (ClientValidation(CLIENTS.pem, is_required=False), CA, False),
        (ClientValidation(CLIENTS.pem, sans=(SAN,)), CLIENTS, True),
        (ClientValidation(CLIENTS.pem, sans=(replace(SAN, exact="urn:two"),)), CLIENTS, False),
    ],
)
async def test_client_certificates(tmp_path, validation, signer: Authority | None, works):
    secret = CA.secret("one", "a.example")
    seen: list[bytes] = []
    upstream = await Upstream(answering(ok(), seen)).start()
    listener = gateway(((), tls_of(secret, client=validation)), details=("subject", "uri", "dns"))
    context = CA.client()
    if signer is not None:
        own = signer.issue("c.test", common_name='me "x"', uris=("urn:one",))
        context = CA.client(*own, folder=tmp_path)
    async with running(with_secrets(listener, upstream, secret)) as mesh:
        if works:
            await get(mesh, "a.example", context)
        else:
            with pytest.raises(REFUSED):
                await get(mesh, "a.example", context)
    await upstream.stop()
    if works and signer is not None:
        [line] = [line for line in seen[0].split(b"\r\n") if line.startswith(b"x-forwarded-client-cert: ")]
        told = line.partition(b": ")[2].decode()
        assert told.startswith("Hash=")
        assert told.endswith(';Subject="CN=me \\"x\\",O=Outside\\, Inc.";URI=urn:one;DNS=c.test')
    else:
        assert all(b"x-forwarded-client-cert" not in head for head in seen)


async def test_a_name_is_passed_through_undecrypted_beside_one_that_is_terminated():
    secret, inner = CA.secret("one", "a.example"), CA.issue("through.example")
    upstream = await Upstream(answering(ok())).start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    load_key_pair(context, inner[1] + inner[0])
    server = await asyncio.start_server(answering(ok()), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    listener = gateway((("a.example",), tls_of(secret)))
    through = FilterChain(
        "through",
        FilterChainMatch(transport_protocol="tls", server_names=("through.example",)),
        TcpProxy("t", (WeightedCluster("b", 1),)),
    )
    listener = replace(listener, filter_chains=(*listener.filter_chains, through))
    config = with_secrets(listener, upstream, secret)

    config = replace(
        config, clusters={**config.clusters, "b": static_cluster("b", Endpoint("127.0.0.1", port))}
    )
    async with running(config) as mesh:
        for name in ("a.example", "through.example"):
            _, peer = await get(mesh, name, CA.client())
            certificate = peer.getpeercert()
            assert certificate is not None
            assert certificate["subjectAltName"] == (("DNS", name),)
    server.close()
    await server.wait_closed()
    await upstream.stop()


ORIGIN = OriginTls((SanMatch(SanKind.DNS, exact="o.example"),), "o.example", ("http/1.1",), CA.pem)


@pytest.mark.parametrize(
    ("tls", "names", "works"),
    [
        (ORIGIN, ("o.example",), True),
        (replace(ORIGIN, sans=(SanMatch(SanKind.DNS, exact="b.w.example"),)), ("*.w.example",), True),
        (ORIGIN, ("other.example",), False),
        (replace(ORIGIN, trusted_ca=CLIENTS.pem), ("o.example",), False),
        (replace(ORIGIN, trusted_ca=""), ("o.example",), False),  # the system knows nothing of this authority
    ],
)
async def test_servers_outside_the_mesh_prove_a_name(tls, names, works):

    chain, key = CA.issue(*names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_key_pair(context, key + chain)
    seen: list[bytes] = []
    server = await asyncio.start_server(answering(ok(), seen), "127.0.0.1", 0, ssl=context)
    endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    async with running(snapshot(http_listener(A), static_cluster("a", endpoint, tls=tls))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(REQUEST)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        assert head.startswith(b"HTTP/1.1 200 " if works else b"HTTP/1.1 503 ")
        writer.close()
    server.close()
    assert bool(seen) == works
    assert all(b"x-envoy-peer-metadata" not in head for head in seen)
