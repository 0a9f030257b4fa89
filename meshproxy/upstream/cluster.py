"""The live twin of a `Cluster`: limits, balancing and the way to a connection. [6]"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from math import inf

from meshproxy.config.load_balancing import LoadBalancing
from meshproxy.config.model import Cluster, ClusterType, Endpoint, UpstreamTls
from meshproxy.config.tls import OriginTls
from meshproxy.http.events import ResponseHead
from meshproxy.policy.health_state import CheckResult
from meshproxy.policy.outlier import FailureKind, OutlierEvent
from meshproxy.policy.retry_budget import RetryBudget
from meshproxy.upstream.balancer.api import PickContext
from meshproxy.upstream.balancer.assembly import Assembled, assemble, heeds_time
from meshproxy.upstream.cluster_health import ClusterHealth, next_probe_at
from meshproxy.upstream.connections import ClusterConnections
from meshproxy.upstream.connector import DialTarget
from meshproxy.upstream.dns_names import DnsNames
from meshproxy.upstream.endpoint import EndpointRuntime
from meshproxy.upstream.health_check import HealthChecker
from meshproxy.upstream.services import UpstreamServices

_log = logging.getLogger(__name__)

_MAX_ORIGINAL_DST_ENDPOINTS = 1024
"""Addresses remembered by one ORIGINAL_DST cluster; an idle one makes room when a new one comes."""


class ClusterRuntime(ClusterConnections):
    """Endpoints by balancer order, and the counters that the circuit limits compare."""

    def __init__(self, cluster: Cluster, services: UpstreamServices) -> None:
        super().__init__(cluster, services)
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
        self.active_retries = 0
        """Retries granted and not yet answered."""

    @property
    def endpoints(self) -> list[EndpointRuntime]:
        return [*self._endpoints, *self._by_address.values()]

    @property
    def now(self) -> float:
        """By the clock its policies go by; monotonic seconds."""
        return self._services.clock.monotonic()

    # --- configuration ---

    def update(self, cluster: Cluster, endpoints: tuple[Endpoint, ...]) -> None:
        """Take a new configuration. Endpoints that stay keep their connections."""
        self._take(cluster)
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
                self._change_version(runtime)
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
            if (
                not runtime.active_requests
                and not runtime.connecting
                and not (runtime.waiters or runtime.alone)
            ):
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
