"""Trust bundles: the roots a workload believes, and verifying a chain against them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from certs.errors import CertificateError
from certs.limit import MAX_BUNDLE_BYTES
from certs.spiffe_id import SpiffeId
from certs.svid import certificate_to_pem, spiffe_id_of

MAX_CHAIN_LENGTH: Final = 8
"""Certificates between leaf and root, both included: far above any real chain, so that the search is bounded.
"""


def parse_certificates(pem: bytes, what: str) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM text, in order, at least one. `what` names the text in errors. Raises
    CertificateError.
    """
    if len(pem) > MAX_BUNDLE_BYTES:
        raise CertificateError(f"{what} has {len(pem)} bytes; the limit is {MAX_BUNDLE_BYTES}")
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as exc:
        raise CertificateError(f"{what} holds no readable PEM certificates: {exc}") from exc


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """The roots of one trust domain; several while a root is being replaced."""

    roots: tuple[x509.Certificate, ...]

    def __post_init__(self) -> None:
        if not self.roots:
            raise CertificateError("trust bundle is empty; it needs at least one root certificate")
        for root in self.roots:
            if not _is_authority(root):
                raise CertificateError(
                    f"trust bundle: {root.subject.rfc4514_string()!r} is not a CA certificate"
                )

    @classmethod
    def parse(cls, pem: bytes, what: str = "trust bundle") -> TrustBundle:
        """Raises CertificateError; `what` names the source, e.g. the file."""
        return cls(parse_certificates(pem, what))

    @property
    def pem(self) -> bytes:
        """All roots as one PEM text."""
        return b"".join(map(certificate_to_pem, self.roots))

    def verify(self, chain: tuple[x509.Certificate, ...], now: float) -> SpiffeId:
        """The identity of `chain[0]` when the chain (leaf first, a trailing root is allowed) leads to a root
        of ours.

        For checking what the control plane sent; TLS peers are verified by OpenSSL. `now` is in seconds since
        the epoch. Raises CertificateError.
        """
        if not 0 < len(chain) <= MAX_CHAIN_LENGTH:
            raise CertificateError(
                f"chain has {len(chain)} certificates; it must have 1 to {MAX_CHAIN_LENGTH}"
            )
        instant = datetime.fromtimestamp(now, UTC)
        for position, certificate in enumerate(chain):
            _check_time(certificate, instant)
            if (root := self._issuer_of(certificate)) is not None:
                _check_time(root, instant)
                return spiffe_id_of(chain[0])
            if position + 1 == len(chain) or not _has_issued(chain[position + 1], certificate):
                break
        raise CertificateError("chain does not lead to a root of the trust bundle")

    def _issuer_of(self, certificate: x509.Certificate) -> x509.Certificate | None:
        return next((root for root in self.roots if _has_issued(root, certificate)), None)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    if not _is_authority(issuer):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _check_time(certificate: x509.Certificate, instant: datetime) -> None:
    if not certificate.not_valid_before_utc <= instant <= certificate.not_valid_after_utc:
        raise CertificateError(
            f"certificate {certificate.subject.rfc4514_string()!r} is valid from "
            f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ} to "
            f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}; now is {instant:%Y-%m-%dT%H:%M:%SZ}: "
            "check this machine's clock"
        )
