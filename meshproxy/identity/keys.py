"""What the agent needs done with keys and certificates. A Protocol, because the sidecar has it done in a
process that ends with the work (`key_process.py`), and tests in their own."""

from __future__ import annotations

from typing import Protocol

from certs.spiffe_id import SpiffeId
from meshproxy.errors import MeshproxyError
from meshproxy.identity.identity import Identity


class IdentityUnavailable(MeshproxyError):
    """Something that the agent needs, a file or the key process, is missing or unusable; names it and the
    mend.
    """


class Keys(Protocol):
    """One key pair, from its making to the identity that it belongs to.

    Every call may raise CertificateError and IdentityUnavailable.
    """

    async def request(self, spiffe_id: SpiffeId) -> bytes:
        """Make the key; a PEM request for `spiffe_id`, signed by it."""
        ...

    async def bundle(self, pem: bytes, what: str) -> bytes:
        """The roots in `pem`, as one PEM text without anything else. `what` names the source in errors."""
        ...

    async def identity(self, chain: list[str], root_pem: bytes, now: float, generation: int) -> Identity:
        """The identity of this key and `chain` (leaf first), checked as `IdentityBuilder.build` says."""
        ...
