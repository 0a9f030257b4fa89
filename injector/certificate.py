"""The injector's certificate: from the mesh's signing service, with the name of its Service, kept fresh.

The first one is asked for with a workload token, each next one with the one before. What was issued is kept
in a private directory: a token is good for one certificate, and a container that starts again has only the
old token.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.bundle import TrustBundle, parse_certificates
from certs.csr import create_csr, generate_key, key_to_pem
from certs.errors import CertificateError
from certs.spiffe_id import SpiffeId, TrustDomain
from certs.store import write_private
from certs.svid import certificate_to_pem
from control_plane.api.istio.v1.auth.ca_pb2 import IstioCertificateRequest
from control_plane.api.istio.v1.auth.ca_pb2_grpc import IstioCertificateServiceStub
from injector.registration import DNS_NAMES, NAMESPACE, SERVICE

CALL_TIMEOUT = 10.0
"""Seconds for one call of the signing service."""
_FILE = "certificate.pem"
_KEY_END = b"-----END PRIVATE KEY-----\n"

_log = logging.getLogger(__name__)


class NotIssued(Exception):
    """No certificate was to be had now; worth trying again."""


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate with its key."""

    key_pem: bytes = field(repr=False)
    chain: tuple[x509.Certificate, ...]
    """Leaf first; the root may be the last."""
    root: x509.Certificate
    """To which it leads."""

    @property
    def chain_pem(self) -> bytes:
        """What a client is shown: without the root."""
        return b"".join(certificate_to_pem(one) for one in self.chain if one != self.root)

    @property
    def dns_names(self) -> list[str]:
        """What callers may know us by."""
        names = self.chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.DNSName)

    @property
    def not_after(self) -> float:
        """Seconds since the epoch."""
        return self.chain[0].not_valid_after_utc.timestamp()


@dataclass(frozen=True, slots=True)
class SigningAddresses:
    """`host:port` of the control plane: with a token (15011), and over mutual TLS (15012)."""

    by_token: str
    by_certificate: str


class CertificateSource:
    """Asks for certificates, one at a time."""

    def __init__(
        self,
        addresses: SigningAddresses,
        trust_domain: TrustDomain,
        *,
        token_file: Path,
        state_directory: Path,
        dns_names: Sequence[str] = DNS_NAMES,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`state_directory` exists and is private; `token_file` is read at each attempt."""
        self._addresses = addresses
        self._dns_names = tuple(dns_names)
        self._identity = SpiffeId.for_workload(trust_domain, NAMESPACE, SERVICE)
        self._token_file = token_file
        self._file = state_directory / _FILE
        self._wall_clock = wall_clock

    def kept(self, trust: TrustBundle) -> IssuedCertificate | None:
        """The certificate of an earlier life, if it is still good."""
        try:
            content = self._file.read_bytes()
            key_pem, end, chain_pem = content.partition(_KEY_END)
            kept = self._checked(key_pem + end, parse_certificates(chain_pem, str(self._file)), trust)
            return kept if set(self._dns_names) <= set(kept.dns_names) else None
        except FileNotFoundError:
            return None
        except (CertificateError, OSError, ValueError, TypeError) as error:
            _log.info("%s is of no use any more: %s", self._file, error)
            return None

    async def next(self, current: IssuedCertificate | None, trust: TrustBundle) -> IssuedCertificate:
        """A new one; `current` vouches for us while it is good, else the token does. Raises NotIssued."""
        if current is not None and self._wall_clock() < current.not_after:
            try:
                return await self._ask(self._addresses.by_certificate, trust, current=current)
            except NotIssued as error:
                _log.warning("%s; trying with the token", error)
        return await self._ask(self._addresses.by_token, trust, current=None)

    async def _ask(
        self, address: str, trust: TrustBundle, *, current: IssuedCertificate | None
    ) -> IssuedCertificate:
        key = generate_key()
        request = IstioCertificateRequest(csr=create_csr(key, self._identity, self._dns_names).decode())
        own = (None, None) if current is None else (current.key_pem, current.chain_pem)
        credentials = grpc.ssl_channel_credentials(trust.pem, *own)
        # A channel of its own: else gRPC would reuse a connection made with another certificate.
        options = [("grpc.use_local_subchannel_pool", 1)]
        try:
            metadata = () if current is not None else (("authorization", f"Bearer {self._token()}"),)
            async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
                stub = IstioCertificateServiceStub(channel)  # type: ignore[no-untyped-call]
                answer = await stub.CreateCertificate(request, metadata=metadata, timeout=CALL_TIMEOUT)
            pems = "".join(answer.cert_chain).encode()
            issued = self._checked(key_to_pem(key), parse_certificates(pems, address), trust)
            self._keep(issued)
        except grpc.aio.AioRpcError as error:
            raise NotIssued(f"{address}: {error.code().name}: {error.details()}") from error
        except (CertificateError, OSError, ValueError, TypeError) as error:
            raise NotIssued(f"{address}: {error}") from error
        return issued

    def _token(self) -> str:
        return self._token_file.read_text().strip()

    def _checked(
        self, key_pem: bytes, chain: tuple[x509.Certificate, ...], trust: TrustBundle
    ) -> IssuedCertificate:
        """Raises CertificateError unless it is ours, for this key, and leads to a trusted root."""
        identity = trust.verify(chain, self._wall_clock())
        if identity != self._identity:
            raise CertificateError(f"it is for {identity}, not for {self._identity}")
        key = load_pem_private_key(key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != chain[0].public_key():
            raise CertificateError("it is for another key")
        return IssuedCertificate(key_pem, chain, _root_of(chain, trust))

    def _keep(self, issued: IssuedCertificate) -> None:
        chain = b"".join(map(certificate_to_pem, issued.chain))
        write_private(self._file, issued.key_pem + chain)


def _root_of(chain: tuple[x509.Certificate, ...], trust: TrustBundle) -> x509.Certificate:
    """The trusted root that has issued the chain."""
    for root in trust.roots:
        with contextlib.suppress(CertificateError):
            TrustBundle((root,)).verify(chain, chain[0].not_valid_before_utc.timestamp())
            return root
    raise CertificateError("chain does not lead to a root of the trust bundle")
