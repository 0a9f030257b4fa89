"""TLS with those who are no part of the mesh (pure, frozen): clients of a gateway, servers outside.

Inside the mesh it is `DownstreamTls` and `UpstreamTls` of `model.py`, whose identity is the proxy's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

CERTIFICATE_SCHEME = "kubernetes://"
"""`kubernetes://<namespace>/<name>`: an SDS resource that is a Secret of type `kubernetes.io/tls`."""


class SanKind(Enum):
    """Values: how Python's `ssl` names them in `subjectAltName`."""

    DNS = "DNS"
    URI = "URI"
    EMAIL = "email"
    IP_ADDRESS = "IP Address"


@dataclass(frozen=True, slots=True)
class SanMatch:
    """`SubjectAltNameMatcher`: one of the three patterns is set."""

    kind: SanKind
    exact: str = ""
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class ClientValidation:
    """Which certificates clients may show."""

    trusted_ca: str
    """PEM."""
    is_required: bool = True
    """False: a client may show none; one that it shows is verified all the same."""
    sans: tuple[SanMatch, ...] = ()
    """One must match; empty: every certificate of the authority."""


@dataclass(frozen=True, slots=True)
class EdgeTls:
    """`DownstreamTlsContext` of a gateway: a certificate for the world."""

    certificate: str
    """Name of the SDS secret."""
    alpn_protocols: tuple[str, ...] = ()
    is_1_3_only: bool = False
    """False: TLS 1.2 too."""
    client: ClientValidation | None = None
    """None: clients are not asked for certificates."""


@dataclass(frozen=True, slots=True)
class OriginTls:
    """`UpstreamTlsContext` towards a server that is not of the mesh: it proves a name, we prove nothing."""

    sans: tuple[SanMatch, ...]
    """One must match; never empty."""
    sni: str = ""
    alpn_protocols: tuple[str, ...] = ()
    trusted_ca: str = ""
    """PEM; empty: the roots of the system."""


@dataclass(frozen=True, slots=True)
class TlsCertificate:
    """An SDS secret: what a gateway proves itself with."""

    name: str
    chain_pem: bytes
    """Leaf first."""
    key_pem: bytes = field(repr=False)
    """Memory only: never to a file, a log, a dump or the network."""
