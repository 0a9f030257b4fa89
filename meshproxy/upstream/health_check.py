"""Active health checks of one cluster: asking its endpoints, one by one, how they are. [9]

What answers mean and when to ask again is `policy/health_state.py`; what follows from it is the cluster's.
Every endpoint has a task that sleeps between its checks; a few of them ask at once. They dial as requests do,
over mTLS where the endpoint speaks it, and keep their connection for the next check where the answer allows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol, cast

from meshproxy.config.health_check import GrpcCheck, HealthCheck, HttpCheck, TcpCheck
from meshproxy.http.events import END, Event, Response, ResponseHead
from meshproxy.policy.health_state import DEGRADED, IMMEDIATE_FAIL, CheckResult, HealthState
from meshproxy.upstream.connector import ConnectFailed, Connector
from meshproxy.upstream.endpoint import EndpointRuntime
from meshproxy.upstream.grpc_probe import GrpcProbe
from meshproxy.upstream.http_connection import HttpUpstreamConnection
from meshproxy.upstream.services import UpstreamServices

_log = logging.getLogger(__name__)

AT_ONCE: Final = 32
"""Checks of a cluster under way at the same time; the others wait their turn."""
MAX_ANSWER: Final = 64 * 1024
"""Bytes of a TCP answer in which the expected ones must be found."""


class Probe(Protocol):
    """Asks one endpoint."""

    async def ask(self) -> tuple[CheckResult, bool]:
        """(how it is, it said that it is going). Raises ConnectFailed; cancelled when it takes too long."""
        ...

    def close(self) -> None: ...


class HealthChecker:
    """One cluster's. `on_result(endpoint, result, is_going)` hears of every check."""

    __slots__ = ("_check", "_has_traffic", "_name", "_on_result", "_seats", "_services", "_watchers")

    def __init__(
        self,
        name: str,
        services: UpstreamServices,
        on_result: Callable[[EndpointRuntime, CheckResult, bool], None],
        has_traffic: Callable[[], bool],
    ) -> None:
        self._name = name
        self._services = services
        self._on_result = on_result
        self._has_traffic = has_traffic
        self._check: HealthCheck | None = None
        self._seats = asyncio.Semaphore(AT_ONCE)
        self._watchers: dict[EndpointRuntime, asyncio.Task[None]] = {}

    def update(self, check: HealthCheck | None, endpoints: Sequence[EndpointRuntime]) -> None:
        """Check these endpoints from now on. With other checks everybody is asked anew, and until then counts
        as well as before; who joins later serves once it has passed."""
        is_new = check != self._check
        if is_new:
            self._stop_all()
            self._check = check
        gone = self._watchers.keys() - set(endpoints)
        for endpoint in gone:
            self._stop(endpoint)
        if check is None:
            return
        for endpoint in endpoints:
            if endpoint not in self._watchers:
                endpoint.is_presumed_well = is_new
                endpoint.check = HealthState(check.settings)
                watch = self._watch(endpoint, endpoint.check, check)
                name = f"health check of {endpoint.place}"
                self._watchers[endpoint] = self._services.tasks.start(watch, name)

    def _stop_all(self) -> None:
        for endpoint in list(self._watchers):
            self._stop(endpoint)

    def _stop(self, endpoint: EndpointRuntime) -> None:
        endpoint.check = None
        self._watchers.pop(endpoint).cancel()

    async def _watch(self, endpoint: EndpointRuntime, state: HealthState, check: HealthCheck) -> None:
        services = self._services
        probe = _probe(check, endpoint, services)
        try:
            await services.sleep(state.first_delay(services.rng))
            while True:
                async with self._seats:
                    result, is_going = await self._ask(probe, check.settings.timeout)
                services.on_health_check(self._name, result.value)
                self._on_result(endpoint, result, is_going)
                await services.sleep(state.next_interval(self._has_traffic(), services.rng))
        finally:
            probe.close()

    async def _ask(self, probe: Probe, seconds: float) -> tuple[CheckResult, bool]:
        try:
            async with asyncio.timeout(seconds):
                return await probe.ask()
        except (ConnectFailed, TimeoutError):
            pass
        except Exception:
            _log.exception("%s: a health check failed unexpectedly", self._name)
        probe.close()
        return CheckResult.NETWORK, False


def _probe(check: HealthCheck, endpoint: EndpointRuntime, services: UpstreamServices) -> Probe:
    if isinstance(check.asks, HttpCheck):
        return HttpProbe(check.asks, endpoint, services)
    if isinstance(check.asks, GrpcCheck):
        return GrpcProbe(check.asks, endpoint, services)
    return TcpProbe(check.asks, endpoint, services.connector)


class HttpProbe:
    """Asks by a GET. Implements `ResponseSink`."""

    __slots__ = ("_answer", "_asks", "_connection", "_endpoint", "_head", "_services")

    def __init__(self, asks: HttpCheck, endpoint: EndpointRuntime, services: UpstreamServices) -> None:
        self._asks = asks
        self._endpoint = endpoint
        self._services = services
        self._connection: HttpUpstreamConnection | None = None
        self._answer: asyncio.Future[ResponseHead] | None = None
        self._head = b"GET %b HTTP/1.1\r\nhost: %b\r\nuser-agent: meshproxy-health-check\r\n\r\n" % (
            asks.path.encode(),
            asks.host.encode(),
        )

    async def ask(self) -> tuple[CheckResult, bool]:
        connection = self._connection
        if connection is None or connection.is_lost:
            connection = self._connection = await self._dial()
        self._answer = asyncio.get_running_loop().create_future()
        connection.begin(self, b"GET", self._head)
        head = await self._answer
        names = {name for name, _ in head.headers}
        return self._judge(head.status, names), IMMEDIATE_FAIL in names

    def _judge(self, status: int, names: set[bytes]) -> CheckResult:
        if not any(first <= status < end for first, end in self._asks.expected_statuses):
            return CheckResult.UNWELL
        return CheckResult.DEGRADED if DEGRADED in names else CheckResult.SUCCESS

    async def _dial(self) -> HttpUpstreamConnection:
        reader = self._services.codec.response_reader()
        connection = HttpUpstreamConnection(reader, _keep, _keep)
        await self._services.connector.connect(self._endpoint.target, cast("asyncio.Protocol", connection))
        return connection

    def close(self) -> None:
        """Nobody waits for an answer any more."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_lost:
            connection.abort()

    # --- ResponseSink ---

    def on_response(self, events: list[Event]) -> None:
        last = events[-1]
        for event in events:
            if isinstance(event, Response) and event.head.status >= 200:
                is_whole = last is END or event.end_stream
                self._finish(is_whole and event.keeps_open)
                self._settle(event.head)
                return

    def _finish(self, reusable: bool) -> None:
        assert self._connection is not None
        if reusable:
            self._connection.finish(True)
        else:
            self.close()  # the rest of the answer is of no interest

    def _settle(self, head: ResponseHead) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(head)

    def on_upstream_lost(self, error: Exception | None) -> None:
        self._connection = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(
                ConnectFailed(f"{self._endpoint.place} closed the connection", "closed")
            )

    def on_upstream_write_paused(self) -> None:
        """A request this small is not waited for."""

    def on_upstream_write_resumed(self) -> None:
        """See above."""


def _keep(connection: HttpUpstreamConnection) -> None:
    """The probe has it already, and sees that it is lost."""


class TcpProbe:
    """Asks by connecting, and by bytes where some are expected. A connection is used once."""

    __slots__ = ("_asks", "_connector", "_endpoint")

    def __init__(self, asks: TcpCheck, endpoint: EndpointRuntime, connector: Connector) -> None:
        self._asks = asks
        self._endpoint = endpoint
        self._connector = connector

    async def ask(self) -> tuple[CheckResult, bool]:
        listening = _Listening(self._asks.receive)
        try:
            await self._connector.connect(self._endpoint.target, listening)
            if self._asks.send:
                listening.send(self._asks.send)
            await listening.heard
        finally:
            listening.close()
        return CheckResult.SUCCESS, False

    def close(self) -> None:
        """Every check closes its own connection."""


class _Listening(asyncio.Protocol):
    """Waits for `expected`, each behind the one before."""

    def __init__(self, expected: tuple[bytes, ...]) -> None:
        self._expected = expected
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self.heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not expected:
            self.heard.set_result(None)

    def send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        if not self.heard.done():
            self.heard.cancel()
        elif not self.heard.cancelled():
            with suppress(ConnectFailed):
                self.heard.result()  # retrieved: whoever waited has it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.heard.done():
            return
        self._data += data
        if self._is_complete():
            self.heard.set_result(None)
        elif len(self._data) > MAX_ANSWER:
            self._fail("answered something else")

    def _is_complete(self) -> bool:
        position = 0
        for part in self._expected:
            found = self._data.find(part, position)
            if found < 0:
                return False
            position = found + len(part)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("closed the connection")

    def _fail(self, what: str) -> None:
        if not self.heard.done():
            self.heard.set_exception(ConnectFailed(f"the endpoint {what}", "closed"))
