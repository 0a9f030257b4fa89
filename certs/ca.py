"""The mesh's certificate authority: a self-signed root, an intermediate under it, and what the intermediate
signs.

Leaves are X.509-SVIDs with exactly one URI SAN. DNS and IP names are added for those whom gRPC, kubectl or an
API server verify: by `issue_serving` for the control plane itself, by `sign` where the issuer granted them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.csr import CertificateRequest, generate_key
from certs.errors import CertificateError
from certs.spiffe_id import SpiffeId, TrustDomain
from certs.svid import KeyedSvid, Svid

CLOCK_SKEW: Final = 20.0
"""Seconds a verifier's clock may be behind ours: notBefore lies that far in the past."""

DEFAULT_LEAF_TTL: Final = 24 * 3600.0
"""Seconds; Istio's and Linkerd's default."""

AUTHORITY_TTL: Final = timedelta(days=3650)
"""Root and intermediate: 10 years."""


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """The signing half of the CA. The root's private key is not part of it: it stays in the store."""

    trust_domain: TrustDomain
    root: x509.Certificate
    intermediate: x509.Certificate
    intermediate_key: ec.EllipticCurvePrivateKey = field(repr=False)

    def sign(self, request: CertificateRequest, *, now: float, ttl: float = DEFAULT_LEAF_TTL) -> Svid:
        """An SVID for a verified request. The caller has decided that the requester may have this identity
        and these DNS names.

        `now` is in seconds since the epoch, `ttl` in seconds. Raises CertificateError for a foreign trust
        domain, an id without a path, or a CA that would end before the leaf.
        """
        self._check_identity(request.spiffe_id)
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(request.spiffe_id))]
        names += [x509.DNSName(name) for name in request.dns_names]
        return self._issue(request.spiffe_id, request.public_key, names, now, ttl)

    def issue_serving(
        self,
        spiffe_id: SpiffeId,
        *,
        dns_names: Sequence[str],
        addresses: Sequence[IPv4Address | IPv6Address],
        now: float,
        ttl: float = DEFAULT_LEAF_TTL,
    ) -> KeyedSvid:
        """A new key and certificate for the control plane: one URI SAN plus the names clients dial."""
        self._check_identity(spiffe_id)
        key = generate_key()
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(spiffe_id))]
        names += [x509.DNSName(name) for name in dns_names]
        names += [x509.IPAddress(address) for address in addresses]
        return KeyedSvid(self._issue(spiffe_id, key.public_key(), names, now, ttl), key)

    def _check_identity(self, spiffe_id: SpiffeId) -> None:
        if spiffe_id.trust_domain != self.trust_domain:
            raise CertificateError(f"{spiffe_id} is not of this mesh's trust domain {self.trust_domain}")
        if not spiffe_id.path:
            raise CertificateError(f"{spiffe_id} has no path; a leaf must name a workload")

    def _issue(
        self,
        spiffe_id: SpiffeId,
        public_key: ec.EllipticCurvePublicKey,
        names: list[x509.GeneralName],
        now: float,
        ttl: float,
    ) -> Svid:
        if ttl <= 0:
            raise CertificateError(f"ttl must be above 0 s, not {ttl}")
        not_after = _instant(now + ttl)
        end = min(self.intermediate.not_valid_after_utc, self.root.not_valid_after_utc)
        if not_after > end:
            raise CertificateError(
                f"the CA ends at {end:%Y-%m-%dT%H:%M:%SZ}, before the certificate would; create a new CA"
            )
        builder = _builder(
            x509.Name([]), public_key, self.intermediate.subject, _instant(now - CLOCK_SKEW), not_after
        )
        # Critical, because the subject is empty (RFC 5280, section 4.2.1.6).
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        builder = builder.add_extension(_authority_key_identifier(self.intermediate), critical=False)
        leaf = builder.sign(self.intermediate_key, hashes.SHA256())
        return Svid(spiffe_id, leaf, (self.intermediate,), self.root)


@dataclass(frozen=True, slots=True)
class NewAuthority:
    """What `create_authority` made: the CA, and the root's key for the store."""

    authority: CertificateAuthority
    root_key: ec.EllipticCurvePrivateKey = field(repr=False)


def create_authority(trust_domain: TrustDomain, *, now: float) -> NewAuthority:
    """A new root and intermediate for `trust_domain`; `now` in seconds since the epoch."""
    root_key, intermediate_key = generate_key(), generate_key()
    root_name = _authority_name(trust_domain, "root")
    root = _authority_builder(trust_domain, root_name, root_key, root_name, now, path_length=1).sign(
        root_key, hashes.SHA256()
    )
    name = _authority_name(trust_domain, "intermediate")
    builder = _authority_builder(trust_domain, name, intermediate_key, root_name, now, path_length=0)
    builder = builder.add_extension(_authority_key_identifier(root), critical=False)
    intermediate = builder.sign(root_key, hashes.SHA256())
    return NewAuthority(CertificateAuthority(trust_domain, root, intermediate, intermediate_key), root_key)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)  # X.509 times have whole seconds


def _authority_name(trust_domain: TrustDomain, role: str) -> x509.Name:
    # RFC 5280 bounds a common name to 64 characters; the trust domain stands in full in the URI SAN.
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "meshproxy"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"meshproxy {role} {trust_domain}"[:64]),
        ]
    )


def _authority_builder(
    trust_domain: TrustDomain,
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    now: float,
    path_length: int,
) -> x509.CertificateBuilder:
    begin = _instant(now - CLOCK_SKEW)
    builder = _builder(subject, key.public_key(), issuer, begin, begin + AUTHORITY_TTL)
    # X.509-SVID, section 3.2: a signing certificate should carry its trust domain's id, without a path.
    identity = x509.UniformResourceIdentifier(str(trust_domain.spiffe_id))
    builder = builder.add_extension(x509.SubjectAlternativeName([identity]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    return builder.add_extension(_key_usage(signs_certificates=True), critical=True)


def _builder(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
