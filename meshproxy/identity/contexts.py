"""TLS contexts from an identity, and the identity of a peer.

TLS 1.3 only. The private key reaches OpenSSL through a memfd: Python's `ssl` loads keys only by path, and a
key must never touch a disk. Names are not checked here: what counts in the mesh is the peer's SPIFFE id,
which the caller compares after the handshake. A context is built once per identity and kind, because building
one costs more than a resumed handshake; so sessions never outlive the identity that they were made with.
"""

from __future__ import annotations

import os
import ssl
from typing import Final

from certs.errors import SpiffeIdError
from certs.spiffe_id import SpiffeId
from meshproxy.identity.identity import Identity
from meshproxy.openssl import keep_sessions

MAX_SESSIONS: Final = 1024
"""Kept by a server context; the oldest go first. Every connection brings one, of 1 KB when it was resumed: at
a thousand connections a second they last a second; who comes more seldom makes a full handshake."""


def server_context(
    identity: Identity, *, require_client_certificate: bool, alpn: tuple[str, ...]
) -> ssl.SSLContext:
    """For inbound connections: presents our chain; clients must lead to our roots.

    Without `require_client_certificate` a client may stay anonymous, but one that shows a certificate is
    verified.
    """
    key = ("server", require_client_certificate, alpn)
    context = identity.contexts.get(key)
    if context is None:
        context = _context(ssl.PROTOCOL_TLS_SERVER, identity, alpn)
        context.verify_mode = ssl.CERT_REQUIRED if require_client_certificate else ssl.CERT_OPTIONAL
        context.num_tickets = 1  # a second one costs more CPU, and clients keep one
        keep_sessions(context, MAX_SESSIONS)
        identity.contexts[key] = context
    return context


def client_context(identity: Identity, *, alpn: tuple[str, ...]) -> ssl.SSLContext:
    """For connections to peers' sidecars: the server must lead to our roots; its SPIFFE id is for the caller
    to check.
    """
    key = ("client", True, alpn)
    context = identity.contexts.get(key)
    if context is None:
        context = _context(ssl.PROTOCOL_TLS_CLIENT, identity, alpn)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        identity.contexts[key] = context
    return context


def control_plane_context(root_pem: bytes, identity: Identity | None) -> ssl.SSLContext:
    """For HTTP/2 to the control plane, whose certificate must name the host that is dialled.

    Without an `identity`, before the first certificate, we stay anonymous. Not kept: one connection a
    certificate uses it.
    """
    context = _verifying_context(ssl.PROTOCOL_TLS_CLIENT, root_pem, ("h2",))
    if identity is not None:
        load_key_pair(context, identity.key_pem + identity.chain_pem)
    return context


def peer_spiffe_id(ssl_object: ssl.SSLObject) -> SpiffeId | None:
    """The verified peer's identity; None when it showed no certificate, or not exactly one URI SAN, a SPIFFE
    id.

    None is "nobody": a caller that needs an identity refuses it.
    """
    certificate = ssl_object.getpeercert()
    if not certificate:
        return None
    names = certificate.get("subjectAltName", ())
    uris = [name[1] for name in names if isinstance(name, tuple) and name[0] == "URI"]
    if len(uris) != 1 or not isinstance(uris[0], str):
        return None
    try:
        return SpiffeId.parse(uris[0])
    except SpiffeIdError:
        return None


def _context(protocol: int, identity: Identity, alpn: tuple[str, ...]) -> ssl.SSLContext:
    context = _verifying_context(protocol, identity.root_pem, alpn)
    load_key_pair(context, identity.key_pem + identity.chain_pem)
    return context


def _verifying_context(protocol: int, root_pem: bytes, alpn: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=root_pem.decode("ascii"))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def load_key_pair(context: ssl.SSLContext, pem: bytes) -> None:
    """`pem` is the key, then the chain. Raises SSLError when they do not go together."""
    descriptor = os.memfd_create("svid", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        # A password that is no answer: without it OpenSSL would ask for one at the terminal.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    finally:
        os.close(descriptor)
