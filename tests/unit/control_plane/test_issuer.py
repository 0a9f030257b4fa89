"""The signing service over real gRPC: who gets a certificate, and why others do not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from cryptography import x509

from certs.bundle import TrustBundle
from certs.ca import CertificateAuthority, create_authority
from certs.csr import create_csr, generate_key, key_to_pem, parse_csr
from certs.spiffe_id import SpiffeId, TrustDomain
from control_plane.api.istio.v1.auth.ca_pb2 import IstioCertificateRequest
from control_plane.api.istio.v1.auth.ca_pb2_grpc import (
    IstioCertificateServiceStub,
    add_IstioCertificateServiceServicer_to_server,
)
from control_plane.issuer import Authenticator, CertificateService, PeerAuthenticator, TokenAuthenticator
from control_plane.serving_certificate import ServingCertificate, ServingNames, grpc_credentials
from control_plane.tokens import TOKEN_AUDIENCE, TokenAuthority
from tests.unit.control_plane.replay_guard import MemoryReplayGuard

MESH = TrustDomain("cluster.local")
WEB = SpiffeId.for_workload(MESH, "shop", "web")
ADMIN = SpiffeId.for_workload(MESH, "shop", "admin")
LEAF_TTL = 3600.0


@dataclass
class Issuer:
    """A running service and the world around it."""

    authority: CertificateAuthority
    tokens: TokenAuthority
    service: CertificateService
    port: int = 0
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)

    def token(
        self, *, account: str = "web", ttl: float = 600, audience: str = TOKEN_AUDIENCE, age: float = 0
    ) -> str:
        return self.tokens.mint(
            namespace="shop",
            service_account=account,
            pod_name="web-1",
            pod_uid="6f1",
            audiences=[audience],
            ttl=ttl,
            now=time.time() - age,
        ).token

    async def create(
        self, csr: bytes, *, token: str = "", ttl: int = 0, credentials: tuple[bytes, bytes] | None = None
    ) -> list[str]:
        """Call over TLS, verified against the root."""
        root = TrustBundle((self.authority.root,)).pem
        key, chain = credentials or (None, None)
        channel = grpc.aio.secure_channel(
            f"localhost:{self.port}",
            grpc.ssl_channel_credentials(root, key, chain),
            options=[("grpc.use_local_subchannel_pool", 1)],
        )
        async with channel:
            stub = IstioCertificateServiceStub(channel)  # type: ignore[no-untyped-call]
            response = await stub.CreateCertificate(
                IstioCertificateRequest(csr=csr.decode(), validity_duration=ttl),
                metadata=(("authorization", f"Bearer {token}"),) if token else (),
                timeout=10,
            )
        return list(response.cert_chain)

    async def refusal(self, csr: bytes, **arguments: object) -> tuple[grpc.StatusCode, str]:
        """Status and reason word of a call that must be refused; it must also have been counted."""
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.create(csr, **arguments)  # type: ignore[arg-type]
        reason = (refused.value.details() or "").partition(":")[0]
        assert self.service.refused == {reason: 1}
        assert self.service.issued == 0
        return refused.value.code(), reason


async def in_use(namespace: str, account: str) -> str | None:
    return None


Start = Callable[..., Awaitable[Issuer]]


@asynccontextmanager
async def serving(issuer: Issuer, *, mutual: bool) -> AsyncIterator[Issuer]:
    server = grpc.aio.server()
    add_IstioCertificateServiceServicer_to_server(issuer.service, server)  # type: ignore[no-untyped-call]
    certificate = ServingCertificate(issuer.authority, ServingNames.with_extra([]))
    issuer.port = server.add_secure_port(
        "127.0.0.1:0", grpc_credentials(certificate, require_client_certificate=mutual)
    )
    await server.start()
    try:
        yield issuer
    finally:
        await server.stop(None)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return create_authority(MESH, now=time.time()).authority


def build(
    authority: CertificateAuthority,
    authenticator: Authenticator | None = None,
    problem: str | None = None,
    dns_names: Mapping[SpiffeId, set[str]] | None = None,
) -> Issuer:
    tokens = TokenAuthority(generate_key(), MemoryReplayGuard())
    asked: list[tuple[str, str, str, str]] = []

    async def workload_exists(*names: str) -> str | None:
        asked.append(names)  # type: ignore[arg-type]
        return problem

    chosen = authenticator or TokenAuthenticator(tokens, MESH, workload_exists)
    service = CertificateService(authority, chosen, leaf_ttl=LEAF_TTL, dns_names=dns_names)
    return Issuer(authority, tokens, service, asked=asked)


@pytest.fixture
async def issuer(authority: CertificateAuthority) -> AsyncIterator[Issuer]:
    async with serving(build(authority), mutual=False) as running:
        yield running


@pytest.fixture
async def renewer(authority: CertificateAuthority) -> AsyncIterator[Issuer]:
    async with serving(build(authority, PeerAuthenticator(in_use)), mutual=True) as running:
        yield running


def chain_of(texts: list[str]) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificate(text.encode()) for text in texts)


def identity_files(
    authority: CertificateAuthority, spiffe_id: SpiffeId = WEB, ttl: float = 600
) -> tuple[bytes, bytes]:
    """Key and chain of a current SVID, as gRPC takes them."""
    key = generate_key()
    svid = authority.sign(parse_csr(create_csr(key, spiffe_id)), now=time.time(), ttl=ttl)
    return key_to_pem(key), svid.chain_pem


class TestFirstCertificate:
    async def test_a_token_and_a_matching_csr_give_a_chain_to_the_root(self, issuer: Issuer) -> None:
        key = generate_key()
        chain = chain_of(await issuer.create(create_csr(key, WEB), token=issuer.token()))
        assert TrustBundle((issuer.authority.root,)).verify(chain[:-1], time.time()) == WEB
        assert chain[0].public_key() == key.public_key()
        assert chain[-1] == issuer.authority.root
        assert issuer.asked == [("shop", "web", "web-1", "6f1")]
        assert issuer.service.issued == 1

    @pytest.mark.parametrize(
        ("wanted", "granted"), [(0, LEAF_TTL), (-5, LEAF_TTL), (60, 60), (10**9, LEAF_TTL)]
    )
    async def test_the_life_is_what_was_asked_for_up_to_the_limit(
        self, issuer: Issuer, wanted: int, granted: float
    ) -> None:
        leaf, *_ = chain_of(
            await issuer.create(create_csr(generate_key(), WEB), token=issuer.token(), ttl=wanted)
        )
        assert leaf.not_valid_after_utc.timestamp() - time.time() == pytest.approx(granted, abs=5)

    async def test_without_a_token_there_is_nothing(self, issuer: Issuer) -> None:
        code, reason = await issuer.refusal(create_csr(generate_key(), WEB))
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "no_token")

    async def test_a_used_token_is_refused(self, issuer: Issuer) -> None:
        token = issuer.token()
        await issuer.tokens.redeem(token, audience=TOKEN_AUDIENCE, now=time.time())
        code, reason = await issuer.refusal(create_csr(generate_key(), WEB), token=token)
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "replayed")

    async def test_an_expired_token_is_refused(self, issuer: Issuer) -> None:
        token = issuer.token(ttl=10, age=11)
        code, reason = await issuer.refusal(create_csr(generate_key(), WEB), token=token)
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "expired")

    async def test_a_foreign_token_is_refused(self, issuer: Issuer) -> None:
        token = build(issuer.authority).token()
        code, reason = await issuer.refusal(create_csr(generate_key(), WEB), token=token)
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "bad_signature")

    async def test_a_token_for_another_audience_is_refused(self, issuer: Issuer) -> None:
        token = issuer.token(audience="vault")
        code, reason = await issuer.refusal(create_csr(generate_key(), WEB), token=token)
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "wrong_audience")

    async def test_a_token_does_not_open_another_identity(self, issuer: Issuer) -> None:
        code, reason = await issuer.refusal(create_csr(generate_key(), ADMIN), token=issuer.token())
        assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "identity_mismatch")

    async def test_a_token_whose_account_cannot_be_an_id_is_refused(self, issuer: Issuer) -> None:
        token = issuer.token(account="web/../admin")
        code, reason = await issuer.refusal(create_csr(generate_key(), WEB), token=token)
        assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "bad_identity")

    @pytest.mark.parametrize("csr", [b"", b"rubbish", b"x" * 20_000])
    async def test_a_csr_that_cannot_be_read_is_refused(self, issuer: Issuer, csr: bytes) -> None:
        code, reason = await issuer.refusal(csr, token=issuer.token())
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "bad_csr")

    @pytest.mark.parametrize("name", ["control-plane.meshproxy-system.svc", "web.shop.svc"])
    async def test_dns_names_are_refused_to_whom_none_were_granted(self, issuer: Issuer, name: str) -> None:
        csr = create_csr(generate_key(), WEB, [name])
        code, reason = await issuer.refusal(csr, token=issuer.token())
        assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "name_not_granted")

    async def test_granted_dns_names_are_in_the_certificate_and_others_are_refused(
        self, authority: CertificateAuthority
    ) -> None:
        granted = {WEB: {"web.shop.svc", "web.shop"}}
        async with serving(build(authority, dns_names=granted), mutual=False) as issuer:
            token = issuer.token()
            await issuer.refusal(create_csr(generate_key(), WEB, ["web.shop.svc", "other"]), token=token)
            csr = create_csr(generate_key(), WEB, ["web.shop.svc"])
            leaf, *_ = chain_of(await issuer.create(csr, token=token))
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["web.shop.svc"]
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [str(WEB)]

    async def test_a_refused_attempt_does_not_use_the_token_up(self, issuer: Issuer) -> None:
        token = issuer.token()
        await issuer.refusal(create_csr(generate_key(), ADMIN), token=token)
        assert await issuer.create(create_csr(generate_key(), WEB), token=token)

    async def test_a_pod_that_is_gone_gets_nothing_and_the_caller_learns_why(
        self, authority: CertificateAuthority
    ) -> None:
        async with serving(build(authority, problem="Pod shop/web-1 is gone"), mutual=False) as issuer:
            token = issuer.token()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await issuer.create(create_csr(generate_key(), WEB), token=token)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert refused.value.details() == "no_such_workload: Pod shop/web-1 is gone"
        assert issuer.service.refused == {"no_such_workload": 1}

    async def test_a_ca_of_another_trust_domain_cannot_sign(self) -> None:
        other = create_authority(TrustDomain("example.org"), now=time.time()).authority
        async with serving(build(other), mutual=False) as issuer:
            code, reason = await issuer.refusal(create_csr(generate_key(), WEB), token=issuer.token())
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "cannot_sign")


class TestRenewal:
    async def test_the_current_svid_gives_the_next_one(self, renewer: Issuer) -> None:
        key = generate_key()
        files = identity_files(renewer.authority)
        chain = chain_of(await renewer.create(create_csr(key, WEB), credentials=files))
        assert TrustBundle((renewer.authority.root,)).verify(chain[:-1], time.time()) == WEB
        assert chain[0].public_key() == key.public_key()

    async def test_an_svid_does_not_open_another_identity(self, renewer: Issuer) -> None:
        files = identity_files(renewer.authority)
        code, reason = await renewer.refusal(create_csr(generate_key(), ADMIN), credentials=files)
        assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "identity_mismatch")

    async def test_an_identity_that_nobody_runs_under_any_more_is_not_renewed(
        self, authority: CertificateAuthority
    ) -> None:
        async def gone(namespace: str, account: str) -> str | None:
            return f"no Pod runs as {namespace}/{account}"

        async with serving(build(authority, PeerAuthenticator(gone)), mutual=True) as issuer:
            code, reason = await issuer.refusal(
                create_csr(generate_key(), WEB), credentials=identity_files(authority)
            )
        assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "no_such_workload")

    async def test_an_identity_that_is_no_workloads_is_not_renewed(self, renewer: Issuer) -> None:
        other = SpiffeId(MESH, "/something/else")
        files = identity_files(renewer.authority, other)
        code, reason = await renewer.refusal(create_csr(generate_key(), other), credentials=files)
        assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "bad_identity")

    async def test_a_token_is_no_substitute_for_a_certificate(self, renewer: Issuer) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await renewer.create(create_csr(generate_key(), WEB), token=renewer.token())
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE  # the handshake failed

    async def test_a_certificate_of_another_ca_is_refused_in_the_handshake(self, renewer: Issuer) -> None:
        foreign = create_authority(MESH, now=time.time()).authority
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await renewer.create(create_csr(generate_key(), WEB), credentials=identity_files(foreign))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE

    async def test_a_certificate_that_expired_on_an_open_connection_is_refused(
        self, authority: CertificateAuthority
    ) -> None:
        issuer = build(authority, PeerAuthenticator(in_use))
        issuer.service = CertificateService(
            authority, PeerAuthenticator(in_use), wall_clock=lambda: time.time() + 601
        )
        async with serving(issuer, mutual=True):
            files = identity_files(authority, ttl=600)
            code, reason = await issuer.refusal(create_csr(generate_key(), WEB), credentials=files)
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "expired")

    async def test_a_service_on_a_port_without_client_certificates_renews_nothing(
        self, authority: CertificateAuthority
    ) -> None:
        async with serving(build(authority, PeerAuthenticator(in_use)), mutual=False) as issuer:
            code, reason = await issuer.refusal(create_csr(generate_key(), WEB))
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "no_client_certificate")
