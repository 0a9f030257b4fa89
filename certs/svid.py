"""X.509-SVIDs: a signed leaf with its chain, and reading the identity out of a certificate.

Rules: SPIFFE X.509-SVID standard, sections 2 to 4 (exactly one URI SAN; leaves are no CAs).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs.csr import key_to_pem
from certs.errors import CertificateError, SpiffeIdError
from certs.spiffe_id import SpiffeId


def certificate_to_pem(certificate: x509.Certificate) -> bytes:
    """PEM text of one certificate, ending in a newline."""
    return certificate.public_bytes(Encoding.PEM)


def spiffe_id_of(certificate: x509.Certificate) -> SpiffeId:
    """The identity a certificate states. Raises CertificateError unless it has exactly one URI SAN, a SPIFFE
    id.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as exc:
        raise CertificateError("certificate has no subject alternative name") from exc
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as exc:
        raise CertificateError(f"certificate has extensions that cannot be read: {exc}") from exc
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise CertificateError(f"certificate must have exactly one URI SAN; it has {len(uris)}")
    try:
        return SpiffeId.parse(uris[0])
    except SpiffeIdError as exc:
        raise CertificateError(f"certificate: {exc}") from exc


@dataclass(frozen=True, slots=True)
class Svid:
    """A signed leaf and what a verifier needs beside it."""

    spiffe_id: SpiffeId
    leaf: x509.Certificate
    intermediates: tuple[x509.Certificate, ...]
    """Leaf's issuer first; without the root."""
    root: x509.Certificate

    @property
    def not_before(self) -> float:
        """Seconds since the Unix epoch."""
        return self.leaf.not_valid_before_utc.timestamp()

    @property
    def not_after(self) -> float:
        """Seconds since the Unix epoch."""
        return self.leaf.not_valid_after_utc.timestamp()

    @property
    def chain_pem(self) -> bytes:
        """What a TLS peer is sent: the leaf, then the intermediates; never the root."""
        return b"".join(map(certificate_to_pem, (self.leaf, *self.intermediates)))

    @property
    def root_pem(self) -> bytes:
        """The trust anchor."""
        return certificate_to_pem(self.root)


@dataclass(frozen=True, slots=True)
class KeyedSvid:
    """An SVID together with its private key; for the process that owns the key only."""

    svid: Svid
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def key_pem(self) -> bytes:
        """Unencrypted PKCS#8 PEM."""
        return key_to_pem(self.key)
