"""The sidecar's identity at one moment: SVID, private key and whom to trust. A renewal makes a new one.

Imports no cryptography: the processes that only use an identity (`workers/`) stay lean.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from certs.spiffe_id import SpiffeId

ContextKey = tuple[str, bool, tuple[str, ...]]
"""(side, client certificate required, ALPN)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything TLS needs. Connections keep the identity they were made with; new ones take the newest."""

    spiffe_id: SpiffeId
    generation: int
    """1 for the first certificate of this process, then one more for each."""
    serial_number: int
    not_before: float
    """Seconds since the Unix epoch."""
    not_after: float
    """Seconds since the Unix epoch."""
    chain_pem: bytes
    """Leaf and intermediates, as a TLS peer is sent them."""
    root_pem: bytes
    """The trust bundle."""
    key_pem: bytes = field(repr=False)
    """Unencrypted private key. Memory only: never to a file, a log or the network."""
    contexts: dict[ContextKey, ssl.SSLContext] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """What `contexts.py` has built from this identity; it goes when the identity goes."""

    def is_valid(self, now: float) -> bool:
        """Whether peers would still accept it."""
        return now < self.not_after
