"""Secret -> a gateway's certificate. No message says anything of what it holds."""

from __future__ import annotations

from typing import Final

from control_plane.api.envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from meshproxy.config.tls import CERTIFICATE_SCHEME, TlsCertificate
from meshproxy.errors import ConfigError
from meshproxy.identity.edge_contexts import check_certificate
from meshproxy.xds.data_source import inline
from meshproxy.xds.strict import require

MAX_PEM: Final = 65536
"""Bytes of a chain, and of a key: many times what either is."""


def translate_secret(secret: Secret, path: str) -> TlsCertificate:
    """`secret` has passed the strict check. Raises ConfigError."""
    is_named = secret.name.startswith(CERTIFICATE_SCHEME)
    require(is_named, f"{path}.name", f"{secret.name!r} is not {CERTIFICATE_SCHEME}<namespace>/<name>")
    require(secret.HasField("tls_certificate"), path, "tls_certificate is needed")
    given = secret.tls_certificate
    chain = inline(given.certificate_chain, f"{path}.tls_certificate.certificate_chain")
    key = inline(given.private_key, f"{path}.tls_certificate.private_key")
    for field, pem in (("certificate_chain", chain), ("private_key", key)):
        place = f"{path}.tls_certificate.{field}"
        require(0 < len(pem) <= MAX_PEM, place, f"must have 1 to {MAX_PEM} bytes")
    certificate = TlsCertificate(secret.name, chain.strip() + b"\n", key.strip() + b"\n")
    try:
        check_certificate(certificate)
    except ConfigError as error:
        raise ConfigError(f"{path}.tls_certificate: {error}") from None
    return certificate
