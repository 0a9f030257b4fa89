"""Who the peer of a TLS connection is, remembered by certificate. [2, 8]

Reading names and dates out of a certificate takes longer than finding it again by its bytes, and a mesh has
few certificates and many connections. The expiry is checked here for every connection because OpenSSL does
not look at certificates when a session is resumed: a resumed connection must not outlive what it rests on.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from typing import Final

from meshproxy.identity.contexts import peer_spiffe_id

MAX_REMEMBERED: Final = 4096
"""Certificates, at about 200 bytes each. When full it starts anew: simpler than an order of use, and peers
that are there come back."""


class PeerIdentities:
    """Call it with a connection whose handshake is done: the peer's SPIFFE id, "" for nobody."""

    def __init__(self, wall: Callable[[], float], max_remembered: int = MAX_REMEMBERED) -> None:
        """`wall` is the time, in seconds since the Unix epoch."""
        self._wall = wall
        self._max_remembered = max_remembered
        self._known: dict[bytes, tuple[str, float]] = {}
        """SHA-256 of the certificate → (id, not after)."""

    def __len__(self) -> int:
        return len(self._known)

    def __call__(self, ssl_object: ssl.SSLObject) -> str:
        certificate = ssl_object.getpeercert(binary_form=True)
        if not certificate:
            return ""
        key = hashlib.sha256(certificate).digest()
        known = self._known.get(key)
        if known is None:
            known = _read(ssl_object)
            if len(self._known) >= self._max_remembered:
                self._known.clear()
            self._known[key] = known
        identity, not_after = known
        return identity if self._wall() < not_after else ""


def _read(ssl_object: ssl.SSLObject) -> tuple[str, float]:
    identity = peer_spiffe_id(ssl_object)
    certificate = ssl_object.getpeercert()
    not_after = certificate.get("notAfter") if certificate else None
    if identity is None or not isinstance(not_after, str):
        return "", 0.0
    return str(identity), float(ssl.cert_time_to_seconds(not_after))
