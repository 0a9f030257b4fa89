"""Certificate signing requests: one identity, proven possession of the key, nothing else."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from certs.csr import MAX_CSR_BYTES, create_csr, generate_key, key_to_pem, parse_csr
from certs.errors import CertificateError
from certs.spiffe_id import SpiffeId, TrustDomain

WEB = SpiffeId.for_workload(TrustDomain("cluster.local"), "shop", "web")


def request(
    names: list[x509.GeneralName], key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None
) -> bytes:
    """A PEM CSR with these SANs."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key or generate_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


def test_what_was_asked_for_is_read_back() -> None:
    key = generate_key()
    parsed = parse_csr(create_csr(key, WEB))
    assert parsed.spiffe_id == WEB
    assert parsed.public_key == key.public_key()


def test_dns_names_are_read_back() -> None:
    parsed = parse_csr(create_csr(generate_key(), WEB, ["web.shop.svc", "web.shop"]))
    assert (parsed.spiffe_id, parsed.dns_names) == (WEB, ("web.shop.svc", "web.shop"))


def test_the_private_key_is_not_in_the_request() -> None:
    key = generate_key()
    assert b"PRIVATE" not in create_csr(key, WEB)
    assert b"PRIVATE" in key_to_pem(key)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "no subject alternative name"),
        ([x509.DNSName("control-plane.meshproxy-system.svc")], "exactly one URI SAN"),
        ([x509.UniformResourceIdentifier(str(WEB)), x509.RFC822Name("a@b.c")], "exactly one URI SAN"),
        ([x509.UniformResourceIdentifier(str(WEB))] * 2, "exactly one URI SAN"),
        ([x509.UniformResourceIdentifier("https://cluster.local/ns/shop/sa/web")], "must begin with"),
    ],
)
def test_anything_but_one_spiffe_uri_is_refused(names: list[x509.GeneralName], reason: str) -> None:
    with pytest.raises(CertificateError, match=reason):
        parse_csr(request(names))


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
    ids=["p384", "rsa"],
)
def test_other_keys_are_refused(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    with pytest.raises(CertificateError, match="P-256"):
        parse_csr(request([x509.UniformResourceIdentifier(str(WEB))], key))


def test_a_request_changed_on_its_way_is_refused() -> None:
    der = x509.load_pem_x509_csr(create_csr(generate_key(), WEB)).public_bytes(Encoding.DER)
    forged = x509.load_der_x509_csr(der.replace(b"/sa/web", b"/sa/adm"))
    with pytest.raises(CertificateError, match="signature"):
        parse_csr(forged.public_bytes(Encoding.PEM))


@pytest.mark.parametrize("pem", [b"", b"no pem", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
def test_rubbish_is_refused(pem: bytes) -> None:
    with pytest.raises(CertificateError, match=r"cannot be|can be read"):
        parse_csr(pem)


def test_a_huge_request_is_refused_unread() -> None:
    with pytest.raises(CertificateError, match="limit"):
        parse_csr(b"x" * (MAX_CSR_BYTES + 1))
