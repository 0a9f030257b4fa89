"""Who a peer is, remembered by its certificate, and never longer than that holds."""

from __future__ import annotations

import ssl
import time

import pytest

from certs.ca import CertificateAuthority
from meshproxy.identity.contexts import client_context, server_context
from meshproxy.identity.identity import Identity
from meshproxy.identity.peer_identity import PeerIdentities
from tests.unit.meshproxy.identity.mesh import CATALOG, HTTP, WEB, TlsPair, issue, new_authority


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return new_authority()


class Now:
    """A wall clock that tests set."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def pair(client: Identity, server: Identity, session: ssl.SSLSession | None = None) -> TlsPair:
    serving = server_context(server, require_client_certificate=True, alpn=HTTP)
    return TlsPair(client_context(client, alpn=HTTP), serving, session).handshake()


def test_a_peer_is_read_once_for_each_certificate(authority):
    identities = PeerIdentities(Now())
    web, catalog = issue(authority, WEB), issue(authority, CATALOG)
    for _ in range(2):
        connection = pair(web, catalog)
        assert identities(connection.client) == str(CATALOG)
        assert identities(connection.server) == str(WEB)
    assert len(identities) == 2
    assert identities(pair(issue(authority, WEB), catalog).server) == str(WEB)
    assert len(identities) == 3


def test_a_resumed_connection_does_not_outlive_the_certificates_it_rests_on(authority):
    wall = Now()
    identities = PeerIdentities(wall)
    web, catalog = issue(authority, WEB, ttl=600), issue(authority, CATALOG, ttl=1200)
    first = pair(web, catalog)
    first.echo(b"x")
    wall.now = web.not_after - 1
    resumed = pair(web, catalog, first.client.session)
    assert resumed.client.session_reused
    assert (identities(resumed.client), identities(resumed.server)) == (str(CATALOG), str(WEB))
    wall.now = web.not_after
    again = pair(web, catalog, first.client.session)
    assert again.server.session_reused  # OpenSSL does not mind
    assert (identities(again.client), identities(again.server)) == (str(CATALOG), "")
    wall.now = catalog.not_after
    assert identities(again.client) == ""


def test_a_peer_without_a_certificate_is_nobody(authority):
    catalog = issue(authority, CATALOG)
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anonymous.check_hostname = False
    anonymous.load_verify_locations(cadata=catalog.root_pem.decode())
    server = server_context(catalog, require_client_certificate=False, alpn=())
    identities = PeerIdentities(Now())
    assert identities(TlsPair(anonymous, server).handshake().server) == ""
    assert len(identities) == 0


class FakeTls:
    """An SSLObject with a certificate that names nobody."""

    def getpeercert(self, binary_form: bool = False) -> object:
        return b"der" if binary_form else {"notAfter": "Jan  1 00:00:00 2100 GMT"}


def test_a_certificate_of_nobody_stays_nobodys():
    identities = PeerIdentities(Now())
    assert identities(FakeTls()) == ""
    assert identities(FakeTls()) == ""
    assert len(identities) == 1


def test_the_memory_is_bounded(authority):
    identities = PeerIdentities(Now(), max_remembered=2)
    catalog = issue(authority, CATALOG)
    for _ in range(5):
        assert identities(pair(issue(authority, WEB), catalog).server) == str(WEB)
        assert len(identities) <= 2
