"""The connections of a cluster: dialled, pooled, handed to exchanges, counted against its limits. [7, 8]"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import cast

from meshproxy.config.model import Cluster, UpstreamTls
from meshproxy.http.h2.settings import H2Limits
from meshproxy.upstream.by_alpn import ByAlpn
from meshproxy.upstream.connector import ConnectFailed, DialTarget
from meshproxy.upstream.endpoint import ConnectionWaiter, EndpointRuntime
from meshproxy.upstream.h2_connection import H2UpstreamConnection
from meshproxy.upstream.http_connection import HttpUpstreamConnection
from meshproxy.upstream.services import UpstreamServices

_H2_LIMITS = H2Limits()
_STREAMS_EXPECTED = 100
"""Exchanges that wait for one HTTP/2 connection being dialled: RFC 9113 section 6.5.2 recommends that no peer
allows fewer streams."""

HttpConnection = HttpUpstreamConnection | H2UpstreamConnection


class ClusterConnections:
    """What the live twin of a cluster does with connections."""

    def __init__(self, cluster: Cluster, services: UpstreamServices) -> None:
        self.cluster = cluster
        self._is_http1 = not cluster.http2 and not cluster.http2_alpn
        """All connections are of HTTP/1.1."""
        self._services = services
        self._pool = services.pool
        self.pending_requests = 0
        self.connections = 0
        self.overflows = 0

    @property
    def endpoints(self) -> list[EndpointRuntime]:
        """Every live endpoint, for admin."""
        raise NotImplementedError

    def on_overflow(self, limit: str) -> None:
        """A circuit limit (`connections`, `pending`, `requests`) forbids what was asked for."""
        self.overflows += 1
        self._services.on_overflow(self.cluster.name, limit)

    # --- which version ---

    def _take(self, cluster: Cluster) -> None:
        """This is the configuration from now on."""
        self.cluster = cluster
        self._is_http1 = not cluster.http2 and not cluster.http2_alpn

    def negotiates(self, runtime: EndpointRuntime) -> bool:
        """Its peer is asked for HTTP/2, and may choose HTTP/1.1."""
        return bool(self.cluster.http2_alpn) and runtime.target.tls is not None

    def _multiplexes(self, runtime: EndpointRuntime) -> bool:
        """As far as is known, its connections serve many exchanges at once."""
        return self.cluster.http2 or (self.negotiates(runtime) and not runtime.is_http1)

    def _change_version(self, runtime: EndpointRuntime) -> None:
        """After a new configuration: what speaks a version that is not wanted any more takes nothing new."""
        if self._multiplexes(runtime):
            for connection in runtime.idle.clear():
                connection.close()
        else:
            for multiplexed in list(runtime.multiplexed):
                multiplexed.retire()

    # --- handing out ---

    def connect(self, runtime: EndpointRuntime, waiter: ConnectionWaiter) -> bool:
        """Queue `waiter` for a connection of `runtime` and dial one, unless there are as many as may be: then
        it waits for one that is in use, as with Envoy. False: too many wait already."""
        if self.pending_requests >= self.cluster.max_pending_requests:
            self.on_overflow("pending")
            return False
        self.pending_requests += 1
        runtime.waiters.append(waiter)
        if not self._dial_for_waiters(runtime):
            self.on_overflow("connections")
        return True

    def _dial_for_waiters(self, runtime: EndpointRuntime) -> bool:
        """A dial for everybody who waits, within the limit; one connection every endpoint may have. False:
        the limit forbids a dial."""
        shared = _STREAMS_EXPECTED if self._multiplexes(runtime) else 1
        while len(runtime.waiters) > runtime.connecting * shared:
            has_one = runtime.connections or runtime.connecting
            if self.connections >= self.cluster.max_connections and has_one:
                return False
            runtime.connecting += 1
            self.connections += 1
            self._services.tasks.start(self._dial(runtime), f"connect {runtime.place}")
        return True

    def connect_alone(self, runtime: EndpointRuntime, waiter: ConnectionWaiter) -> bool:
        """Dial a connection of HTTP/1.1 for `waiter`, whatever version the others get. False: a limit forbids
        it."""
        if self.pending_requests >= self.cluster.max_pending_requests:
            self.on_overflow("pending")
            return False
        if self.connections >= self.cluster.max_connections and runtime.connections:
            self.on_overflow("connections")
            return False
        self.pending_requests += 1
        self.connections += 1
        runtime.alone.append(waiter)
        self._services.tasks.start(self._dial(runtime, waiter), f"connect {runtime.place}")
        return True

    def cancel_wait(self, runtime: EndpointRuntime, waiter: ConnectionWaiter) -> None:
        """The exchange no longer wants a connection; one that is being dialled goes to the pool."""
        for waiting in (runtime.waiters, runtime.alone):
            if waiter in waiting:
                waiting.remove(waiter)
                self.pending_requests -= 1

    # --- dialling ---

    async def _dial(self, runtime: EndpointRuntime, alone: ConnectionWaiter | None = None) -> None:
        """`alone`: whom the connection is for, who does not wait with the others."""
        runtime.connections += 1
        target = runtime.target
        dialled: ByAlpn | HttpConnection
        if alone is None and self.negotiates(runtime):
            target = _offering(target, self.cluster.http2_alpn)
            dialled = ByAlpn(self.cluster.http2_alpn[0], partial(self._connection, runtime))
        else:
            dialled = self._connection(runtime, alone is None and self.cluster.http2)
        try:
            await self._services.connector.connect(target, cast("asyncio.Protocol", dialled))
            connection = _made(dialled)
            if connection is None or connection.is_lost:  # between its establishment and now
                raise ConnectFailed(f"{target.address}:{target.port} closed the connection at once", "closed")
        except ConnectFailed as error:
            self._abandon(runtime, _made(dialled), alone)
            self._fail_waiter(runtime, error, alone)
            return
        except Exception as error:
            self._abandon(runtime, _made(dialled), alone)
            failed = ConnectFailed(f"unexpected {type(error).__name__}", "internal")
            self._fail_waiter(runtime, failed, alone)
            raise  # logged with its traceback by whoever owns the task
        except BaseException:
            self._abandon(runtime, _made(dialled), alone)
            raise
        if alone is not None:
            self._hand_over(runtime, connection, alone)
            return
        runtime.connecting -= 1
        if isinstance(dialled, ByAlpn):
            runtime.is_http1 = isinstance(connection, HttpUpstreamConnection)
        if isinstance(connection, H2UpstreamConnection):
            runtime.multiplexed.append(connection)
            self._serve(runtime, connection)
            if runtime.is_removed:
                connection.retire()
        else:
            self._free(runtime, connection)
            if runtime.is_http1:
                self._dial_for_waiters(runtime)  # it was dialled for many, and serves one

    def _connection(self, runtime: EndpointRuntime, is_http2: bool) -> HttpConnection:
        """Not connected yet."""
        services = self._services
        if is_http2:
            return H2UpstreamConnection(
                services.messages, _H2_LIMITS, partial(self._serve, runtime), partial(self._forget, runtime)
            )
        return HttpUpstreamConnection(
            services.codec.response_reader(), partial(self._free, runtime), partial(self._forget, runtime)
        )

    def _hand_over(
        self, runtime: EndpointRuntime, connection: HttpConnection, waiter: ConnectionWaiter
    ) -> None:
        assert isinstance(connection, HttpUpstreamConnection)
        if waiter in runtime.alone:
            runtime.alone.remove(waiter)
            self.pending_requests -= 1
            waiter.on_connection(connection)
        else:
            self._free(runtime, connection)

    def _serve(self, runtime: EndpointRuntime, connection: H2UpstreamConnection) -> None:
        """An HTTP/2 connection may have room: for those who wait longest."""
        limit = self.cluster.max_requests_per_connection
        while runtime.waiters and connection.has_room and connection in runtime.multiplexed:
            self.pending_requests -= 1
            runtime.waiters.popleft().on_connection(connection.lane())
        if limit and connection.requests >= limit:
            connection.retire()
        connection.idle_since = self._services.clock.monotonic()

    def _fail_waiter(
        self, runtime: EndpointRuntime, error: ConnectFailed, alone: ConnectionWaiter | None
    ) -> None:
        """A dial came to nothing: so does the exchange that waits longest, unless every one that waits has a
        dial of its own under way (another one was served by a pooled connection, or left). Nor does anybody
        go on waiting where there is no connection left to wait for."""
        self._services.on_connect_failed(self.cluster.name, error)
        if alone is not None:
            if alone in runtime.alone:
                runtime.alone.remove(alone)
                self.pending_requests -= 1
                alone.on_connect_failed(error)
            return
        failed = 0
        while len(runtime.waiters) > runtime.connecting and not (failed and runtime.connections):
            failed += 1
            self.pending_requests -= 1
            runtime.waiters.popleft().on_connect_failed(error)

    def _forget(self, runtime: EndpointRuntime, connection: HttpConnection) -> None:
        """A connection is lost."""
        self.connections -= 1
        runtime.connections -= 1
        if isinstance(connection, HttpUpstreamConnection):
            runtime.idle.discard(connection)
        elif connection in runtime.multiplexed:
            runtime.multiplexed.remove(connection)
        if runtime.waiters:
            self._dial_for_waiters(runtime)

    def _abandon(
        self, runtime: EndpointRuntime, connection: HttpConnection | None, alone: ConnectionWaiter | None
    ) -> None:
        if connection is not None and connection.is_connected:
            connection.abort()  # its `on_gone` gives the counters back
        else:
            self.connections -= 1
            runtime.connections -= 1
        if alone is None:
            runtime.connecting -= 1
        runtime.connect_failures += 1

    def _free(self, runtime: EndpointRuntime, connection: HttpUpstreamConnection) -> None:
        """A connection can take an exchange: the longest waiting one, else it is pooled."""
        if connection.is_lost:
            return
        limit = self.cluster.max_requests_per_connection
        if limit and connection.requests >= limit:
            connection.close()
        elif runtime.waiters:
            self.pending_requests -= 1
            runtime.waiters.popleft().on_connection(connection)
        elif not self._is_http1 and self._multiplexes(runtime):
            connection.close()  # the next exchange takes a stream
        elif runtime.is_removed or not runtime.idle.put(connection, self._services.clock.monotonic()):
            connection.close()

    def expire_idle(self, now: float) -> None:
        """Close pooled connections that waited too long; run now and then."""
        for runtime in self.endpoints:
            for connection in runtime.idle.expire(now):
                connection.close()
            for multiplexed in list(runtime.multiplexed):
                multiplexed.recover()
                if not multiplexed.streams and now - multiplexed.idle_since > self._pool.idle_timeout:
                    multiplexed.close()


def _made(dialled: ByAlpn | HttpConnection) -> HttpConnection | None:
    """What came of it; None while the peer has not chosen."""
    return dialled.chosen if isinstance(dialled, ByAlpn) else dialled


def _offering(target: DialTarget, alpn: tuple[str, ...]) -> DialTarget:
    assert isinstance(target.tls, UpstreamTls)
    return replace(target, tls=replace(target.tls, alpn_protocols=alpn))
