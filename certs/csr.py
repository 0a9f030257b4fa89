"""Keys and certificate signing requests.

The mesh uses ECDSA P-256 throughout: small, fast to sign, in every TLS library. A request names exactly one
identity, and perhaps DNS names beside it, which the issuer grants to few; anything else in its SAN is refused
rather than ignored, so that what was asked for and what was signed never differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs.errors import CertificateError, SpiffeIdError
from certs.spiffe_id import SpiffeId

MAX_CSR_BYTES: Final = 16 * 1024
"""A P-256 request with the longest SPIFFE id (2,048 bytes) is below 4 KiB as PEM."""


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What a verified CSR asks for. Its signature was checked: the sender holds the private key."""

    spiffe_id: SpiffeId
    public_key: ec.EllipticCurvePublicKey
    dns_names: tuple[str, ...] = ()
    """What clients that know no SPIFFE ids will call the requester: an API server its webhook."""


def generate_key() -> ec.EllipticCurvePrivateKey:
    """A new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Unencrypted PKCS#8 PEM: only for memory and for files of mode 0600."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def create_csr(key: ec.EllipticCurvePrivateKey, spiffe_id: SpiffeId, dns_names: Sequence[str] = ()) -> bytes:
    """A PEM request for `spiffe_id`, signed by `key`. The subject stays empty: the SAN is the identity."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(spiffe_id))]
    names += [x509.DNSName(name) for name in dns_names]
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def parse_csr(pem: bytes) -> CertificateRequest:
    """Read and verify a PEM request. Raises CertificateError with the rule that it breaks."""
    if len(pem) > MAX_CSR_BYTES:
        raise CertificateError(f"CSR has {len(pem)} bytes; the limit is {MAX_CSR_BYTES}")
    try:
        request = x509.load_pem_x509_csr(pem)
        public_key = request.public_key()
        signed = request.is_signature_valid
        extensions = request.extensions
    except (
        ValueError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as exc:
        raise CertificateError(f"CSR is not a PEM PKCS#10 request that can be read: {exc}") from exc
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(
        public_key.curve, ec.SECP256R1
    ):
        raise CertificateError("CSR key must be ECDSA P-256")
    if not signed:
        raise CertificateError("CSR signature does not match its key")
    spiffe_id, dns_names = _requested_names(extensions)
    return CertificateRequest(spiffe_id, public_key, dns_names)


def _requested_names(extensions: x509.Extensions) -> tuple[SpiffeId, tuple[str, ...]]:
    try:
        names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound as exc:
        raise CertificateError("CSR has no subject alternative name; it must have one URI") from exc
    uris = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    dns_names = tuple(name.value for name in names if isinstance(name, x509.DNSName))
    if len(uris) != 1 or len(uris) + len(dns_names) != len(names):
        raise CertificateError(
            f"CSR must have exactly one URI SAN, and none but DNS names beside it; it has {len(names)} SAN(s)"
        )
    try:
        return SpiffeId.parse(uris[0]), dns_names
    except SpiffeIdError as exc:
        raise CertificateError(f"CSR: {exc}") from exc
