"""Reading an identity out of a certificate that somebody else made."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from certs.csr import generate_key
from certs.errors import CertificateError
from certs.svid import spiffe_id_of


def certificate(names: list[x509.GeneralName]) -> x509.Certificate:
    """A self-signed certificate with these SANs."""
    key, begin = generate_key(), datetime(2027, 1, 1, tzinfo=UTC)
    builder = (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


URI = x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/web")


def test_dns_names_beside_the_one_uri_do_not_matter() -> None:
    assert str(spiffe_id_of(certificate([URI, x509.DNSName("localhost")]))) == URI.value


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "no subject alternative name"),
        ([x509.DNSName("localhost")], "has 0"),
        ([URI, URI], "has 2"),
        ([x509.UniformResourceIdentifier("spiffe://UPPER/ns")], "trust domain"),
    ],
)
def test_zero_several_or_bad_uris_are_no_identity(names: list[x509.GeneralName], reason: str) -> None:
    with pytest.raises(CertificateError, match=reason):
        spiffe_id_of(certificate(names))
