"""From what the control plane answered to an `Identity`, checked."""

from __future__ import annotations

from typing import Final

from cryptography import x509

from certs.bundle import TrustBundle
from certs.errors import CertificateError
from certs.spiffe_id import SpiffeId
from meshproxy.identity.identity import Identity


class IdentityBuilder:
    """Checks what the control plane answered and makes identities of it, counting generations."""

    def __init__(self, spiffe_id: SpiffeId) -> None:
        self._spiffe_id: Final = spiffe_id
        self._generation = 0

    def build(
        self, chain: list[str], key_pem: bytes, public_key: object, root_pem: bytes, now: float
    ) -> Identity:
        """An identity from a `cert_chain` (leaf first; a trailing root is dropped).

        Raises CertificateError unless the chain leads to `root_pem`, is valid now, carries our id and our
        key.
        """
        certificates = _parse(chain)
        bundle = TrustBundle.parse(root_pem)
        found = bundle.verify(certificates, now)
        if found != self._spiffe_id:
            raise CertificateError(f"control plane issued a certificate for {found}, not {self._spiffe_id}")
        leaf = certificates[0]
        if leaf.public_key() != public_key:
            raise CertificateError("control plane issued a certificate for another key than ours")
        self._generation += 1
        sent = zip(chain, certificates, strict=True)
        return Identity(
            spiffe_id=found,
            generation=self._generation,
            serial_number=leaf.serial_number,
            not_before=leaf.not_valid_before_utc.timestamp(),
            not_after=leaf.not_valid_after_utc.timestamp(),
            chain_pem=b"".join(_line_ended(text) for text, item in sent if item.issuer != item.subject),
            root_pem=bundle.pem,
            key_pem=key_pem,
        )


def _parse(chain: list[str]) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificate(text.encode()) for text in chain)
    except ValueError as exc:
        raise CertificateError(
            f"control plane answered with a certificate that cannot be read: {exc}"
        ) from exc


def _line_ended(pem: str) -> bytes:
    return pem.strip().encode() + b"\n"
