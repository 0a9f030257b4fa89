"""The data plane of one process: takes configuration snapshots, holds what is live, makes protocols.

A snapshot is prepared whole before any of it takes effect: what cannot be in force leaves the last good
configuration serving. This is done in slices; only the switch is one piece. What did not change between
snapshots is recognised by identity and left alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import cast
from weakref import WeakSet

from meshproxy.config.model import (
    HTTP2,
    Cluster,
    ClusterType,
    Endpoint,
    FilterChain,
    HttpConnectionManager,
    TcpProxy,
    WorkloadIdentity,
)
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.config.tls import EdgeTls, TlsCertificate
from meshproxy.memory import keep_out_of_collections
from meshproxy.proxy.drain import REST, DrainSchedule
from meshproxy.proxy.h2_connection import H2ServerConnection
from meshproxy.proxy.http_connection import HttpServerConnection
from meshproxy.proxy.http_manager import HttpManager
from meshproxy.proxy.services import ConnectionFacts, ProxyServices
from meshproxy.proxy.tcp_proxy import TcpRelay
from meshproxy.routing.cluster_choice import ClusterChoice
from meshproxy.routing.table import CompiledRouteTable
from meshproxy.slicing import in_slices
from meshproxy.steps import Steps
from meshproxy.transport.listener import Accepted, ListenerServices, ListenerSet, close_servers
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.services import UpstreamServices

_log = logging.getLogger(__name__)

MANY = 50
"""Changed clusters that are worth being exempt from garbage collections."""

WARMING_TIMEOUT = 1.0
"""Seconds a configuration with new DNS clusters waits for their names, at most."""

SWEEP_INTERVAL = 1.0
"""Seconds between looks at idle connections and byte counters."""

LEAST_REST = 0.001
"""Seconds between looks at timers: an event loop that rounds down must not spin until the time has come."""


_Managers = dict[int, tuple[HttpConnectionManager, HttpManager]]
_Choices = dict[int, tuple[TcpProxy, ClusterChoice]]
"""By the identity of the configuration, which is kept so that it stays the only one with this identity."""


class LiveConfig:
    """Clusters and route tables by name, as the exchanges see them."""

    def __init__(self) -> None:
        self.clusters: dict[str, ClusterRuntime] = {}
        self.tables: dict[str, CompiledRouteTable] = {}
        self.workloads: dict[str, WorkloadIdentity] = {}
        """By address: who lives at the endpoints we know."""
        self.secrets: Mapping[str, TlsCertificate] = {}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Everything of a snapshot that can be made before it takes effect."""

    tables: dict[str, CompiledRouteTable]
    clusters: dict[str, ClusterRuntime]
    """New ones."""
    managers: _Managers
    choices: _Choices
    workloads: dict[str, WorkloadIdentity]


class Worker:
    """One event loop's proxy."""

    def __init__(
        self,
        live: LiveConfig,
        services: ProxyServices,
        upstream: UpstreamServices,
        listener_services: ListenerServices,
        own_principal: str = "",
    ) -> None:
        self._live = live
        self._services = services
        self._upstream = upstream
        self.own_principal = own_principal
        self.snapshot = ConfigSnapshot()
        self.listeners = ListenerSet(listener_services)
        self._managers: _Managers = {}
        self._serving: set[HttpManager] = set()
        """Those in force, and those replaced by an update that still have connections."""
        self._choices: _Choices = {}
        self._relays: WeakSet[TcpRelay] = WeakSet()
        self._apply_lock = asyncio.Lock()
        self._changed = 0
        """Clusters that changed since configuration was last exempt from collections."""

    # --- configuration ---

    async def apply(self, snapshot: ConfigSnapshot) -> None:
        """Put `snapshot` in force. Raises ConfigError or OSError, and then changed nothing."""
        clock = self._services.clock
        async with self._apply_lock:
            new = await in_slices(self._prepare(snapshot), clock)
            await _warmed(new.clusters.values())
            opened = await self.listeners.open(snapshot.listeners)
            try:
                changed = await in_slices(self._update_clusters(snapshot), clock)
            except BaseException:
                close_servers(opened)
                raise
            gone = self._switch(snapshot, new)
            serving = self.listeners.adopt(snapshot.listeners, opened)
            for server in serving:
                await server.start_serving()
            await in_slices(_retiring(gone), clock)
            self._keep_out_of_collections(changed + len(new.clusters))

    def _switch(self, snapshot: ConfigSnapshot, new: _Prepared) -> list[ClusterRuntime]:
        """Routes, clusters and filters change at one moment; nothing awaits until the listeners have, too, so
        no connection sees half of it. Returns clusters that are gone."""
        live = self._live
        clusters = {**live.clusters, **new.clusters}
        gone = [clusters.pop(name) for name in live.clusters if name not in snapshot.clusters]
        live.clusters, live.workloads, live.tables = clusters, new.workloads, new.tables
        for cluster in new.clusters.values():
            cluster.start()
        live.secrets = snapshot.secrets
        self._retire_managers(new.managers)
        self._managers, self._choices = new.managers, new.choices
        self.snapshot = snapshot
        return gone

    def _keep_out_of_collections(self, changed: int) -> None:
        """What changes often is left to the collector: exempting it each time would also exempt, for ever,
        whatever garbage it had yet to find."""
        self._changed += changed
        if self._changed >= MANY:
            self._changed = 0
            keep_out_of_collections()

    def _prepare(self, snapshot: ConfigSnapshot) -> Steps[_Prepared]:
        """Make what `snapshot` needs and is not live yet; nobody sees it before the switch."""
        tables = yield from self._compile_tables(snapshot)
        clusters = yield from self._new_clusters(snapshot)
        managers, choices = yield from self._compile_chains(snapshot)
        workloads = yield from self._workloads(snapshot)
        return _Prepared(tables, clusters, managers, choices, workloads)

    def _compile_tables(self, snapshot: ConfigSnapshot) -> Steps[dict[str, CompiledRouteTable]]:
        before, live = self.snapshot.routes, self._live.tables
        compiled: dict[str, CompiledRouteTable] = {}
        for name, table in snapshot.routes.items():
            known, made = live.get(name), snapshot.compiled.get(name)
            if known is not None and before.get(name) is table:
                compiled[name] = known
            elif isinstance(made, CompiledRouteTable):
                compiled[name] = made
            else:
                compiled[name] = yield from CompiledRouteTable.in_steps(table, known)
        return compiled

    def _new_clusters(self, snapshot: ConfigSnapshot) -> Steps[dict[str, ClusterRuntime]]:
        """Runtimes of clusters that are not live yet."""
        made: dict[str, ClusterRuntime] = {}
        for name, cluster in snapshot.clusters.items():
            endpoints = _endpoints_of(cluster, snapshot)
            if endpoints is None or name in self._live.clusters:
                continue  # None is warming: it is not there until its endpoints are
            made[name] = ClusterRuntime(cluster, self._upstream)
            made[name].update(cluster, endpoints)
            yield
        return made

    def _workloads(self, snapshot: ConfigSnapshot) -> Steps[dict[str, WorkloadIdentity]]:
        workloads: dict[str, WorkloadIdentity] = {}
        for endpoints in snapshot.endpoints.values():
            for endpoint in endpoints:
                workloads[endpoint.address] = endpoint.workload
            yield
        return workloads

    def _compile_chains(self, snapshot: ConfigSnapshot) -> Steps[tuple[_Managers, _Choices]]:
        """The live twins of every chain's network filter, by the identity of its configuration. One that was
        translated anew to the same values keeps its twin, and with it its connections."""
        same: dict[HttpConnectionManager, HttpManager] | None = None
        managers: _Managers = {}
        choices: _Choices = {}
        for listener in snapshot.listeners.values():
            for chain in (*listener.filter_chains, *_optional(listener.default_filter_chain)):
                network = chain.network
                if isinstance(network, HttpConnectionManager):
                    known = self._managers.get(id(network))
                    if known is None:
                        if same is None:
                            same = dict(self._managers.values())
                        known = (network, same.get(network) or self._new_manager(network))
                    managers[id(network)] = known
                else:
                    choices[id(network)] = (network, ClusterChoice(network.clusters))
                yield
        return managers, choices

    def _new_manager(self, network: HttpConnectionManager) -> HttpManager:
        manager = HttpManager(network, self._services)
        self._serving.add(manager)
        return manager

    def _retire_managers(self, managers: _Managers) -> None:
        """Connections of managers not among `managers` end with their next response, as Envoy drains them:
        a keep-alive connection must not live under rules that were replaced."""
        kept = {manager for _, manager in managers.values()}
        for manager in self._serving:
            manager.is_retired = manager not in kept

    def _update_clusters(self, snapshot: ConfigSnapshot) -> Steps[int]:
        """Live clusters take what changed of them, one after the other and before routes change, as in Envoy:
        each is whole at any time, and nothing of it can be refused any more. Returns how many changed."""
        live, before = self._live.clusters, self.snapshot
        changed = 0
        for name, cluster in snapshot.clusters.items():
            endpoints = _endpoints_of(cluster, snapshot)
            if endpoints is None or name not in live:
                continue
            if before.clusters.get(name) is not cluster or _endpoints_of(cluster, before) is not endpoints:
                live[name].update(cluster, endpoints)
                changed += 1
            yield
        return changed

    # --- connections ---

    def make_protocol(self, accepted: Accepted) -> asyncio.Protocol:
        """The protocol for a connection whose chain is settled."""
        is_edge = isinstance(accepted.chain.tls, EdgeTls)
        facts = ConnectionFacts(
            direction=accepted.listener.direction,
            peer_address=accepted.peer_address,
            original_dst=accepted.original_dst,
            destination=_spelled(*accepted.original_dst),
            peer_principal=accepted.peer_principal,
            local_principal=self.own_principal if accepted.tls and not is_edge else "",
            client=accepted.client,
            scheme=b"https" if is_edge else b"http",
            seat=accepted.seat,
        )
        network = accepted.chain.network
        if isinstance(network, HttpConnectionManager):
            _, manager = self._managers.get(id(network)) or (network, self._new_manager(network))
            # not known: it was replaced while this connection was inspected or shook hands
            connection: HttpServerConnection | H2ServerConnection
            if network.codec == HTTP2:
                connection = H2ServerConnection(manager, facts)
            else:
                connection = HttpServerConnection(manager, facts)
            if self._services.drain is not None:
                self._end_when_idle(connection, self._services.drain)
            return cast("asyncio.Protocol", connection)
        _, choice = self._choices.get(id(network)) or (network, ClusterChoice(network.clusters))
        relay = TcpRelay(network, choice, self._services, facts)
        self._relays.add(relay)
        return relay.downstream

    # --- upkeep ---

    async def run(self) -> None:
        """Advance timers and sweep idle connections until cancelled; in between nothing wakes the process."""
        timers, clock, woken = self._services.timers, self._services.clock, asyncio.Event()
        timers.wake_with(woken.set)
        next_sweep = clock.monotonic() + SWEEP_INTERVAL
        while True:
            await _rested(timers.rest(next_sweep) - clock.monotonic(), woken)
            now = clock.monotonic()
            self._expire(now)
            if now >= next_sweep:
                next_sweep = now + SWEEP_INTERVAL
                _guarded(self._sweep, now)

    def _expire(self, now: float) -> None:
        """A function of its own: the last timer must not be held until the next one expires."""
        for callback in self._services.timers.advance(now):
            _guarded(callback)

    def _sweep(self, now: float) -> None:
        for manager in list(self._serving):
            manager.sweep(now)
            if manager.is_retired and not manager.connections:
                self._serving.discard(manager)
        for cluster in self._live.clusters.values():
            cluster.expire_idle(now)
            cluster.sweep(now)
        self.flush_counters()

    def flush_counters(self) -> None:
        """Bring byte counters of relays that last up to date; also before a scrape."""
        for relay in list(self._relays):
            relay.flush_bytes()

    # --- drain ---

    def begin_drain(self, over: float = 0.0) -> None:
        """From now on connections end one by one, by responses or idle, over so many seconds."""
        services = self._services
        services.drain = drain = DrainSchedule(services.clock.monotonic(), over)
        for manager in list(self._serving):
            for connection in list(manager.connections):
                self._end_when_idle(connection, drain)

    def _end_when_idle(
        self, connection: HttpServerConnection | H2ServerConnection, drain: DrainSchedule
    ) -> None:
        services = self._services
        ends_at = drain.idle_ends_at(services.rng.random())
        services.timers.schedule(ends_at, partial(self._end_idle, connection))

    def _end_idle(self, connection: HttpServerConnection | H2ServerConnection) -> None:
        """End it now if it has rested, else look again later. One that is lost is kept until it is looked at:
        classes that may be compiled are not referred to weakly."""
        now = self._services.clock.monotonic()
        if not connection.drain(now - REST):
            self._services.timers.schedule(now + REST, partial(self._end_idle, connection))

    @property
    def open_connections(self) -> int:
        """Downstream connections that still are."""
        http = sum(len(manager.connections) for manager in self._serving)
        return http + sum(not relay.is_over for relay in list(self._relays))

    def end_drain(self) -> None:
        """The drain time is over: idle connections and relays are closed, exchanges cut with the process."""
        self.listeners.stop_accepting()
        for manager in list(self._serving):
            for connection in list(manager.connections):
                connection.drain()
        for relay in list(self._relays):
            relay.close()


async def _warmed(clusters: Iterable[ClusterRuntime]) -> None:
    """DNS clusters that are new know their addresses now, or have had their time."""
    waiting = [cluster.warm() for cluster in clusters if cluster.cluster.type is ClusterType.DNS]
    if waiting:
        with suppress(TimeoutError):
            async with asyncio.timeout(WARMING_TIMEOUT):
                await asyncio.gather(*waiting)


async def _rested(seconds: float, woken: asyncio.Event) -> None:
    """Wait so long, or until woken."""
    alarm = asyncio.get_running_loop().call_later(max(seconds, LEAST_REST), woken.set)
    try:
        await woken.wait()
    finally:
        alarm.cancel()
    woken.clear()


def _retiring(clusters: list[ClusterRuntime]) -> Steps[None]:
    for cluster in clusters:
        cluster.retire()
        yield


def _guarded(call: Callable[..., None], *arguments: float) -> None:
    """One timer's bug must not stop the clock of all others."""
    try:
        call(*arguments)
    except Exception:
        _log.exception("a timer failed")


def _optional(chain: FilterChain | None) -> tuple[FilterChain, ...]:
    return () if chain is None else (chain,)


def _endpoints_of(cluster: Cluster, snapshot: ConfigSnapshot) -> tuple[Endpoint, ...] | None:
    """A cluster's endpoints; None while EDS has not delivered them."""
    if cluster.type is ClusterType.EDS:
        return snapshot.endpoints.get(cluster.eds_service_name or cluster.name)
    return cluster.endpoints


def _spelled(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
