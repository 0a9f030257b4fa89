"""TLS between two identities: real handshakes, through memory."""

from __future__ import annotations

import os
import ssl
import time
from ipaddress import ip_address

import pytest

from certs.bundle import TrustBundle
from certs.ca import CertificateAuthority
from certs.spiffe_id import SpiffeId
from meshproxy.identity.contexts import client_context, peer_spiffe_id, server_context
from meshproxy.identity.identity import Identity
from tests.unit.meshproxy.identity.mesh import CATALOG, HTTP, WEB, TlsPair, issue, new_authority


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return new_authority()


@pytest.fixture
def web(authority: CertificateAuthority) -> Identity:
    return issue(authority, WEB)


@pytest.fixture
def catalog(authority: CertificateAuthority) -> Identity:
    return issue(authority, CATALOG)


def pair(
    client: Identity, server: Identity, *, require: bool = True, session: ssl.SSLSession | None = None
) -> TlsPair:
    return TlsPair(
        client_context(client, alpn=HTTP),
        server_context(server, require_client_certificate=require, alpn=(*HTTP, "istio")),
        session,
    )


def test_two_workloads_learn_who_the_other_is(web: Identity, catalog: Identity) -> None:
    connection = pair(web, catalog).handshake()
    assert peer_spiffe_id(connection.client) == CATALOG
    assert peer_spiffe_id(connection.server) == WEB
    assert connection.client.version() == connection.server.version() == "TLSv1.3"
    assert connection.client.selected_alpn_protocol() == connection.server.selected_alpn_protocol() == HTTP[0]
    assert connection.echo(b"ping") == b"ping"


def test_a_server_of_another_ca_is_refused(web: Identity) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        pair(web, issue(new_authority(), CATALOG)).handshake()


def test_a_client_of_another_ca_is_refused(authority: CertificateAuthority, catalog: Identity) -> None:
    stranger = issue(new_authority(), WEB, roots=TrustBundle((authority.root,)))
    with pytest.raises(ssl.SSLCertVerificationError):
        pair(stranger, catalog).handshake()


def test_a_client_without_a_certificate_is_refused(catalog: Identity) -> None:
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anonymous.check_hostname = False
    anonymous.load_verify_locations(cadata=catalog.root_pem.decode())
    server = server_context(catalog, require_client_certificate=True, alpn=HTTP)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        TlsPair(anonymous, server).handshake()


def test_where_no_certificate_is_required_an_anonymous_client_is_nobody(catalog: Identity) -> None:
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anonymous.check_hostname = False
    anonymous.load_verify_locations(cadata=catalog.root_pem.decode())
    server = server_context(catalog, require_client_certificate=False, alpn=())
    assert peer_spiffe_id(TlsPair(anonymous, server).handshake().server) is None


def test_where_no_certificate_is_required_one_that_is_shown_is_verified(
    authority: CertificateAuthority, web: Identity, catalog: Identity
) -> None:
    assert peer_spiffe_id(pair(web, catalog, require=False).handshake().server) == WEB
    stranger = issue(new_authority(), WEB, roots=TrustBundle((authority.root,)))
    with pytest.raises(ssl.SSLCertVerificationError):
        pair(stranger, catalog, require=False).handshake()


def test_an_expired_certificate_is_refused(authority: CertificateAuthority, catalog: Identity) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        pair(issue(authority, WEB, age=100, ttl=50), catalog).handshake()


def test_tls_1_2_is_refused(catalog: Identity) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="PROTOCOL"):
        TlsPair(old, server_context(catalog, require_client_certificate=True, alpn=HTTP)).handshake()


def test_while_a_root_is_replaced_both_are_believed(authority: CertificateAuthority) -> None:
    other = new_authority()
    both = TrustBundle((authority.root, other.root))
    connection = pair(issue(authority, WEB, roots=both), issue(other, CATALOG, roots=both)).handshake()
    assert peer_spiffe_id(connection.client) == CATALOG


def test_the_control_planes_names_do_not_hide_its_identity(
    authority: CertificateAuthority, web: Identity
) -> None:
    control_plane = SpiffeId.parse("spiffe://cluster.local/ns/meshproxy-system/sa/control-plane")
    addresses = [ip_address("127.0.0.1")]
    keyed = authority.issue_serving(
        control_plane, dns_names=["localhost"], addresses=addresses, now=time.time()
    )
    serving = Identity(
        spiffe_id=control_plane,
        generation=1,
        serial_number=keyed.svid.leaf.serial_number,
        not_before=keyed.svid.not_before,
        not_after=keyed.svid.not_after,
        chain_pem=keyed.svid.chain_pem,
        root_pem=keyed.svid.root_pem,
        key_pem=keyed.key_pem,
    )
    assert peer_spiffe_id(pair(web, serving).handshake().client) == control_plane


def test_contexts_are_built_once_for_each_identity_and_kind(web: Identity, catalog: Identity) -> None:
    context = client_context(web, alpn=HTTP)
    assert client_context(web, alpn=HTTP) is context
    assert client_context(web, alpn=("istio",)) is not context
    assert client_context(catalog, alpn=HTTP) is not context
    strict = server_context(web, require_client_certificate=True, alpn=HTTP)
    assert server_context(web, require_client_certificate=True, alpn=HTTP) is strict
    assert server_context(web, require_client_certificate=False, alpn=HTTP) is not strict


def test_no_descriptor_is_left_behind(web: Identity) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        client_context(web, alpn=(f"p{number}",))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_session_resumes_and_still_says_who_the_peer_is(web: Identity, catalog: Identity) -> None:
    first = pair(web, catalog).handshake()
    assert first.echo(b"x") == b"x"  # tickets come with the server's first bytes
    second = pair(web, catalog, session=first.client.session).handshake()
    assert second.client.session_reused
    assert peer_spiffe_id(second.server) == WEB
    assert peer_spiffe_id(second.client) == CATALOG


def test_rotation_changes_new_connections_and_leaves_old_ones_alone(
    authority: CertificateAuthority, web: Identity, catalog: Identity
) -> None:
    old = pair(web, catalog).handshake()
    renewed = issue(authority, CATALOG)
    new = pair(web, renewed).handshake()
    assert new.client.getpeercert(True) != old.client.getpeercert(True)
    assert old.echo(b"still here") == b"still here"
    assert new.echo(b"me too") == b"me too"
    resumed = pair(web, renewed, session=old.client.session).handshake()
    assert not resumed.client.session_reused  # a session never outlives the identity it was made with


def test_the_key_is_not_in_the_repr(web: Identity) -> None:
    assert b"PRIVATE KEY" in web.key_pem
    assert "PRIVATE" not in repr(web)
    assert "key_pem" not in repr(web)


class FakeTls:
    """An SSLObject as far as `peer_spiffe_id` looks."""

    def __init__(self, certificate: object) -> None:
        self._certificate = certificate

    def getpeercert(self) -> object:
        return self._certificate


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        {},
        {"subject": ()},
        {"subjectAltName": (("DNS", "spiffe://cluster.local/a"),)},
        {"subjectAltName": (("URI", "spiffe://cluster.local/a"), ("URI", "spiffe://cluster.local/b"))},
        {"subjectAltName": (("URI", "https://cluster.local/a"),)},
        {"subjectAltName": (("URI", "spiffe://cluster.local/a\x00b"),)},
    ],
)
def test_zero_several_or_bad_uris_are_nobody(certificate: object) -> None:
    assert peer_spiffe_id(FakeTls(certificate)) is None  # type: ignore[arg-type]
