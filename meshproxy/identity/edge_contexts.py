"""TLS contexts for those outside the mesh: clients of a gateway, servers that prove a name. [2, 8]

TLS 1.2 with forward secrecy and authenticated encryption, or 1.3. Contexts are remembered: by what they are
made of, so that a certificate which is replaced is in the next handshake, and connections go on with theirs.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final, TypeVar

from meshproxy.config.tls import EdgeTls, OriginTls, TlsCertificate
from meshproxy.errors import ConfigError
from meshproxy.identity.contexts import MAX_SESSIONS, load_key_pair
from meshproxy.openssl import keep_sessions

K = TypeVar("K")
V = TypeVar("V")

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are OpenSSL's."""
MAX_CONTEXTS: Final = 1024
"""When full it starts anew: each costs some KB, and what is in use comes back."""


def check_certificate(certificate: TlsCertificate) -> None:
    """Raises ConfigError, without a word of its content, when OpenSSL cannot use it."""
    try:
        load_key_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate.key_pem + certificate.chain_pem)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"secret {certificate.name!r}: certificate and private key cannot be used: {_reason(error)}"
        ) from None


def check_authorities(pem: str, path: str) -> None:
    """Raises ConfigError unless `pem` holds certificates."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"{path}: no PEM certificates: {_reason(error)}") from error


class EdgeContexts:
    """Contexts by what they are made of."""

    def __init__(self, certificate: Callable[[str], TlsCertificate | None]) -> None:
        """`certificate(name)` is that of the moment; None while there is none."""
        self._certificate = certificate
        self._servers: dict[EdgeTls, tuple[TlsCertificate, ssl.SSLContext]] = {}
        self._clients: dict[OriginTls, ssl.SSLContext] = {}

    def server(self, tls: EdgeTls) -> ssl.SSLContext | None:
        """None while its certificate has not come."""
        certificate = self._certificate(tls.certificate)
        if certificate is None:
            return None
        known = self._servers.get(tls)
        if known is None or known[0] is not certificate:
            known = (certificate, _server(tls, certificate))
            _keep(self._servers, tls, known)
        return known[1]

    def client(self, tls: OriginTls) -> ssl.SSLContext:
        """Verifies the chain; whose name it proves is for the caller to check."""
        context = self._clients.get(tls)
        if context is None:
            context = _client(tls)
            _keep(self._clients, tls, context)
        return context


def _keep(known: dict[K, V], key: K, value: V) -> None:
    if len(known) >= MAX_CONTEXTS:
        known.clear()
    known[key] = value


def _server(tls: EdgeTls, certificate: TlsCertificate) -> ssl.SSLContext:
    context = _modern(ssl.PROTOCOL_TLS_SERVER, tls.alpn_protocols)
    if tls.is_1_3_only:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    load_key_pair(context, certificate.key_pem + certificate.chain_pem)
    if tls.client is not None:
        context.load_verify_locations(cadata=tls.client.trusted_ca)
        context.verify_mode = ssl.CERT_REQUIRED if tls.client.is_required else ssl.CERT_OPTIONAL
    context.num_tickets = 1
    keep_sessions(context, MAX_SESSIONS)
    return context


def _client(tls: OriginTls) -> ssl.SSLContext:
    context = _modern(ssl.PROTOCOL_TLS_CLIENT, tls.alpn_protocols)
    context.check_hostname = False  # the caller compares names, by the configuration's matchers
    context.verify_mode = ssl.CERT_REQUIRED
    if tls.trusted_ca:
        context.load_verify_locations(cadata=tls.trusted_ca)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _modern(protocol: int, alpn: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _reason(error: Exception) -> str:
    """OpenSSL's own word; never what was read."""
    reason = getattr(error, "reason", None)
    return reason.lower().replace("_", " ") if isinstance(reason, str) else type(error).__name__
