"""The sidecar's ADS client: one stream to the control plane, for ever; publishes what it accepts.

A stream that ends is replaced after a full-jitter backoff; what was accepted keeps serving meanwhile.
`rotate()` replaces a stream that still lives, because the certificate is new: the old stream goes on until
the new one has answered. Work that would stall the event loop, the translation of big responses, is done in
slices.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Final

from control_plane.api.envoy.config.core.v3.base_pb2 import DataSource, Node
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    TlsCertificate as _Certificate,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from meshproxy.clock import Clock
from meshproxy.config.name_table import NameTable
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.config.tls import TlsCertificate
from meshproxy.errors import ConfigError, UpstreamError
from meshproxy.policy.backoff import BackoffSettings
from meshproxy.slicing import in_slices
from meshproxy.tasks import TaskGroupRegistry
from meshproxy.xds.resource_view import ResourceView
from meshproxy.xds.status import ClientCounters, TypeReport, XdsStatus
from meshproxy.xds.stream import AdsStream, OpenConnection
from meshproxy.xds.subscription import AdsState, Cursor
from meshproxy.xds.translate import MESSAGES, NAME_TABLE_TYPE, SHORT_NAMES, Accepted, translating
from meshproxy.xds.warming import Warming

RECONNECT: Final = BackoffSettings(base=0.1, cap=5.0)
"""Between attempts. The cap bounds how long a recovered control plane waits for its sidecars."""

FIRST_ANSWER_TIMEOUT: Final = 20.0
"""Seconds from opening a stream to its first response; above Envoy's 15 s for a resource that does not
come.
"""

_log = logging.getLogger(__name__)


class _Session:
    """A stream with its cursor and the task that reads it."""

    def __init__(self, stream: AdsStream, cursor: Cursor) -> None:
        self.stream = stream
        self.cursor = cursor
        self.answered = asyncio.Event()
        """The first response is there."""
        self.ended = asyncio.Event()


class XdsClient:
    """`start()` runs it in the background, `close()` ends it; both on the event loop that applies
    snapshots.
    """

    def __init__(
        self,
        node: Node,
        open_connection: OpenConnection,
        on_snapshot: Callable[[ConfigSnapshot], None],
        *,
        clock: Clock,
        rng: Random,
        until_in_force: Callable[[], Awaitable[None]] | None = None,
        on_names: Callable[[NameTable], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`on_snapshot` is called on the loop with the first complete set and with each change after it;
        `until_in_force` is awaited before a response is acknowledged: whoever withdraws an endpoint may take
        the ACK as a promise that nothing new goes there. `on_names` is called with every name table, which is
        asked for only with it.
        """
        self._open_connection = open_connection
        self._on_snapshot = on_snapshot
        self._until_in_force = until_in_force
        self._on_names = on_names
        self._clock = clock
        self._rng = rng
        self._sleep = sleep
        self._state = AdsState(node, asks_names=on_names is not None)
        self._warming = Warming()
        self._live: _Session | None = None
        self._connected_at = 0.0
        self._last_error = ""
        self._rotation = asyncio.Event()
        self._turn = asyncio.Lock()
        """Responses of an old and a new stream are taken in one after the other."""
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = TaskGroupRegistry()
        self.counters = ClientCounters()

    def start(self) -> None:
        """Connect, and stay connected, in the background."""
        self._tasks.start(self._run(), "xds-client")

    def rotate(self) -> None:
        """The credentials are new: open a stream with them, then let the old one go."""
        self._rotation.set()

    async def close(self) -> None:
        """End the stream. What was published stays in force. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.close()
        live, self._live = self._live, None
        if live is not None:
            await live.stream.close()

    @property
    def snapshot(self) -> ConfigSnapshot | None:
        """What was published last; None before the first complete set."""
        return self._warming.published

    @property
    def is_connected(self) -> bool:
        """Whether the control plane tells of changes now."""
        return self._live is not None and not self._live.ended.is_set()

    def status(self) -> XdsStatus:
        """For `/ready`, `/stats` and people."""
        types = {
            short: TypeReport(
                version=(state := self._state.types[type_url]).version,
                resources=len(state.accepted),
                updates=state.updates,
                rejected=state.rejected,
                last_rejection=state.last_rejection,
            )
            for type_url, short in SHORT_NAMES.items()
        }
        is_connected = self.is_connected
        return XdsStatus(is_connected, self._connected_at if is_connected else 0.0, self._last_error, types)

    def dump(self) -> dict[str, object]:
        """Every accepted resource as JSON-like values, by short type and name, for `/config_dump`.

        A resource is decoded when its mapping is read: that is for the reader to spread over time.
        """
        return {
            short: {
                "version": state.version,
                "resources": {
                    name: _shown(type_url, state.accepted[name]) for name in sorted(state.accepted)
                },
            }
            for type_url, short in SHORT_NAMES.items()
            for state in (self._state.types[type_url],)
        }

    # --- connecting -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        attempt = 0
        while True:
            self._rotation.clear()
            session = await self._establish()
            since = self._clock.monotonic()
            if session is not None:
                await self._replace(session)
                if await self._until_rotation(session):
                    attempt = 0
                    continue
                if self._clock.monotonic() - since >= RECONNECT.cap:
                    attempt = 0
            attempt += 1
            await self._sleep(RECONNECT.delay(attempt, self._rng))

    async def _establish(self) -> _Session | None:
        """A stream that has answered; None when none came about."""
        session: _Session | None = None
        try:
            stream = AdsStream(await self._open_connection())
            cursor, requests = self._state.open_stream()
            session = _Session(stream, cursor)
            self._tasks.start(self._consume(session, requests), "xds-stream")
            async with asyncio.timeout(FIRST_ANSWER_TIMEOUT):
                await _first_of(session.answered, session.ended)
        except TimeoutError:
            self._fail(f"the control plane did not answer within {FIRST_ANSWER_TIMEOUT:.0f} s")
        except UpstreamError as error:
            self._fail(str(error))
        except Exception as error:  # a bug here must not leave the sidecar without configuration for good
            _log.exception("xds: no stream could be opened")
            self._fail(f"unexpected {type(error).__name__}")
        finally:
            if session is not None and not session.answered.is_set():
                await session.stream.close()
        return session if session is not None and session.answered.is_set() else None

    async def _replace(self, session: _Session) -> None:
        before, self._live = self._live, session
        self._connected_at, self._last_error = self._clock.wall(), ""
        self.counters.streams += 1
        if before is not None:
            await before.stream.close()

    async def _until_rotation(self, session: _Session) -> bool:
        """Wait until the stream ends (False) or its credentials are old (True)."""
        await _first_of(session.ended, self._rotation)
        if not session.ended.is_set():
            return True
        self._live = None
        await session.stream.close()
        return False

    def _fail(self, reason: str) -> None:
        self.counters.failures += 1
        self._last_error = reason
        _log.warning("xds: %s", reason)

    # --- taking in ------------------------------------------------------------------------------------------

    async def _consume(self, session: _Session, requests: list[DiscoveryRequest]) -> None:
        try:
            await session.stream.send(requests)
            while True:
                response = await session.stream.receive()
                session.answered.set()
                async with self._turn:
                    await session.stream.send(await self._take_in(session.cursor, response))
        except UpstreamError as error:
            if session is self._live or not session.answered.is_set():
                self._fail(str(error))
        finally:
            session.ended.set()

    async def _take_in(self, cursor: Cursor, response: DiscoveryResponse) -> list[DiscoveryRequest]:
        """Translate, accept or refuse, publish; returns what to answer."""
        state = self._state.types.get(response.type_url)
        if state is None:
            _log.warning("xds: a response of type %r was not asked for", response.type_url)
            return []
        try:
            steps = translating(response.type_url, response.resources, state.accepted)
            resources = await in_slices(steps, self._clock)
        except ConfigError as error:
            _log.error("xds: %s refused: %s", SHORT_NAMES[response.type_url], error)
            return self._state.reject(cursor, response, str(error))
        answers = self._state.accept(cursor, response, resources)
        if response.type_url == NAME_TABLE_TYPE:
            self._publish_names(resources)
            return answers
        self._publish()
        if self._until_in_force is not None:
            await self._until_in_force()
        return answers

    def _publish(self) -> None:
        now = self._clock.monotonic()
        snapshot = self._warming.advance(self._state, now)
        self._schedule(now)
        if snapshot is None:
            return
        try:
            self._on_snapshot(snapshot)
        except Exception:  # a bug in applying one snapshot must not end the stream that brings the next
            self.counters.callback_errors += 1
            _log.exception("xds: a snapshot could not be applied")

    def _publish_names(self, resources: Mapping[str, Accepted]) -> None:
        for item in resources.values():
            if self._on_names is not None and isinstance(item.value, NameTable):
                self._on_names(item.value)

    def _schedule(self, now: float) -> None:
        """Look again when waiting for a resource that does not come is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._warming.next_deadline(now)
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_later(deadline - now, self._publish)


def _shown(type_url: str, item: Accepted) -> ResourceView:
    """A resource as people may see it: of a secret, what everybody is shown who connects."""
    if isinstance(item.value, TlsCertificate):
        chain = DataSource(inline_bytes=item.value.chain_pem)
        secret = Secret(name=item.name, tls_certificate=_Certificate(certificate_chain=chain))
        return ResourceView(Secret, secret.SerializeToString())
    return ResourceView(MESSAGES[type_url], item.body)


async def _first_of(*events: asyncio.Event) -> None:
    """Wait until one of `events` is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
