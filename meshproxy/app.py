"""Wires the sidecar: identity → xDS → data path, with admin servers beside. The only place that knows all
parts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from meshproxy._speedups.finder import Speedups
from meshproxy.admin import pages
from meshproxy.admin.app_health import app_health_routes
from meshproxy.admin.http_server import EVERYWHERE
from meshproxy.admin.server import (
    AdminSources,
    admin_server,
    prometheus_server,
    readiness_server,
    status_server,
)
from meshproxy.bootstrap import GATEWAY, Bootstrap
from meshproxy.clock import SystemClock
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.errors import ConfigError
from meshproxy.identity.agent import AgentSettings, IdentityAgent
from meshproxy.identity.signing_client import GrpcSigningClient
from meshproxy.local_app.metrics import AppMetrics
from meshproxy.local_app.prober import Prober
from meshproxy.proxy.drain import spread, until_quiet
from meshproxy.tasks import TaskGroupRegistry
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.workers.assembly import assemble
from meshproxy.workers.beside import WorkerBeside
from meshproxy.workers.data_path import DataPath
from meshproxy.workers.message import Begin
from meshproxy.workers.pool import WorkerPool
from meshproxy.xds.client import XdsClient
from meshproxy.xds.node import node_of
from meshproxy.xds.stream import mtls_connections

if TYPE_CHECKING:
    from meshproxy.dns.start import PodDns

_log = logging.getLogger(__name__)

APPLY_PATIENCE = 10.0
"""Seconds for which an ACK waits for its configuration to be in force."""


class Sidecar:
    """One sidecar process. `run()` lasts until SIGTERM or SIGINT and a drain."""

    def __init__(self, bootstrap: Bootstrap, speedups: Speedups) -> None:
        self._bootstrap = bootstrap
        self._speedups = speedups
        self._clock = SystemClock()
        self._rng = random.Random()
        self._tasks = TaskGroupRegistry()
        self._metrics = MeshMetrics()
        self._stop = asyncio.Event()
        self._is_draining = False
        self._is_configured = False
        self._config_error = ""
        self._started_at = time.time()
        self._agent = IdentityAgent(
            AgentSettings(bootstrap.spiffe_id, bootstrap.token_file, bootstrap.root_bundle),
            GrpcSigningClient(bootstrap.signing_address, bootstrap.discovery_address),
            clock=self._clock,
            rng=self._rng,
        )
        self._data_path = self._make_data_path()
        self._agent.on_change(self._data_path.use_identity)
        self._node = node_of(
            role="router" if bootstrap.role == GATEWAY else "sidecar",
            pod_name=bootstrap.pod_name,
            namespace=bootstrap.pod_namespace,
            pod_ip=bootstrap.pod_ip,
            service_account=bootstrap.service_account,
            labels=bootstrap.labels,
        )
        self._dns = self._make_dns()
        self._xds = XdsClient(
            self._node,
            mtls_connections(bootstrap.discovery_address, self._agent.wait_ready),
            self._on_snapshot,
            clock=self._clock,
            rng=self._rng,
            until_in_force=self._until_in_force,
            on_names=self._dns.use_names if self._dns is not None else None,
        )
        self._agent.on_change(lambda identity: self._xds.rotate())
        self._pending: ConfigSnapshot | None = None
        self._has_pending = asyncio.Event()
        self._has_applied = asyncio.Event()
        """Nothing is waiting to be applied, nor being applied."""
        self._has_applied.set()

    # --- assembly ---

    def _make_data_path(self) -> DataPath:
        """One worker here by default; several in processes of their own, and none here, when asked for."""
        bootstrap = self._bootstrap
        if bootstrap.concurrency > 1:
            begin = Begin(
                bootstrap.workload,
                str(bootstrap.spiffe_id),
                bootstrap.log_level,
                bootstrap.max_connections,
                bootstrap.downstream_codec,
            )
            size = bootstrap.concurrency
            return WorkerPool(size, begin, self._metrics, clock=self._clock, rng=self._rng)
        tasks = TaskGroupRegistry()
        live = assemble(
            workload=bootstrap.workload,
            spiffe_id=bootstrap.spiffe_id,
            identity=lambda: self._agent.current,
            metrics=self._metrics,
            tasks=tasks,
            clock=self._clock,
            rng=self._rng,
            max_connections=bootstrap.max_connections,
            downstream_codec=bootstrap.downstream_codec,
        )
        return WorkerBeside(live, tasks)

    def _make_dns(self) -> PodDns | None:
        """The app's resolver, in this process also where workers carry the traffic; None unless asked for."""
        if self._bootstrap.dns_port is None:
            return None
        from meshproxy.dns.start import PodDns  # not loaded, and no memory taken, by those without it

        return PodDns(
            self._bootstrap.resolv_conf,
            self._metrics,
            is_current=lambda: self._xds.is_connected,
            clock=self._clock,
        )

    # --- configuration ---

    def _on_snapshot(self, snapshot: ConfigSnapshot) -> None:
        """The newest wins: one that was not applied yet when the next comes is never applied."""
        self._pending = snapshot
        self._has_pending.set()
        self._has_applied.clear()

    async def _until_in_force(self) -> None:
        """Until what was published last is in force, or cannot be. A worker that hangs is not waited for
        longer than `APPLY_PATIENCE`: the control plane's next word may be the cure."""
        with suppress(TimeoutError):
            async with asyncio.timeout(APPLY_PATIENCE):
                await self._has_applied.wait()

    async def _apply_snapshots(self) -> None:
        """Put what the control plane sent in force; what cannot be leaves the last good configuration."""
        while True:
            await self._has_pending.wait()
            self._has_pending.clear()
            snapshot, self._pending = self._pending, None
            if snapshot is None:
                continue
            try:
                await self._data_path.apply(snapshot)
            except (ConfigError, OSError) as error:
                self._config_error = f"configuration not in force: {error}"
                _log.error("%s", self._config_error)
                continue
            finally:
                if self._pending is None:
                    self._has_applied.set()
            self._config_error = ""
            if not self._is_configured:
                self._is_configured = True
                _log.info("%d listeners, %d clusters", len(snapshot.listeners), len(snapshot.clusters))

    def not_ready(self) -> list[str]:
        """Why this sidecar should not get traffic yet."""
        reasons = []
        if self._agent.current is None:
            reasons.append(f"no certificate yet: {self._agent.last_error or 'asking for one'}")
        if not self._is_configured:
            cause = self._config_error or self._xds.status().last_error or "waiting for the control plane"
            reasons.append(f"no configuration yet: {cause}")
        reasons += self._data_path.not_ready()
        if self._stop.is_set():
            reasons.append("draining")
        return reasons

    # --- admin ---

    def _admin_sources(self) -> AdminSources:
        agent, data_path = self._agent, self._data_path
        is_elsewhere = self._bootstrap.concurrency > 1

        def exposition() -> Iterator[str]:
            data_path.flush_counters()
            return self._metrics.exposition()

        def stats() -> Iterator[str]:
            data_path.flush_counters()
            yield from self._metrics.stats()
            yield from self._client_stats()

        return AdminSources(
            not_ready=self.not_ready,
            config_dump=self._xds.dump,
            clusters=data_path.clusters,
            listeners=data_path.listeners,
            certs=lambda: pages.certificates(agent.current, agent.counters, agent.last_error),
            server_info=self.server_info,
            metrics=exposition,
            stats=stats,
            set_log_level=self._set_log_level,
            drain=self.drain,
            refresh_metrics=data_path.refresh_metrics if is_elsewhere else None,
            refresh_pages=data_path.refresh_pages if is_elsewhere else None,
        )

    def _set_log_level(self, level: str) -> None:
        logging.getLogger().setLevel(level.upper())
        self._data_path.set_log_level(level)

    def _client_stats(self) -> Iterator[str]:
        """xDS client counters under Envoy's names."""
        status = self._xds.status()
        yield f"control_plane.connected_state: {int(status.connected)}\n"
        managers = {"lds": "listener_manager.lds", "cds": "cluster_manager.cds", "rds": "rds", "eds": "eds"}
        for short, report in status.types.items():
            name = managers.get(short, short)
            yield f"{name}.update_success: {report.updates}\n{name}.update_rejected: {report.rejected}\n"

    # --- life ---

    async def run(self) -> None:
        """Serve until told to stop, then drain."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._watch_gauges()
        sources = self._admin_sources()
        bootstrap = self._bootstrap
        app_health = app_health_routes(bootstrap.app_probes, Prober(bootstrap.pod_ip).ask)
        place = bootstrap.app_metrics
        app_metrics = None if place is None else AppMetrics(bootstrap.pod_ip, place)
        servers = (
            admin_server(sources),
            readiness_server(sources),
            prometheus_server(sources),
            status_server(sources, app_health, app_metrics),
        )
        ports = {
            "admin": await servers[0].start("127.0.0.1", bootstrap.admin_port),
            "readiness": await servers[1].start(EVERYWHERE, bootstrap.readiness_port),
            "prometheus": await servers[2].start(EVERYWHERE, bootstrap.prometheus_port),
            "status": await servers[3].start(EVERYWHERE, bootstrap.status_port),
        }
        if self._dns is not None and bootstrap.dns_port is not None:
            ports["dns"] = await self._dns.start(bootstrap.dns_port)
        self._announce(ports)
        self._data_path.start()
        self._tasks.start(self._apply_snapshots(), "apply snapshots")
        self._tasks.start(self._expire_metrics(), "metric expiry")
        self._agent.start()
        self._xds.start()
        try:
            await self._stop.wait()
            await self._drain()
        finally:
            await self._xds.close()
            await self._agent.close()
            await self._tasks.close()
            await self._data_path.close()
            if self._dns is not None:
                await self._dns.close()
            for server in servers:
                await server.close()

    def drain(self, goes_on: bool) -> None:
        """Begin to stop, as SIGTERM does. `goes_on`: connections end one by one from now on, but the process
        waits for the signal: the app, whose pod is being ended, still serves."""
        if goes_on:
            self._begin_drain()
        else:
            self._stop.set()

    def _begin_drain(self) -> None:
        """Once: a second beginning would let connections live on that should have ended by now."""
        timeout = self._bootstrap.drain_timeout
        if not self._is_draining:
            self._is_draining = True
            _log.info("draining for at most %g s", timeout)
            self._data_path.begin_drain(spread(timeout))

    async def _drain(self) -> None:
        """Finish what is under way: connections end one by one; new ones are still accepted, because peers
        learn only gradually that we leave. The end comes when all is quiet or the time is over."""
        data_path, timeout = self._data_path, self._bootstrap.drain_timeout
        self._begin_drain()
        await until_quiet(data_path.open_connections, self._clock, timeout)
        await data_path.end_drain()

    async def _expire_metrics(self) -> None:
        while True:
            await asyncio.sleep(60.0)
            await self._data_path.refresh_metrics()  # however seldom somebody scrapes
            self._metrics.expire_idle(self._clock.monotonic())

    def _watch_gauges(self) -> None:
        metrics, agent, xds = self._metrics, self._agent, self._xds
        metrics.read_from("meshproxy_xds_connected", lambda: float(xds.status().connected))
        metrics.read_from(
            "meshproxy_certificate_expiry_timestamp_seconds",
            lambda: agent.current.not_after if agent.current is not None else 0.0,
        )
        metrics.read_from("meshproxy_certificate_renewals_total", lambda: float(agent.counters.renewals))
        for short in xds.status().types:
            metrics.read_from(
                "meshproxy_xds_update_rejected_total",
                partial(self._rejected, short),
                type=short,
            )

    def _rejected(self, short_type: str) -> float:
        return float(self._xds.status().types[short_type].rejected)

    def _announce(self, ports: Mapping[str, int]) -> None:
        path = self._bootstrap.announce_file
        if path is not None:
            unfinished = path.with_suffix(".unfinished")
            unfinished.write_text(json.dumps({**ports, "pid": os.getpid()}))
            unfinished.replace(path)

    def server_info(self) -> dict[str, object]:
        """`/server_info`."""
        bootstrap = self._bootstrap
        return {
            "state": "DRAINING"
            if self._stop.is_set() or self._is_draining
            else "LIVE"
            if not self.not_ready()
            else "INITIALIZING",
            "node": {"id": self._node.id, "workload": bootstrap.workload},
            "xds": self._xds.status(),
            "configuration_error": self._config_error,
            "uptime_seconds": int(time.time() - self._started_at),
            "pid": os.getpid(),
            "data_path": self._speedups.data_path,
            "compiled_modules": self._speedups.value,
            **self._data_path.info(),
        }
