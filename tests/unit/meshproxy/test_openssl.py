"""TLS sessions that a server keeps and that clients share; what happens where OpenSSL is out of reach."""

from __future__ import annotations

import ssl

import pytest

from certs.ca import CertificateAuthority
from meshproxy import openssl
from meshproxy.identity.contexts import client_context, server_context
from tests.unit.meshproxy.identity.mesh import CATALOG, HTTP, WEB, TlsPair, issue, new_authority


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return new_authority()


def connect(
    client: ssl.SSLContext, server: ssl.SSLContext, session: openssl.Session | None = None
) -> tuple[openssl.Session, bool]:
    """(the session that it brought, whether it was resumed); it ends in order."""
    pair = TlsPair(client, server)
    if session is not None:
        openssl.offer_session(pair.client, session)
    pair.handshake()
    pair.echo(b"x")
    brought, is_resumed = openssl.take_session(pair.client), bool(pair.client.session_reused)
    with pytest.raises(ssl.SSLWantReadError):
        pair.server.unwrap()
    assert brought is not None
    return brought, is_resumed


def test_a_kept_session_is_resumed_as_often_as_it_is_offered(authority):
    client = client_context(issue(authority, WEB), alpn=HTTP)
    server = server_context(issue(authority, CATALOG), require_client_certificate=True, alpn=HTTP)
    assert ssl.OP_NO_TICKET in server.options
    session, is_resumed = connect(client, server)
    assert not is_resumed
    assert [connect(client, server, session)[1] for _ in range(3)] == [True] * 3
    assert server.session_stats()["number"] == 4


def test_the_oldest_go_first(authority):
    client = client_context(issue(authority, WEB), alpn=HTTP)
    server = server_context(issue(authority, CATALOG), require_client_certificate=True, alpn=HTTP)
    assert openssl.keep_sessions(server, 3)
    sessions = [connect(client, server)[0] for _ in range(8)]
    assert server.session_stats()["number"] <= 3
    assert not connect(client, server, sessions[0])[1]
    assert connect(client, server, sessions[-1])[1]


@pytest.mark.parametrize("unknown", ["version", "library", "symbols", "origin"])
def test_tickets_are_sealed_where_the_bound_cannot_be_set(authority, monkeypatch, unknown):
    client = client_context(issue(authority, WEB), alpn=HTTP)
    openssl._library.cache_clear()
    if unknown == "version":
        monkeypatch.setattr(openssl, "_KNOWN_PYTHONS", ())
    elif unknown == "library":
        monkeypatch.setattr(openssl.ctypes, "CDLL", lambda path: (_ for _ in ()).throw(OSError(path)))
    elif unknown == "symbols":
        monkeypatch.setattr(openssl.ctypes, "CDLL", lambda path: object())
    else:
        monkeypatch.setattr(openssl.importlib.util, "find_spec", lambda name: None)
    server = server_context(issue(authority, CATALOG), require_client_certificate=True, alpn=HTTP)
    session, _ = connect(client, server)
    assert connect(client, server, session)[1]
    openssl._library.cache_clear()
    assert ssl.OP_NO_TICKET not in server.options
    assert server.session_stats()["number"] == 0


def test_a_context_that_does_not_answer_as_expected_is_left_alone(authority, monkeypatch):
    class Other:
        def SSL_CTX_get_options(self, address: int) -> int:
            return 1

        def SSL_CTX_ctrl(self, address: int, command: int, size: int, more: None) -> int:
            raise AssertionError("touched")

    class Stubborn(Other):
        def SSL_CTX_get_options(self, address: int) -> int:
            return int(context.options)

        def SSL_CTX_ctrl(self, address: int, command: int, size: int, more: None) -> int:
            return 20480

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    before = context.options
    for library in (Other(), Stubborn()):
        monkeypatch.setattr(openssl, "_library", lambda library=library: library)
        assert not openssl.keep_sessions(context, 5)
        assert context.options == before


def test_connections_that_end_badly_leave_the_session_to_others(authority):
    client = client_context(issue(authority, WEB), alpn=HTTP)
    server = server_context(issue(authority, CATALOG), require_client_certificate=True, alpn=HTTP)
    session, _ = connect(client, server)
    for _ in range(3):
        cut = TlsPair(client, server)
        openssl.offer_session(cut.client, session)
        cut.handshake()
        assert cut.client.session_reused
        del cut
    under_way = [TlsPair(client, server) for _ in range(3)]
    for pair in under_way:
        openssl.offer_session(pair.client, session)
    assert [pair.handshake().client.session_reused for pair in under_way] == [True] * 3


def test_a_session_of_another_context_is_refused(authority):
    client, other = (client_context(issue(authority, WEB), alpn=HTTP) for _ in range(2))
    server = server_context(issue(authority, CATALOG), require_client_certificate=True, alpn=HTTP)
    session, _ = connect(client, server)
    with pytest.raises(ValueError, match="made with another context"):
        openssl.offer_session(TlsPair(other, server).client, session)
