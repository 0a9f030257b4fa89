"""The certificate-signing service: who asks, may they have this identity, then the CA signs.

Two ways to say who asks, one per port, because gRPC cannot make a client certificate optional: a workload
token (15011, the first certificate) or the current SVID (15012, renewal). The CSR must ask for exactly the
identity of the caller; DNS names are granted only to those whom an API server must know by one, such as the
injector. Every refusal has a status, a stable reason, a line in the log and a counter. An
attempt that is refused for another reason does not use up its token.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import grpc
from cryptography import x509

from certs.ca import DEFAULT_LEAF_TTL, CertificateAuthority
from certs.csr import MAX_CSR_BYTES, CertificateRequest, parse_csr
from certs.errors import CertificateError, SpiffeIdError
from certs.spiffe_id import SpiffeId, TrustDomain
from certs.svid import Svid, certificate_to_pem, spiffe_id_of
from control_plane.api.istio.v1.auth.ca_pb2 import IstioCertificateRequest, IstioCertificateResponse
from control_plane.api.istio.v1.auth.ca_pb2_grpc import IstioCertificateServiceServicer
from control_plane.tokens import TokenClaims, TokenRefused, WorkloadTokens

_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[IstioCertificateRequest, IstioCertificateResponse]

WorkloadExists = Callable[[str, str, str, str], Awaitable[str | None]]
"""`(namespace, service_account, pod_name, pod_uid)`: None when that Pod runs as that account, else why not.
"""

AccountInUse = Callable[[str, str], Awaitable[str | None]]
"""`(namespace, service_account)`: None when the account exists and some Pod runs as it, else why not."""


class Refused(Exception):
    """A request that gets no certificate. `reason` is a stable word for metrics; the message goes to the
    caller.
    """

    def __init__(self, status: grpc.StatusCode, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, proven."""

    spiffe_id: SpiffeId
    description: str
    """For the log: which Pod, or which certificate."""
    admit: Callable[[], Awaitable[None]]
    """Last checks, made when the CSR has proved acceptable; raises Refused."""


class Authenticator(Protocol):
    """One way to find out who asks."""

    async def authenticate(self, context: Context, now: float) -> Caller:
        """Raises Refused. `now` is in seconds since the epoch."""
        ...


class TokenAuthenticator:
    """15011: a workload token, as metadata `authorization: Bearer …` over server-verified TLS."""

    def __init__(
        self, tokens: WorkloadTokens, trust_domain: TrustDomain, workload_exists: WorkloadExists
    ) -> None:
        self._tokens = tokens
        self._trust_domain = trust_domain
        self._workload_exists = workload_exists

    async def authenticate(self, context: Context, now: float) -> Caller:
        """The identity of the Pod that the token is bound to."""
        try:
            claims = await self._tokens.claims(_bearer_token(context), now=now)
            identity = SpiffeId.for_workload(self._trust_domain, claims.namespace, claims.service_account)
        except TokenRefused as exc:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, exc.reason, str(exc)) from exc
        except SpiffeIdError as exc:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, "bad_identity", str(exc)) from exc
        return Caller(identity, f"Pod {claims.namespace}/{claims.pod_name}", lambda: self._admit(claims, now))

    async def _admit(self, claims: TokenClaims, now: float) -> None:
        problem = await self._workload_exists(
            claims.namespace, claims.service_account, claims.pod_name, claims.pod_uid
        )
        if problem is not None:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, "no_such_workload", problem)
        try:
            await self._tokens.spend(claims, now=now)
        except TokenRefused as exc:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, exc.reason, str(exc)) from exc


class PeerAuthenticator:
    """15012: the SVID of the mTLS connection, which gRPC has verified against the root.

    An identity that nobody runs under any more is not renewed: else a stolen key would be good for ever.
    """

    def __init__(self, account_in_use: AccountInUse) -> None:
        self._account_in_use = account_in_use

    async def authenticate(self, context: Context, now: float) -> Caller:
        """The identity of the client certificate, which may have expired since the handshake."""
        pem = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
        if pem is None:
            raise Refused(
                grpc.StatusCode.UNAUTHENTICATED,
                "no_client_certificate",
                "renewal needs the current certificate",
            )
        certificate = x509.load_pem_x509_certificate(pem)
        if now >= certificate.not_valid_after_utc.timestamp():
            raise Refused(
                grpc.StatusCode.UNAUTHENTICATED,
                "expired",
                "the certificate of this connection has expired; begin again with a token",
            )
        try:
            identity = spiffe_id_of(certificate)
        except CertificateError as exc:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, "bad_identity", str(exc)) from exc
        holder = f"holder of certificate {certificate.serial_number:x}"
        return Caller(identity, holder, lambda: self._admit(identity))

    async def _admit(self, identity: SpiffeId) -> None:
        namespace, account = identity.namespace, identity.service_account
        if namespace is None or account is None:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, "bad_identity", f"{identity} is no workload's")
        if (problem := await self._account_in_use(namespace, account)) is not None:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, "no_such_workload", problem)


class CertificateService(IstioCertificateServiceServicer):
    """`istio.v1.auth.IstioCertificateService` for `grpc.aio`; one instance per port.

    `leaf_ttl` (seconds) is the life granted to who asks for none, and the longest that anybody gets. `issued`
    and `refused` (by reason) only grow; the control plane's metrics read them.
    """

    def __init__(
        self,
        authority: CertificateAuthority,
        authenticator: Authenticator,
        *,
        leaf_ttl: float = DEFAULT_LEAF_TTL,
        dns_names: Mapping[SpiffeId, Collection[str]] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`dns_names`: what each identity may be called beside its own name; nobody else gets any."""
        self._dns_names = dns_names or {}
        self._authority = authority
        self._authenticator = authenticator
        self._leaf_ttl = leaf_ttl
        self._wall_clock = wall_clock
        self.issued = 0
        self.refused: Counter[str] = Counter()

    async def CreateCertificate(
        self, request: IstioCertificateRequest, context: Context
    ) -> IstioCertificateResponse:
        """Sign `request.csr`; the chain comes leaf first and root last."""
        try:
            svid = await self._create(request, context)
        except Refused as exc:
            self.refused[exc.reason] += 1
            _log.warning("certificate refused to %s: %s (%s)", context.peer(), exc, exc.reason)
            await context.abort(exc.status, f"{exc.reason}: {exc}")
        self.issued += 1
        chain = (svid.leaf, *svid.intermediates, svid.root)
        return IstioCertificateResponse(cert_chain=[certificate_to_pem(item).decode() for item in chain])

    async def _create(self, request: IstioCertificateRequest, context: Context) -> Svid:
        now = self._wall_clock()
        caller = await self._authenticator.authenticate(context, now)
        wanted = _parse(request.csr)
        if wanted.spiffe_id != caller.spiffe_id:
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED,
                "identity_mismatch",
                f"{caller.description} is {caller.spiffe_id} and may not become {wanted.spiffe_id}",
            )
        self._check_names(caller, wanted)
        await caller.admit()
        try:
            svid = self._authority.sign(wanted, now=now, ttl=self._granted_ttl(request.validity_duration))
        except CertificateError as exc:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "cannot_sign", str(exc)) from exc
        _log.info("issued %s to %s until %d", svid.spiffe_id, caller.description, svid.not_after)
        return svid

    def _check_names(self, caller: Caller, wanted: CertificateRequest) -> None:
        """Raises Refused for DNS names that are not the caller's."""
        refused = sorted(set(wanted.dns_names).difference(self._dns_names.get(caller.spiffe_id, ())))
        if refused:
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED,
                "name_not_granted",
                f"{caller.description} may not be called {', '.join(refused)}",
            )

    def _granted_ttl(self, wanted: int) -> float:
        return min(float(wanted), self._leaf_ttl) if wanted > 0 else self._leaf_ttl


def _bearer_token(context: Context) -> str:
    """The one bearer token of the call's metadata. Raises Refused."""
    values = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    match values:
        case [str(value)] if value.startswith("Bearer "):
            return value.removeprefix("Bearer ").strip()
        case _:
            raise Refused(
                grpc.StatusCode.UNAUTHENTICATED,
                "no_token",
                "the call needs one metadata entry `authorization: Bearer <workload token>`",
            )


def _parse(pem: str) -> CertificateRequest:
    try:
        if len(pem) > MAX_CSR_BYTES:  # before encoding makes a copy
            raise CertificateError(f"CSR has {len(pem)} characters; the limit is {MAX_CSR_BYTES}")
        return parse_csr(pem.encode())
    except CertificateError as exc:
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "bad_csr", str(exc)) from exc
