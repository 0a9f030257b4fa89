"""The live twin of a `Cluster`: limits, balancing and the way to a connection. [6]"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from math import inf
from typing import cast

from meshproxy.config.load_balancing import LoadBalancing
from meshproxy.config.model import Cluster, ClusterType, Endpoint, UpstreamTls
from meshproxy.config.tls import OriginTls
from meshproxy.http.events import ResponseHead
from meshproxy.http.h2.settings import H2Limits
from meshproxy.policy.health_state import CheckResult
from meshproxy.policy.outlier import FailureKind, OutlierEvent
from meshproxy.policy.retry_budget import RetryBudget
from meshproxy.upstream.balancer.api import PickContext
from meshproxy.upstream.balancer.assembly import Assembled, assemble, heeds_time
from meshproxy.upstream.cluster_health import ClusterHealth, next_probe_at
from meshproxy.upstream.connector import ConnectFailed, DialTarget
from meshproxy.upstream.dns_names import DnsNames
from meshproxy.upstream.endpoint import ConnectionWaiter, EndpointRuntime
from meshproxy.upstream.h2_connection import H2UpstreamConnection
from meshproxy.upstream.health_check import HealthChecker
from meshproxy.upstream.http_connection import HttpUpstreamConnection
from meshproxy.upstream.services import UpstreamServices

_log = logging.getLogger(__name__)

_H2_LIMITS = H2Limits()
_STREAMS_EXPECTED = 100
"""Exchanges that wait for one HTTP/2 connection being dialled: RFC 9113 section 6.5.2 recommends that no peer
allows fewer streams."""
_MAX_ORIGINAL_DST_ENDPOINTS = 1024
"""Addresses remembered by one ORIGINAL_DST cluster; an idle one makes room when a new one comes."""


class ClusterRuntime:
    """Endpoints by balancer order, and the counters that the circuit limits compare."""

    def __init__(self, cluster: Cluster, services: UpstreamServices) -> None:
        self.cluster = cluster
        self._services = services
        self._pool = services.pool
        self._endpoints: list[EndpointRuntime] = []
        nobody: Assembled[EndpointRuntime] = assemble(LoadBalancing(), (), services.rng, 0.0)
        self._balancer = nobody.balancer
        self._directed = nobody.directed
        self._heeds_time = False
        self._is_special = cluster.type is ClusterType.ORIGINAL_DST
        """`pick` has more to do than to ask the balancer."""
        self._probe_at = inf
        """When a breaker that is open may let a request pass."""
        self._health = ClusterHealth(
            cluster,
            services.clock,
            services.rng,
            rotate=self._rotate,
            tell=self._tell,
            on_opened=lambda: services.on_breaker_opened(self.cluster.name),
        )
        self._checker: HealthChecker | None = None
        self._names: DnsNames | None = None
        self._is_started = False
        self._budget: RetryBudget | None = None
        self._counted = 0
        """Of `exchanges`, those the budget has heard of."""
        self.is_panicking = False
        self._by_address: dict[tuple[str, int], EndpointRuntime] = {}
        self._is_retired = False
        self.active_requests = 0
        self.exchanges = 0
        """Exchanges begun, ever."""
        self.pending_requests = 0
        self.connections = 0
        self.active_retries = 0
        """Retries granted and not yet answered."""
        self.overflows = 0

    @property
    def endpoints(self) -> list[EndpointRuntime]:
        """Every live endpoint, for admin."""
        return [*self._endpoints, *self._by_address.values()]

    @property
    def now(self) -> float:
        """By the clock its policies go by; monotonic seconds."""
        return self._services.clock.monotonic()

    # --- configuration ---

    def update(self, cluster: Cluster, endpoints: tuple[Endpoint, ...]) -> None:
        """Take a new configuration. Endpoints that stay keep their connections."""
        self.cluster = cluster
        self._pool = self._services.pool
        if cluster.idle_timeout is not None:
            self._pool = replace(self._pool, idle_timeout=cluster.idle_timeout or inf)
        self._use(self._follow_names(endpoints))

    async def warm(self) -> None:
        """Before `start`: look names up, so that requests find endpoints from the beginning."""
        if self._names is not None:
            await self._names.warm()

    def start(self) -> None:
        """It is in force: names are looked up and endpoints checked from now on. Nothing runs before, so that
        a configuration that never comes into force leaves nothing behind."""
        self._is_started = True
        if self.cluster.dns is not None:
            self._use(self._follow_names(self.cluster.endpoints))
        elif self.cluster.health_check is not None:
            self._use(tuple(runtime.endpoint for runtime in self._endpoints))

    def _follow_names(self, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """What is known of the names among `endpoints`; `endpoints` themselves without DNS."""
        dns = self.cluster.dns
        if dns is None:
            if self._names is not None:
                self._names.stop()
                self._names = None
            return endpoints
        if self._names is None:
            self._names = DnsNames(self.cluster.name, self._services, self._use)
        return self._names.update(dns, endpoints, is_started=self._is_started)

    def _use(self, endpoints: tuple[Endpoint, ...]) -> None:
        """These are there now, with the cluster's present configuration."""
        before, cluster = self._endpoints, self.cluster
        kept = {runtime.key: runtime for runtime in before}
        live: list[EndpointRuntime] = []
        for endpoint in endpoints:
            target = self._target(endpoint)
            runtime = kept.pop((endpoint.address, endpoint.port, endpoint.spiffe_id, target.security), None)
            if runtime is None:
                now = self._services.clock.monotonic()
                runtime = EndpointRuntime(endpoint, target, self._pool, now)
            else:
                runtime.idle.settings = self._pool
                if runtime.endpoint != endpoint:
                    runtime.series.clear()  # labels may have changed
                    runtime.tcp_series = None
                runtime.endpoint, runtime.target = endpoint, target
            live.append(runtime)
        self._endpoints = live
        self._update_budget()
        self._health.update(cluster, live)
        self._update_checks()
        self._rotate()
        for runtime in self._by_address.values():
            runtime.target = self._target(runtime.endpoint)
            runtime.idle.settings = self._pool
        stays = set(map(id, live))
        for runtime in before:  # not `kept`: an address may stand twice in one assignment
            if id(runtime) not in stays:
                runtime.retire()

    def retire(self) -> None:
        """The cluster is gone from the configuration; who still holds it finds no endpoint."""
        self._is_retired = True
        for runtime in self.endpoints:
            runtime.retire()
        self._endpoints = []
        self._by_address = {}
        if self._names is not None:
            self._names.stop()
        if self._checker is not None:
            self._checker.update(None, ())
        self._health.update(self.cluster, ())
        self._rotate()

    def _target(self, endpoint: Endpoint) -> DialTarget:
        cluster = self.cluster
        tls = self._tls_for(endpoint)
        return DialTarget(
            address=endpoint.address,
            port=endpoint.port,
            connect_timeout=cluster.connect_timeout,
            tls=None if isinstance(tls, OriginTls) else tls,
            origin=tls if isinstance(tls, OriginTls) else None,
            spiffe_id=endpoint.spiffe_id,
            bind_address=cluster.bind_address_v6 if ":" in endpoint.address else cluster.bind_address,
        )

    def _tls_for(self, endpoint: Endpoint) -> UpstreamTls | OriginTls | None:
        """The first transport socket match whose criteria the endpoint's metadata meets, else the default."""
        metadata = set(endpoint.transport_socket_match)
        for match in self.cluster.transport_socket_matches:
            if metadata.issuperset(match.criteria):
                return match.tls
        return self.cluster.tls

    # --- choosing ---

    def pick(
        self, tried: Collection[int], original_dst: tuple[str, int], context: PickContext | None = None
    ) -> EndpointRuntime | None:
        """An endpoint, one not in `tried` (ids of runtimes) where one is left; None when there is none."""
        if self._is_special:
            if self.cluster.type is ClusterType.ORIGINAL_DST:
                return self._pick_original(original_dst)
            self._take_care()
        now = self._services.clock.monotonic() if self._heeds_time else 0.0
        return (self._balancer if context is None else self._directed).pick(context, tried, now)

    def _take_care(self) -> None:
        """Before a choice that is not the usual one."""
        if self._probe_at < inf and self._services.clock.monotonic() >= self._probe_at:
            self._rotate()
        if self.is_panicking:
            self._tell(OutlierEvent.PANICKED)

    def _pick_original(self, address: tuple[str, int]) -> EndpointRuntime | None:
        runtime = self._by_address.get(address)
        if runtime is None:
            if not address[0] or self._is_retired:
                return None
            if len(self._by_address) >= _MAX_ORIGINAL_DST_ENDPOINTS and not self._forget_idle_address():
                return None
            endpoint = Endpoint(address=address[0], port=address[1])
            runtime = EndpointRuntime(endpoint, self._target(endpoint), self._pool)
            self._by_address[address] = runtime
        return runtime

    def _forget_idle_address(self) -> bool:
        for address, runtime in self._by_address.items():
            if not runtime.active_requests and not runtime.connecting and not runtime.waiters:
                del self._by_address[address]
                runtime.retire()
                return True
        return False

    # --- active health checks ---

    def _update_checks(self) -> None:
        check = self.cluster.health_check if self._is_started else None
        if self._checker is None:
            if check is None:
                return
            self._checker = HealthChecker(
                self.cluster.name, self._services, self._on_check, self._has_traffic
            )
        self._checker.update(check, self._endpoints)

    def _has_traffic(self) -> bool:
        """Whether anybody ever went there, whose endpoints are worth being checked often."""
        return bool(self.exchanges or self.connections or any(one.requests for one in self._endpoints))

    def _on_check(self, runtime: EndpointRuntime, result: CheckResult, is_going: bool) -> None:
        self._health.on_check(runtime, result)
        if is_going:
            self._health.on_going(runtime)

    # --- what becomes of attempts ---

    def on_attempt_begun(self, runtime: EndpointRuntime, attempt: object) -> None:
        """`attempt`, whatever it is, goes to `runtime`, which is watched; the three below hear of its end."""
        self._health.on_begun(runtime, attempt)

    def on_attempt_failed(
        self,
        runtime: EndpointRuntime,
        kind: FailureKind = FailureKind.SERVER_ERROR,
        attempt: object = None,
    ) -> None:
        """`runtime` answered 500 or above, or not at all."""
        self._health.on_failed(runtime, kind, attempt)

    def on_answer(
        self,
        runtime: EndpointRuntime,
        head: ResponseHead,
        status: int,
        took: float,
        attempt: object = None,
    ) -> None:
        """It answered after `took` seconds. Heard of a `status` from 500 on; of all while `is_watched`."""
        self._health.on_answer(runtime, head, status, took, attempt)

    def on_connected(self, runtime: EndpointRuntime, attempt: object = None) -> None:
        """Over TCP: `runtime`, which is watched, took a connection."""
        self._health.on_success(runtime, attempt)

    def on_attempt_over(self, runtime: EndpointRuntime, attempt: object = None) -> None:
        """An attempt on a watched endpoint ended without saying anything of it."""
        self._health.on_over(runtime, attempt)

    def sweep(self, now: float) -> None:
        """What the policies do in their own time; run now and then."""
        self._health.sweep(now)
        if self._budget is not None:
            self._count_requests(self._budget)
            self._budget.tick(now)

    @property
    def ejected(self) -> int:
        """Endpoints that are ejected now."""
        return self._health.ejected

    def _rotate(self) -> None:
        """Balance over the endpoints that are fit, or over all when too few are."""
        services, settings = self._services, self.cluster.load_balancing
        now, endpoints = services.clock.monotonic(), self._endpoints
        self._probe_at = inf
        if self.cluster.circuit_breaker is not None:
            self._probe_at = next_probe_at(endpoints, now)
            endpoints = [one for one in endpoints if not one.is_barred(now)]
        assembled = assemble(settings, endpoints, services.rng, now, self.cluster.healthy_panic_threshold)
        self._balancer, self._directed = assembled.balancer, assembled.directed
        self.is_panicking = assembled.is_panicking
        self._heeds_time = heeds_time(settings)
        is_given = self.cluster.type is ClusterType.ORIGINAL_DST
        self._is_special = is_given or self.is_panicking or self._probe_at < inf

    def _tell(self, event: OutlierEvent) -> None:
        self._services.on_outlier(self.cluster.name, event, self.ejected)

    # --- limits ---

    def on_overflow(self, limit: str) -> None:
        """A circuit limit (`connections`, `pending`, `requests`) forbids what was asked for."""
        self.overflows += 1
        self._services.on_overflow(self.cluster.name, limit)

    def try_acquire_retry(self) -> bool:
        """Count a retry that begins, until `release_retry`; False: the budget, or the circuit limit where
        there is none, forbids it."""
        budget = self._budget
        if budget is None:
            is_allowed = self.active_retries < self.cluster.max_retries
        else:
            self._count_requests(budget)
            now = self._services.clock.monotonic()
            is_allowed = budget.try_acquire(self.active_requests, self.active_retries, now)
        self.active_retries += is_allowed
        return is_allowed

    def release_retry(self) -> None:
        """A retry was answered, or came to nothing."""
        self.active_retries -= 1

    def _update_budget(self) -> None:
        settings = self.cluster.retry_budget
        if settings is None:
            self._budget = None
        elif self._budget is None or self._budget.settings != settings:
            self._budget = RetryBudget(settings, self._services.clock.monotonic())
            self._counted = self.exchanges

    def _count_requests(self, budget: RetryBudget) -> None:
        """The exchange pays for one count only, whatever is made of it."""
        budget.requests += self.exchanges - self._counted
        self._counted = self.exchanges

    # --- connections ---

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
        shared = _STREAMS_EXPECTED if self.cluster.http2 else 1
        while len(runtime.waiters) > runtime.connecting * shared:
            has_one = runtime.connections or runtime.connecting
            if self.connections >= self.cluster.max_connections and has_one:
                return False
            runtime.connecting += 1
            self.connections += 1
            self._services.tasks.start(self._dial(runtime), f"connect {runtime.place}")
        return True

    def cancel_wait(self, runtime: EndpointRuntime, waiter: ConnectionWaiter) -> None:
        """The exchange no longer wants a connection; one that is being dialled goes to the pool."""
        try:
            runtime.waiters.remove(waiter)
        except ValueError:
            return
        self.pending_requests -= 1

    async def _dial(self, runtime: EndpointRuntime) -> None:
        services = self._services
        connection = self._connection(runtime)
        runtime.connections += 1
        try:
            await services.connector.connect(runtime.target, cast("asyncio.Protocol", connection))
            if connection.is_lost:  # between its establishment and now
                raise ConnectFailed(
                    f"{runtime.target.address}:{runtime.target.port} closed the connection at once", "closed"
                )
        except ConnectFailed as error:
            self._abandon(runtime, connection)
            self._fail_waiter(runtime, error)
            return
        except Exception as error:
            self._abandon(runtime, connection)
            self._fail_waiter(runtime, ConnectFailed(f"unexpected {type(error).__name__}", "internal"))
            raise  # logged with its traceback by whoever owns the task
        except BaseException:
            self._abandon(runtime, connection)
            raise
        runtime.connecting -= 1
        if isinstance(connection, H2UpstreamConnection):
            runtime.multiplexed.append(connection)
            self._serve(runtime, connection)
            if runtime.is_removed:
                connection.retire()
        else:
            self._free(runtime, connection)

    def _connection(self, runtime: EndpointRuntime) -> HttpUpstreamConnection | H2UpstreamConnection:
        """What the cluster's endpoints speak, not connected yet."""
        services = self._services
        if self.cluster.http2:
            return H2UpstreamConnection(
                services.messages, _H2_LIMITS, partial(self._serve, runtime), partial(self._forget, runtime)
            )
        return HttpUpstreamConnection(
            services.codec.response_reader(), partial(self._free, runtime), partial(self._forget, runtime)
        )

    def _serve(self, runtime: EndpointRuntime, connection: H2UpstreamConnection) -> None:
        """An HTTP/2 connection may have room: for those who wait longest."""
        limit = self.cluster.max_requests_per_connection
        while runtime.waiters and connection.has_room and connection in runtime.multiplexed:
            self.pending_requests -= 1
            runtime.waiters.popleft().on_connection(connection.lane())
        if limit and connection.requests >= limit:
            connection.retire()
        connection.idle_since = self._services.clock.monotonic()

    def _fail_waiter(self, runtime: EndpointRuntime, error: ConnectFailed) -> None:
        """A dial came to nothing: so does the exchange that waits longest, unless every one that waits has a
        dial of its own under way (another one was served by a pooled connection, or left). Nor does anybody
        go on waiting where there is no connection left to wait for."""
        self._services.on_connect_failed(self.cluster.name, error)
        failed = 0
        while len(runtime.waiters) > runtime.connecting and not (failed and runtime.connections):
            failed += 1
            self.pending_requests -= 1
            runtime.waiters.popleft().on_connect_failed(error)

    def _forget(
        self, runtime: EndpointRuntime, connection: HttpUpstreamConnection | H2UpstreamConnection
    ) -> None:
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
        self, runtime: EndpointRuntime, connection: HttpUpstreamConnection | H2UpstreamConnection
    ) -> None:
        if connection.is_connected:
            connection.abort()  # its `on_gone` gives the counters back
        else:
            self.connections -= 1
            runtime.connections -= 1
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
