"""The identity agent: gets this sidecar's first certificate, renews it at half of its life, keeps the last
good one.

The private key is made for each certificate, in a process beside us (`key_process.py`), and never leaves the
pod. While the certificate is valid, it proves who we are for the next one; before the first, and after
expiry, the token file does, which is read again each time. Whom to trust is read from the root-bundle file,
again for each certificate. Failures change nothing but counters: they are retried with full jitter and a cap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from certs.errors import CertificateError
from certs.limit import MAX_BUNDLE_BYTES
from certs.rotation import LONGEST_SLEEP, renew_at
from certs.spiffe_id import SpiffeId
from meshproxy.clock import Clock
from meshproxy.errors import UpstreamError
from meshproxy.identity.identity import Identity
from meshproxy.identity.key_process import KeyProcess
from meshproxy.identity.keys import IdentityUnavailable, Keys
from meshproxy.identity.signing_client import SigningClient
from meshproxy.policy.backoff import BackoffSettings
from meshproxy.tasks import TaskGroupRegistry

_log = logging.getLogger(__name__)

RETRY: Final = BackoffSettings(base=0.1, cap=10.0)
"""Between failed attempts. The cap bounds how long a recovered control plane waits for a sidecar to come
back.
"""

_MAX_TOKEN_BYTES: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Who we are and where the credentials lie."""

    spiffe_id: SpiffeId
    token_file: Path
    """Workload token, one line, good for one certificate."""
    root_bundle_file: Path
    """PEM roots."""


@dataclass(slots=True)
class AgentCounters:
    """For metrics; they only grow."""

    bootstraps: int = 0
    """Certificates got by token."""
    renewals: int = 0
    """Certificates got by the one before."""
    failures: int = 0
    """Attempts that gave none."""


class IdentityAgent:
    """Owns the current identity. `start()` runs it in the background, `close()` ends it."""

    def __init__(
        self,
        settings: AgentSettings,
        client: SigningClient,
        *,
        clock: Clock,
        rng: Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        keys: Callable[[], AbstractAsyncContextManager[Keys]] = KeyProcess,
    ) -> None:
        """`keys` is entered once for every key pair."""
        self._settings = settings
        self._client = client
        self._clock = clock
        self._rng = rng
        self._sleep = sleep
        self._keys = keys
        self._generation = 0
        self._listeners: list[Callable[[Identity], None]] = []
        self._first = asyncio.Event()
        self._tasks = TaskGroupRegistry()
        self.current: Identity | None = None
        """The last good identity; also when it has expired (`Identity.is_valid`)."""
        self.counters = AgentCounters()
        self.last_error = ""
        """Why the last attempt failed; empty after a success."""

    def on_change(self, listener: Callable[[Identity], None]) -> None:
        """Call `listener` with each new identity, from the next one on, after `current` has changed."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Run in the background; `wait_ready` tells when there is an identity."""
        self._tasks.start(self.run(), "identity-agent")

    async def wait_ready(self) -> Identity:
        """Wait, without limit, for the first identity; the current one afterwards."""
        await self._first.wait()
        assert self.current is not None
        return self.current

    async def close(self) -> None:
        """Stop renewing. Idempotent; `current` stays."""
        await self._tasks.close()

    async def run(self) -> None:
        """Obtain, publish, wait for half of the life, and so on until cancelled."""
        while True:
            identity = await self._obtain_with_retries()
            now = self._clock.wall()
            self._publish(identity)
            await self._sleep_until(renew_at(now, identity.not_after, self._rng))

    async def _obtain_with_retries(self) -> Identity:
        attempt = 0
        while True:
            try:
                return await self._obtain()
            except (UpstreamError, CertificateError, IdentityUnavailable) as exc:
                self.last_error = str(exc)
            except Exception as exc:  # a bug here must not end renewal, and with it the mesh, a day later
                self.last_error = f"unexpected {type(exc).__name__}"
                _log.exception("unexpected failure while obtaining a certificate")
            attempt += 1
            self.counters.failures += 1
            delay = self._retry_delay(attempt)
            _log.warning(
                "no certificate for %s: %s; next try in %.1f s",
                self._settings.spiffe_id,
                self.last_error,
                delay,
            )
            await self._sleep(delay)

    def _retry_delay(self, attempt: int) -> float:
        """Full jitter up to the cap, and several tries before what is left of the current certificate is
        over.
        """
        delay = RETRY.delay(attempt, self._rng)
        remaining = self.current.not_after - self._clock.wall() if self.current is not None else 0.0
        return min(delay, remaining / 4) if remaining > 1.0 else delay

    async def _obtain(self) -> Identity:
        async with self._keys() as keys:
            csr = await keys.request(self._settings.spiffe_id)
            current = self.current
            if current is not None and current.is_valid(self._clock.wall()):
                chain = await self._client.renew(csr, current=current)
                identity = await self._build(keys, chain, await self._root_pem_or(keys, current))
                self.counters.renewals += 1
            else:
                root_pem = await self._read_root_bundle(keys)
                chain = await self._client.bootstrap(csr, token=self._read_token(), root_pem=root_pem)
                identity = await self._build(keys, chain, root_pem)
                self.counters.bootstraps += 1
        return identity

    async def _build(self, keys: Keys, chain: list[str], root_pem: bytes) -> Identity:
        identity = await keys.identity(chain, root_pem, self._clock.wall(), self._generation + 1)
        self._generation = identity.generation
        return identity

    def _publish(self, identity: Identity) -> None:
        self.current = identity
        self.last_error = ""
        self._first.set()
        _log.info(
            "certificate %d of %s: serial %x until %d",
            identity.generation,
            identity.spiffe_id,
            identity.serial_number,
            identity.not_after,
        )
        for listener in self._listeners:
            try:
                listener(identity)
            except Exception:  # one listener's bug must not end renewal for all
                _log.exception("a listener failed on a new identity")

    async def _sleep_until(self, instant: float) -> None:
        while (remaining := instant - self._clock.wall()) > 0:
            await self._sleep(min(remaining, LONGEST_SLEEP))

    def _read_token(self) -> str:
        path = self._settings.token_file
        token = _read_bounded(
            path, _MAX_TOKEN_BYTES, "the kubelet writes the workload token there at each start"
        )
        try:
            return token.decode("ascii").strip()
        except UnicodeDecodeError as exc:
            raise IdentityUnavailable(f"{path} holds no token: it is not ASCII text") from exc

    async def _read_root_bundle(self, keys: Keys) -> bytes:
        path = self._settings.root_bundle_file
        hint = "it is mounted from ConfigMap meshproxy-root-bundle, key root-cert.pem"
        return await keys.bundle(_read_bounded(path, MAX_BUNDLE_BYTES, hint), str(path))

    async def _root_pem_or(self, keys: Keys, current: Identity) -> bytes:
        """The bundle of the file; while that is unusable, the one that we have."""
        try:
            return await self._read_root_bundle(keys)
        except (IdentityUnavailable, CertificateError) as exc:
            _log.warning("keeping the former trust bundle: %s", exc)
            return current.root_pem


def _read_bounded(path: Path, limit: int, hint: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as exc:
        raise IdentityUnavailable(f"{path} cannot be read ({exc.strerror}); {hint}") from exc
    if not content.strip():
        raise IdentityUnavailable(f"{path} is empty; {hint}")
    if len(content) > limit:
        raise IdentityUnavailable(f"{path} has more than {limit} bytes; {hint}")
    return content
