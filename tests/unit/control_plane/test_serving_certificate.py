"""The control plane's own certificate: its names, and that servers take up a renewed one."""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import ip_address

import grpc
import pytest
from cryptography import x509

from certs.ca import create_authority
from certs.spiffe_id import TrustDomain
from control_plane.serving_certificate import ServingCertificate, ServingNames, grpc_credentials, load_into

NOW = 1_800_000_000.0
AUTHORITY = create_authority(TrustDomain("cluster.local"), now=NOW).authority


class Wall:
    """A wall clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def serving(wall: Wall) -> ServingCertificate:
    names = ServingNames.with_extra(["10.244.0.2", "mesh.example.org", "localhost", "::1"])
    return ServingCertificate(AUTHORITY, names, ttl=3600, wall_clock=wall)


def test_it_carries_one_identity_and_every_name_once(serving: ServingCertificate) -> None:
    leaf = serving.current().svid.leaf
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["spiffe://cluster.local/ns/meshproxy-system/sa/control-plane"]
    assert names.get_values_for_type(x509.DNSName) == [
        "localhost",
        "control-plane.meshproxy-system.svc",
        "control-plane.meshproxy-system.svc.cluster.local",
        "mesh.example.org",
    ]
    assert names.get_values_for_type(x509.IPAddress) == [
        ip_address(address) for address in ("127.0.0.1", "::1", "10.244.0.2")
    ]


def test_it_stays_the_same_until_half_of_its_life(serving: ServingCertificate, wall: Wall) -> None:
    first = serving.current()
    wall.now += 0.44 * 3600
    assert serving.current() is first
    wall.now += 0.12 * 3600
    assert serving.current() is not first
    assert serving.current().svid.not_after == pytest.approx(wall.now + 3600, abs=1)


def test_a_running_tls_server_presents_what_was_loaded_last(serving: ServingCertificate, wall: Wall) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for _ in range(2):
        keyed = serving.current()
        load_into(context, keyed)
        assert presented_by(context) == keyed.svid.leaf.serial_number
        wall.now += 3600


def presented_by(server_context: ssl.SSLContext) -> int:
    """Serial number that a client is shown."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    der = client.getpeercert(True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


async def test_a_running_grpc_server_presents_the_renewed_certificate(
    serving: ServingCertificate, wall: Wall
) -> None:
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", grpc_credentials(serving, require_client_certificate=False))
    await server.start()
    try:
        first = await presented_on(port)
        again = await presented_on(port)
        wall.now += 3600
        renewed = await presented_on(port)
    finally:
        await server.stop(None)
    assert first == again != renewed
    assert renewed == serving.current().svid.leaf.serial_number


async def presented_on(port: int) -> int:
    """Serial number that a gRPC port shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        der: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    finally:
        writer.transport.abort()
    return x509.load_der_x509_certificate(der).serial_number
