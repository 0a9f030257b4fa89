"""The CA: what its certificates say, and what it refuses to sign."""

import itertools
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.bundle import TrustBundle
from certs.ca import CLOCK_SKEW, CertificateAuthority, create_authority
from certs.csr import create_csr, generate_key, parse_csr
from certs.errors import CertificateError
from certs.spiffe_id import SpiffeId, TrustDomain
from certs.svid import Svid, spiffe_id_of

NOW = 1_800_000_000.0
MESH = TrustDomain("cluster.local")
WEB = SpiffeId.for_workload(MESH, "shop", "web")
YEAR = 365 * 86_400


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return create_authority(MESH, now=NOW).authority


def sign(
    authority: CertificateAuthority, spiffe_id: SpiffeId = WEB, *, now: float = NOW, ttl: float = 86_400
) -> Svid:
    return authority.sign(parse_csr(create_csr(generate_key(), spiffe_id)), now=now, ttl=ttl)


def test_a_leaf_has_exactly_one_uri_san_and_no_other_name(authority: CertificateAuthority) -> None:
    svid = sign(authority)
    extension = svid.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(extension.value) == [x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/web")]
    assert extension.critical
    assert spiffe_id_of(svid.leaf) == svid.spiffe_id == WEB


def test_a_leaf_begins_the_tolerated_skew_in_the_past(authority: CertificateAuthority) -> None:
    svid = sign(authority, ttl=10)
    assert svid.not_before == NOW - CLOCK_SKEW
    assert svid.not_after == NOW + 10


def test_a_leaf_may_only_authenticate(authority: CertificateAuthority) -> None:
    extensions = sign(authority).leaf.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert (constraints.value.ca, constraints.critical, usage.critical) == (False, True, True)
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign
    assert set(purposes) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_key_identifiers_link_leaf_intermediate_and_root(authority: CertificateAuthority) -> None:
    chain = [sign(authority).leaf, authority.intermediate, authority.root]
    for certificate, issuer in itertools.pairwise(chain):
        claimed = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        actual = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert claimed.key_identifier == actual.digest


def test_the_authorities_live_ten_years_and_are_bounded_in_depth(authority: CertificateAuthority) -> None:
    for certificate, depth in ((authority.root, 1), (authority.intermediate, 0)):
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert (constraints.ca, constraints.path_length) == (True, depth)
        assert certificate.not_valid_after_utc.timestamp() - NOW == pytest.approx(10 * YEAR, abs=60)
        assert spiffe_id_of(certificate) == MESH.spiffe_id


def test_each_certificate_has_its_own_serial_number(authority: CertificateAuthority) -> None:
    assert sign(authority).leaf.serial_number != sign(authority).leaf.serial_number


def test_the_control_planes_certificate_carries_the_names_clients_dial(
    authority: CertificateAuthority,
) -> None:
    identity = SpiffeId.for_workload(MESH, "meshproxy-system", "control-plane")
    addresses = [ip_address("127.0.0.1"), ip_address("::1")]
    keyed = authority.issue_serving(identity, dns_names=["localhost"], addresses=addresses, now=NOW)
    names = keyed.svid.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == addresses
    assert spiffe_id_of(keyed.svid.leaf) == identity
    assert keyed.key.public_key() == keyed.svid.leaf.public_key()
    assert b"PRIVATE KEY" in keyed.key_pem
    assert "PRIVATE" not in repr(keyed)


@pytest.mark.parametrize(
    ("spiffe_id", "reason"),
    [(SpiffeId.parse("spiffe://other/ns/a/sa/b"), "trust domain"), (MESH.spiffe_id, "no path")],
)
def test_foreign_and_pathless_ids_are_not_signed(
    authority: CertificateAuthority, spiffe_id: SpiffeId, reason: str
) -> None:
    with pytest.raises(CertificateError, match=reason):
        sign(authority, spiffe_id)


def test_a_leaf_never_outlives_its_issuer(authority: CertificateAuthority) -> None:
    with pytest.raises(CertificateError, match="CA ends"):
        sign(authority, ttl=11 * YEAR)


def test_a_life_must_be_positive(authority: CertificateAuthority) -> None:
    with pytest.raises(CertificateError, match="above 0"):
        sign(authority, ttl=0)


def test_a_long_trust_domain_fits_the_subject_of_the_authorities() -> None:
    trust_domain = TrustDomain("a" * 255)
    assert spiffe_id_of(create_authority(trust_domain, now=NOW).authority.root).trust_domain == trust_domain


def test_chain_and_root_are_separate_texts(authority: CertificateAuthority) -> None:
    svid = sign(authority)
    assert svid.chain_pem.count(b"BEGIN CERTIFICATE") == 2
    assert x509.load_pem_x509_certificate(svid.root_pem) == authority.root
    assert svid.root_pem not in svid.chain_pem


def test_private_keys_stay_out_of_repr(authority: CertificateAuthority) -> None:
    assert "key" not in repr(authority)
    assert "root_key" not in repr(create_authority(MESH, now=NOW))


class TestVerify:
    def test_a_chain_of_this_ca_gives_its_identity(self, authority: CertificateAuthority) -> None:
        svid = sign(authority)
        bundle = TrustBundle((authority.root,))
        assert bundle.verify((svid.leaf, *svid.intermediates), NOW) == WEB
        assert bundle.verify((svid.leaf, *svid.intermediates, svid.root), NOW) == WEB

    def test_the_intermediate_is_needed(self, authority: CertificateAuthority) -> None:
        with pytest.raises(CertificateError, match="does not lead"):
            TrustBundle((authority.root,)).verify((sign(authority).leaf,), NOW)

    def test_another_ca_of_the_same_name_is_not_believed(self, authority: CertificateAuthority) -> None:
        other = create_authority(MESH, now=NOW).authority
        svid = sign(other)
        with pytest.raises(CertificateError, match="does not lead"):
            TrustBundle((authority.root,)).verify((svid.leaf, *svid.intermediates, svid.root), NOW)

    def test_two_roots_are_believed_while_one_is_replaced(self, authority: CertificateAuthority) -> None:
        other = create_authority(MESH, now=NOW).authority
        bundle = TrustBundle.parse(TrustBundle((authority.root, other.root)).pem)
        for issuer in (authority, other):
            svid = sign(issuer)
            assert bundle.verify((svid.leaf, *svid.intermediates), NOW) == WEB

    @pytest.mark.parametrize("offset", [-CLOCK_SKEW - 5, 15])
    def test_time_outside_of_the_leafs_life_is_refused(
        self, authority: CertificateAuthority, offset: float
    ) -> None:
        svid = sign(authority, ttl=10)
        with pytest.raises(CertificateError, match="clock"):
            TrustBundle((authority.root,)).verify((svid.leaf, *svid.intermediates), NOW + offset)

    def test_a_leaf_cannot_act_as_an_authority(self, authority: CertificateAuthority) -> None:
        key = generate_key()
        svid = authority.sign(parse_csr(create_csr(key, WEB)), now=NOW)
        forger = CertificateAuthority(MESH, svid.root, svid.leaf, key)
        forged = sign(forger, SpiffeId.for_workload(MESH, "shop", "admin"), ttl=60)
        with pytest.raises(CertificateError, match="does not lead"):
            TrustBundle((authority.root,)).verify((forged.leaf, svid.leaf, *svid.intermediates), NOW)

    @pytest.mark.parametrize("length", [0, 9])
    def test_the_length_of_a_chain_is_bounded(self, authority: CertificateAuthority, length: int) -> None:
        with pytest.raises(CertificateError, match="1 to 8"):
            TrustBundle((authority.root,)).verify((authority.root,) * length, NOW)


class TestBundle:
    def test_only_authorities_are_roots(self, authority: CertificateAuthority) -> None:
        with pytest.raises(CertificateError, match="not a CA"):
            TrustBundle((sign(authority).leaf,))

    @pytest.mark.parametrize(
        "pem", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"]
    )
    def test_text_without_certificates_is_refused_by_its_source(self, pem: bytes) -> None:
        with pytest.raises(CertificateError, match=r"root-cert\.pem"):
            TrustBundle.parse(pem, "root-cert.pem")

    def test_an_empty_bundle_is_refused(self) -> None:
        with pytest.raises(CertificateError, match="empty"):
            TrustBundle(())

    def test_a_huge_text_is_refused_unread(self) -> None:
        with pytest.raises(CertificateError, match="limit"):
            TrustBundle.parse(b"x" * (1024 * 1024 + 1))
