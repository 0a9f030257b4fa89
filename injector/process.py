"""The injector at work: certificate, HTTPS, registration, in the order in which nothing can fail.

It listens with a certificate before the API server is told of it, and the API server is told of a root before
a certificate that leads to it is presented.
"""

import asyncio
import contextlib
import functools
import logging
import random
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Self, TypeVar

import httpx

from certs.bundle import TrustBundle
from certs.errors import CertificateError
from certs.rotation import LONGEST_SLEEP, renew_at
from certs.store import make_private_directory
from control_plane.client import ApiClient, ApiError
from injector.ca_bundle import BundleReader, Registration, ca_bundle
from injector.certificate import CertificateSource, IssuedCertificate, NotIssued, SigningAddresses
from injector.options import Options
from injector.registration import NAMESPACE
from injector.serving import WebhookApp, WebhookServer

_log = logging.getLogger(__name__)

_FIRST_RETRY = 0.2
_LAST_RETRY = 15.0
"""Seconds between attempts; they double."""
_PASSING = (ApiError, httpx.TransportError, NotIssued, CertificateError, OSError)
"""What may be better at the next attempt: others are not up yet, or away for a while."""

Result = TypeVar("Result")


class CertificateEnded(Exception):
    """There is no certificate any more and none to be had: a new start may come with a new token."""


class Injector:
    """A running injector. `start`, then wait for `failure` or `stop`."""

    def __init__(
        self, options: Options, client: ApiClient, rng: random.Random, wall_clock: Callable[[], float]
    ) -> None:
        self._rng = rng
        self._wall_clock = wall_clock
        self._app = WebhookApp(options.settings)
        self._server = WebhookServer(self._app)
        self._bundle = BundleReader(client, NAMESPACE)
        self._registration = Registration(client, creates=options.registers, url=options.webhook_url)
        self._source = CertificateSource(
            SigningAddresses(options.signing_address, options.renewal_address),
            options.trust_domain,
            token_file=options.token_file,
            state_directory=options.state_directory,
            dns_names=options.dns_names,
            wall_clock=wall_clock,
        )
        self._stack = AsyncExitStack()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises what ended a part that should run for ever."""
        self.port = 0

    @classmethod
    async def start(
        cls,
        options: Options,
        listener: socket.socket,
        *,
        rng: random.Random | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> Self:
        """Returns when pods are being injected; until then it tries again and again. `listener` is bound.

        `wall_clock`: seconds since the epoch.
        Raises KubeconfigError, KeyStoreError.
        """
        make_private_directory(options.state_directory)
        client = ApiClient.from_kubeconfig(options.kubeconfig)
        injector = cls(options, client, rng or random.Random(), wall_clock)
        injector._stack.push_async_callback(client.close)
        try:
            await injector._start(listener)
        except BaseException:
            await injector.stop()
            raise
        return injector

    async def stop(self) -> None:
        """The registration stays: pods that would run without a sidecar are rather not made."""
        await self._stack.aclose()

    async def _start(self, listener: socket.socket) -> None:
        trust = await self._persist("trust bundle", self._read_bundle)
        current = self._source.kept(trust)
        if current is None:
            current = await self._persist("certificate", lambda: self._source.next(None, trust))
        self._server.present(current)
        self._stack.push_async_callback(self._server.stop)
        self.port = await self._server.start(listener)
        presented = current
        await self._persist("registration", lambda: self._registration.set(ca_bundle(trust, presented)))
        self._app.is_ready = True
        _log.info("injecting on port %d", self.port)
        await self._follow(presented)

    async def _follow(self, presented: IssuedCertificate) -> None:
        """Start everything that runs for ever."""
        self._keep_running("rotation", self._rotate(presented))
        self._keep_running("trust bundle", self._bundle.follow())
        self._keep_running("registration", self._registration.keep())
        followed = asyncio.ensure_future(self._is_followed())
        await asyncio.wait({followed, self.failure}, return_when=asyncio.FIRST_COMPLETED)
        followed.cancel()

    async def _is_followed(self) -> None:
        await self._bundle.is_followed.wait()
        await self._registration.is_followed.wait()

    async def _read_bundle(self) -> TrustBundle:
        bundle = await self._bundle.read()
        if bundle is None:
            raise NotIssued(f"there is no ConfigMap {NAMESPACE}/{BundleReader.CONFIG_MAP} yet")
        return bundle

    async def _rotate(self, current: IssuedCertificate) -> None:
        """Renew in time, and follow the trust bundle, for ever."""
        while True:
            due = renew_at(self._wall_clock(), current.not_after, self._rng)
            await self._wait_for_news(due)
            self._bundle.changed.clear()
            current = await self._persist("renewal", functools.partial(self._caught_up, current, due))

    async def _wait_for_news(self, due: float) -> None:
        """Until `due` (seconds since the epoch), or a new bundle."""
        while not self._bundle.changed.is_set() and (left := due - self._wall_clock()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LONGEST_SLEEP)):
                    await self._bundle.changed.wait()

    async def _caught_up(self, current: IssuedCertificate, due: float) -> IssuedCertificate:
        """What is presented from here on; `caBundle` is right before and after."""
        trust = self._bundle.current
        assert trust is not None
        await self._registration.set(ca_bundle(trust, current))
        if current.root in trust.roots and self._wall_clock() < due:
            return current
        try:
            renewed = await self._source.next(current, trust)
        except NotIssued as error:
            if self._wall_clock() < current.not_after:
                raise
            raise CertificateEnded(str(error)) from error
        self._server.present(renewed)
        _log.info("certificate renewed until %d", renewed.not_after)
        await self._persist("registration", lambda: self._registration.set(ca_bundle(trust, renewed)))
        return renewed

    async def _persist(self, what: str, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """The result of the first attempt that does not fail for a passing reason."""
        delay = _FIRST_RETRY
        while True:
            try:
                return await attempt()
            except _PASSING as error:
                _log.warning("%s: %s", what, error or type(error).__name__)
            await asyncio.sleep(self._rng.uniform(delay / 2, delay))
            delay = min(2 * delay, _LAST_RETRY)

    def _keep_running(self, name: str, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda done: self._on_done(name, done))
        self._stack.push_async_callback(_cancel, task)

    def _on_done(self, name: str, task: "asyncio.Future[None]") -> None:
        if task.cancelled() or self.failure.done():
            return
        if (error := task.exception()) is not None:
            _log.critical("%s ended unexpectedly", name, exc_info=error)
            self.failure.set_exception(error)


async def _cancel(task: "asyncio.Future[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
