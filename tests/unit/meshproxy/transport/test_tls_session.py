"""Which session is offered to whom."""

from __future__ import annotations

import ssl

import pytest

from certs.ca import CertificateAuthority
from meshproxy.identity.contexts import client_context, server_context
from meshproxy.openssl import Session, take_session
from meshproxy.transport.tls_session import REFRESH_AFTER, RETRY_AFTER, SessionStore
from tests.unit.meshproxy.identity.mesh import CATALOG, HTTP, WEB, TlsPair, issue, new_authority


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return new_authority()


@pytest.fixture(scope="module")
def context(authority: CertificateAuthority) -> ssl.SSLContext:
    return client_context(issue(authority, WEB), alpn=HTTP)


@pytest.fixture(scope="module")
def server(authority: CertificateAuthority) -> ssl.SSLContext:
    return server_context(issue(authority, CATALOG), require_client_certificate=True, alpn=HTTP)


def session(context: ssl.SSLContext, server: ssl.SSLContext) -> Session:
    pair = TlsPair(context, server).handshake()
    pair.echo(b"x")
    found = take_session(pair.client)
    assert found is not None
    return found


def test_the_newest_is_offered_and_replaced_only_after_a_while(context, server):
    store = SessionStore()
    assert store.find(context, "a") is None
    assert store.is_wanted(context, "a", 0.0)
    first, second = session(context, server), session(context, server)
    store.keep(context, "a", first, 0.0)
    assert store.find(context, "a") is first
    assert store.find(context, "b") is None
    assert not store.is_wanted(context, "a", REFRESH_AFTER - 1)
    assert store.is_wanted(context, "a", REFRESH_AFTER)
    store.keep(context, "a", second, REFRESH_AFTER)
    assert store.find(context, "a") is second
    store.forget("a")
    store.forget("a")
    assert store.find(context, "a") is None


def test_another_context_finds_nothing_and_what_the_old_one_brings_is_not_kept(authority, context, server):
    store = SessionStore()
    store.find(context, "a")
    store.keep(context, "a", session(context, server), 0.0)
    renewed = client_context(issue(authority, WEB), alpn=HTTP)
    assert store.find(renewed, "a") is None
    assert len(store) == 0
    assert not store.is_wanted(context, "a", 1.0)
    store.keep(context, "a", session(context, server), 1.0)
    assert len(store) == 0


def test_what_the_peer_declined_is_offered_no_more_and_replaced_soon(context, server):
    store = SessionStore()
    store.find(context, "a")
    old, new = session(context, server), session(context, server)
    store.keep(context, "a", old, 0.0)
    store.on_answer("a", old, is_resumed=False)
    assert store.find(context, "a") is None
    assert store.is_wanted(context, "a", 0.0)
    store.keep(context, "a", new, 2.0)
    store.on_answer("a", old, is_resumed=False)  # of a connection that was dialled before
    assert store.find(context, "a") is new
    store.on_answer("b", old, is_resumed=False)
    assert store.find(context, "b") is None


def test_a_peer_that_never_resumes_is_tried_less_and_less_often(context, server):
    store, kept = SessionStore(), session(context, server)
    store.find(context, "a")
    lengths = [0.0, *(RETRY_AFTER * 2**n for n in range(12)), REFRESH_AFTER]
    waits, now = [], 0.0
    for _ in range(15):
        store.keep(context, "a", kept, now)
        store.on_answer("a", kept, is_resumed=False)
        waits.append(next(length for length in lengths if store.is_wanted(context, "a", now + length)))
        now += waits[-1]
    assert waits == [*lengths, REFRESH_AFTER]
    store.keep(context, "a", kept, now)
    store.on_answer("a", kept, is_resumed=True)
    store.on_answer("a", kept, is_resumed=False)
    assert store.is_wanted(context, "a", now)


def test_a_session_without_a_ticket_is_not_kept(context, server):
    store = SessionStore()
    store.find(context, "a")
    bare = take_session(TlsPair(context, server).handshake().client)  # the ticket was not read yet
    assert bare is not None
    assert not bare.has_ticket
    store.keep(context, "a", bare, 0.0)
    assert len(store) == 0


def test_none_is_kept_where_none_may_be(context, server):
    store = SessionStore(max_sessions=0)
    store.find(context, "a")
    assert not store.is_wanted(context, "a", 0.0)
    store.keep(context, "a", session(context, server), 0.0)
    assert len(store) == 0


def test_those_used_last_are_kept(context, server):
    store = SessionStore(max_sessions=2)
    kept = session(context, server)
    store.find(context, "a")
    for peer in ("a", "b"):
        store.keep(context, peer, kept, 0.0)
    store.find(context, "a")
    store.keep(context, "c", kept, 0.0)
    assert len(store) == 2
    assert store.find(context, "b") is None
    assert store.find(context, "a") is kept
