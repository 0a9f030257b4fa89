"""The sidecar's signing client against the control plane's signing service: both ports, real TLS."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest

from certs.bundle import TrustBundle
from certs.ca import CertificateAuthority, create_authority
from certs.csr import create_csr, generate_key, key_to_pem
from certs.spiffe_id import SpiffeId, TrustDomain
from control_plane.api.istio.v1.auth.ca_pb2_grpc import add_IstioCertificateServiceServicer_to_server
from control_plane.issuer import CertificateService, PeerAuthenticator, TokenAuthenticator
from control_plane.serving_certificate import ServingCertificate, ServingNames, grpc_credentials
from control_plane.tokens import TOKEN_AUDIENCE, TokenAuthority
from meshproxy.errors import UpstreamError
from meshproxy.identity.builder import IdentityBuilder
from meshproxy.identity.identity import Identity
from meshproxy.identity.signing_client import GrpcSigningClient

MESH = TrustDomain("cluster.local")
WEB = SpiffeId.for_workload(MESH, "shop", "web")


class MemoryReplayGuard:
    def __init__(self) -> None:
        self._held: set[str] = set()

    async def put_once(self, bucket: str, key: str, expires_at: float) -> bool:
        known = key in self._held
        self._held.add(key)
        return not known

    async def forget_expired(self, now: float) -> None:
        """Nothing lives long enough here."""


async def exists(*_: str) -> str | None:
    return None


@dataclass
class ControlPlane:
    """Both ports of one CA."""

    authority: CertificateAuthority
    tokens: TokenAuthority
    signing_port: int
    renewal_port: int

    @property
    def root_pem(self) -> bytes:
        return TrustBundle((self.authority.root,)).pem

    def client(self, host: str = "localhost") -> GrpcSigningClient:
        return GrpcSigningClient(f"{host}:{self.signing_port}", f"{host}:{self.renewal_port}")

    def token(self) -> str:
        return self.tokens.mint(
            namespace="shop",
            service_account="web",
            pod_name="web-1",
            pod_uid="6f1",
            audiences=[TOKEN_AUDIENCE],
            ttl=600,
            now=time.time(),
        ).token

    def identity(self, chain: list[str], key: object) -> Identity:
        return IdentityBuilder(WEB).build(chain, KEY_PEM, key, self.root_pem, time.time())


KEY = generate_key()
KEY_PEM = key_to_pem(KEY)
CSR = create_csr(KEY, WEB)


@asynccontextmanager
async def serve(
    service: CertificateService, certificate: ServingCertificate, *, mutual: bool
) -> AsyncIterator[int]:
    server = grpc.aio.server()
    add_IstioCertificateServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    credentials = grpc_credentials(certificate, require_client_certificate=mutual)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@pytest.fixture
async def control_plane() -> AsyncIterator[ControlPlane]:
    authority = create_authority(MESH, now=time.time()).authority
    tokens = TokenAuthority(generate_key(), MemoryReplayGuard())
    certificate = ServingCertificate(authority, ServingNames.with_extra([]))
    by_token = CertificateService(authority, TokenAuthenticator(tokens, MESH, exists))
    by_peer = CertificateService(authority, PeerAuthenticator(exists))
    async with (
        serve(by_token, certificate, mutual=False) as signing_port,
        serve(by_peer, certificate, mutual=True) as renewal_port,
    ):
        yield ControlPlane(authority, tokens, signing_port, renewal_port)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_sidecar_gets_a_certificate_and_renews_it(control_plane: ControlPlane, host: str) -> None:
    client = control_plane.client(host)
    chain = await client.bootstrap(CSR, token=control_plane.token(), root_pem=control_plane.root_pem)
    first = control_plane.identity(chain, KEY.public_key())
    second = control_plane.identity(await client.renew(CSR, current=first), KEY.public_key())
    assert first.spiffe_id == second.spiffe_id == WEB
    assert first.serial_number != second.serial_number


async def test_a_used_token_is_refused_with_the_reason(control_plane: ControlPlane) -> None:
    token = control_plane.token()
    await control_plane.client().bootstrap(CSR, token=token, root_pem=control_plane.root_pem)
    with pytest.raises(UpstreamError, match="UNAUTHENTICATED: replayed") as refused:
        await control_plane.client().bootstrap(CSR, token=token, root_pem=control_plane.root_pem)
    assert token not in str(refused.value)


async def test_a_control_plane_of_another_ca_never_sees_the_token(control_plane: ControlPlane) -> None:
    other = TrustBundle((create_authority(MESH, now=time.time()).authority.root,)).pem
    token = control_plane.token()
    with pytest.raises(UpstreamError, match="UNAVAILABLE"):
        await control_plane.client().bootstrap(CSR, token=token, root_pem=other)
    claims = await control_plane.tokens.redeem(token, audience=TOKEN_AUDIENCE, now=time.time())
    assert claims.pod_name == "web-1"


async def test_a_workload_cannot_pose_as_the_control_plane(control_plane: ControlPlane) -> None:
    """A server that presents a workload's certificate has no DNS name that the client would accept."""
    client = control_plane.client()
    chain = await client.bootstrap(CSR, token=control_plane.token(), root_pem=control_plane.root_pem)
    workload = control_plane.identity(chain, KEY.public_key())
    server = grpc.aio.server()
    pair = (workload.key_pem, workload.chain_pem)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    try:
        impostor = GrpcSigningClient(f"localhost:{port}", f"localhost:{port}")
        with pytest.raises(UpstreamError, match="UNAVAILABLE"):
            await impostor.bootstrap(CSR, token=control_plane.token(), root_pem=control_plane.root_pem)
    finally:
        await server.stop(None)
