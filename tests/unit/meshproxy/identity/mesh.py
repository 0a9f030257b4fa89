"""A CA, identities and TLS connections in memory, and a clock that tests move."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from certs.bundle import TrustBundle
from certs.ca import CertificateAuthority, create_authority
from certs.csr import create_csr, generate_key, key_to_pem, parse_csr
from certs.spiffe_id import SpiffeId, TrustDomain
from certs.svid import certificate_to_pem
from meshproxy.errors import UpstreamError
from meshproxy.identity.builder import IdentityBuilder
from meshproxy.identity.identity import Identity
from meshproxy.identity.key_work import KeyWork

MESH = TrustDomain("cluster.local")
WEB = SpiffeId.for_workload(MESH, "shop", "web")
CATALOG = SpiffeId.for_workload(MESH, "shop", "catalog")
HTTP = ("istio-http/1.1",)


def new_authority(now: float | None = None) -> CertificateAuthority:
    """A CA made at `now`, else an hour ago."""
    return create_authority(MESH, now=time.time() - 3600 if now is None else now).authority


def chain_texts(authority: CertificateAuthority, csr: bytes, *, now: float, ttl: float = 3600) -> list[str]:
    """What the signing service answers: leaf, intermediate, root."""
    svid = authority.sign(parse_csr(csr), now=now, ttl=ttl)
    return [certificate_to_pem(item).decode() for item in (svid.leaf, *svid.intermediates, svid.root)]


def issue(
    authority: CertificateAuthority,
    spiffe_id: SpiffeId,
    *,
    roots: TrustBundle | None = None,
    age: float = 0,
    ttl: float = 3600,
) -> Identity:
    """An identity issued `age` seconds ago for `ttl` seconds."""
    key, begin = generate_key(), time.time() - age
    chain = chain_texts(authority, create_csr(key, spiffe_id), now=begin, ttl=ttl)
    own = TrustBundle((authority.root,))
    identity = IdentityBuilder(spiffe_id).build(chain, key_to_pem(key), key.public_key(), own.pem, begin)
    if roots is None:
        return identity
    return Identity(
        spiffe_id=spiffe_id,
        generation=1,
        serial_number=identity.serial_number,
        not_before=identity.not_before,
        not_after=identity.not_after,
        chain_pem=identity.chain_pem,
        root_pem=roots.pem,
        key_pem=identity.key_pem,
    )


class TlsPair:
    """A client and a server that talk through memory."""

    def __init__(
        self, client: ssl.SSLContext, server: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(to_client, to_server, server_hostname="catalog", session=session)
        self.server = server.wrap_bio(to_server, to_client, server_side=True)

    def handshake(self) -> TlsPair:
        """Both sides, to the end. Raises what the side that refuses raises."""
        waiting = [self.client, self.server, self.client, self.server]
        for side in waiting:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        return self

    def echo(self, data: bytes) -> bytes:
        """There and back again."""
        self.client.write(data)
        self.server.write(self.server.read())
        return self.client.read()


@dataclass
class ManualTime:
    """A `Clock` and a `sleep` that end only when the test moves them."""

    now: float = 1_800_000_000.0
    sleeping: list[tuple[float, asyncio.Future[None]]] = field(default_factory=list)

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self.sleeping.append((self.now + seconds, waiter))
        await waiter

    async def settle(self) -> None:
        """Let tasks run until they wait again."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers in order."""
        end = self.now + seconds
        while due := [item for item in self.sleeping if item[0] <= end]:
            wake_at, waiter = min(due, key=lambda item: item[0])
            self.sleeping.remove((wake_at, waiter))
            self.now = max(self.now, wake_at)
            if not waiter.done():
                waiter.set_result(None)
            await self.settle()
        self.now = end


class LocalKeys:
    """`Keys` without a process."""

    async def __aenter__(self) -> Self:
        self._work = KeyWork()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._work

    async def request(self, spiffe_id: SpiffeId) -> bytes:
        return self._work.request(spiffe_id)

    async def bundle(self, pem: bytes, what: str) -> bytes:
        return self._work.bundle(pem, what)

    async def identity(self, chain: list[str], root_pem: bytes, now: float, generation: int) -> Identity:
        return replace(self._work.identity(chain, root_pem, now), generation=generation)


class LocalSigner:
    """`SigningClient` without a network: signs at once, or fails with `failure`."""

    def __init__(self, authority: CertificateAuthority, clock: ManualTime, ttl: float = 3600) -> None:
        self.authority = authority
        self.clock = clock
        self.ttl = ttl
        self.failure: Exception | None = None
        self.tokens: list[str] = []
        self.renewed_with: list[int] = []
        self.csrs: list[bytes] = []

    async def bootstrap(self, csr: bytes, *, token: str, root_pem: bytes) -> list[str]:
        self.tokens.append(token)
        return self._answer(csr)

    async def renew(self, csr: bytes, *, current: Identity) -> list[str]:
        self.renewed_with.append(current.generation)
        return self._answer(csr)

    def _answer(self, csr: bytes) -> list[str]:
        self.csrs.append(csr)
        if self.failure is not None:
            raise self.failure
        return chain_texts(self.authority, csr, now=self.clock.now, ttl=self.ttl)


UNREACHABLE = UpstreamError("control plane is away")
