"""Several workers in processes of their own, as one data path.

Each listens on every address by SO_REUSEPORT; the kernel deals out new connections. All serve the same
configuration: what one refuses is taken back from the others. One that dies is replaced, with a backoff that
grows while it dies again and again; connections of the others are not touched. What the dead one had accepted
or was yet to accept is lost: the kernel resets it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from meshproxy.clock import Clock
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.errors import ConfigError
from meshproxy.identity.identity import Identity
from meshproxy.policy.backoff import BackoffSettings
from meshproxy.tasks import TaskGroupRegistry
from meshproxy.telemetry import names
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.telemetry.process import family_cpu_seconds, family_resident_bytes
from meshproxy.workers import sums
from meshproxy.workers.child import ChildWorker, WorkerGone, WorkerRefused
from meshproxy.workers.message import (
    Begin,
    BeginDrain,
    Connections,
    CountConnections,
    EndDrain,
    Order,
    Pages,
    ReportMetrics,
    ReportPages,
    SetLogLevel,
    UseIdentity,
)

_log = logging.getLogger(__name__)

RESTART: Final = BackoffSettings(base=0.05, cap=10.0)
"""Between the death of a worker and the start of the next."""
STABLE_AFTER: Final = 10.0
"""Seconds after which a worker's death counts as the first again."""
REFRESH_TIMEOUT: Final = 1.0
"""Seconds a page waits for workers; what comes later is in the next one."""


class WorkerPool:
    """A `DataPath` of `size` processes."""

    def __init__(self, size: int, begin: Begin, metrics: MeshMetrics, *, clock: Clock, rng: Random) -> None:
        """`metrics` is where everything is added up, and what `begin` says is told each worker first."""
        self._size = size
        self._begin = begin
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._tasks = TaskGroupRegistry()
        self._children: dict[int, ChildWorker] = {}
        """By number, from 1: every process there is, also those that do not serve yet."""
        self._serving: set[int] = set()
        """Those that have the configuration in force, or that it is just being put in force at."""
        self._identity: Identity | None = None
        self._in_force = ConfigSnapshot()
        self._apply_lock = asyncio.Lock()
        self._has_serving = asyncio.Event()
        self._was_complete = False
        self._drain_over: float | None = None
        """None: not draining."""
        self._last_error = ""
        self._restarts = 0
        self._overflowed = 0
        """Of workers that are gone."""
        self._clusters: list[dict[str, object]] = []
        self._listeners: list[dict[str, object]] = []
        self._watch_gauges()

    # --- life of the processes ---

    def start(self) -> None:
        for number in range(1, self._size + 1):
            self._tasks.start(self._keep(number), f"worker {number}")

    async def _keep(self, number: int) -> None:
        """Have a worker of this number until draining or cancelled."""
        failures = 0
        while True:
            started_at = self._clock.monotonic()
            await self._live_once(number)
            if self._drain_over is not None:
                return
            failures = 1 if self._clock.monotonic() - started_at > STABLE_AFTER else failures + 1
            delay = RESTART.delay(failures, self._rng)
            _log.error("worker %d: %s; the next one starts in %.2f s", number, self._last_error, delay)
            await asyncio.sleep(delay)
            if self._drain_over is not None:
                return
            self._restarts += 1

    async def _live_once(self, number: int) -> None:
        """Start a worker, bring it up to what is in force, and wait for its end."""
        try:
            child = await ChildWorker.start(number, self._metrics)
        except OSError as error:
            self._last_error = f"cannot be started: {error}"
            return
        self._children[number] = child
        try:
            await self._bring_up(number, child)
            await child.ended()
            self._last_error = f"process {child.pid} ended ({child.exit_text})"
        except (WorkerGone, WorkerRefused) as error:
            self._last_error = f"process {child.pid} did not come up: {error}"
        finally:
            self._serving.discard(number)
            if not self._serving:
                self._has_serving.clear()
            del self._children[number]
            self._overflowed += child.overflowed
            await child.close()

    async def _bring_up(self, number: int, child: ChildWorker) -> None:
        orders = [child.order(self._begin)]
        if self._identity is not None:
            orders.append(child.order(UseIdentity.of(self._identity)))
        if self._drain_over is not None:
            orders.append(child.order(BeginDrain(self._drain_over)))
        for order in orders:
            await order
        async with self._apply_lock:
            await child.configure(self._in_force)
            self._serving.add(number)
        self._was_complete = self._was_complete or len(self._serving) == self._size
        if self._was_complete:
            self._has_serving.set()
        _log.info("worker %d is process %d", number, child.pid)

    # --- what is in force ---

    def use_identity(self, identity: Identity) -> None:
        self._identity = identity
        self._tell(UseIdentity.of(identity))

    async def apply(self, snapshot: ConfigSnapshot) -> None:
        """The first time it waits for all workers, later for one at least.

        A worker that dies meanwhile is no objection as long as another one serves the configuration; when
        none is left it counts as refused, because it may be what they died of.
        """
        await self._has_serving.wait()
        async with self._apply_lock:
            children = [self._children[number] for number in sorted(self._serving)]
            results = await asyncio.gather(
                *(child.configure(snapshot) for child in children), return_exceptions=True
            )
            refusals = [result for result in results if isinstance(result, WorkerRefused)]
            if not refusals and any(result is None for result in results):
                self._in_force = snapshot
                return
            await asyncio.gather(
                *(
                    child.configure(self._in_force)
                    for child, result in zip(children, results, strict=True)
                    if result is None
                ),
                return_exceptions=True,
            )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, WorkerRefused | WorkerGone):
                raise ConfigError(f"cannot be sent to the workers: {result}") from result
        raise ConfigError(str(refusals[0]) if refusals else "every worker died while it was put in force")

    def not_ready(self) -> list[str]:
        """Ready is when all workers served once; later one that serves is enough, because traffic is for it
        while the others are replaced."""
        if self._has_serving.is_set():
            return []
        missing = sorted(set(range(1, self._size + 1)) - self._serving)
        cause = self._last_error or "starting"
        return [f"{len(missing)} of {self._size} workers do not serve yet: {cause}"]

    def set_log_level(self, level: str) -> None:
        self._begin = replace(self._begin, log_level=level)
        self._tell(SetLogLevel(level))

    def _tell(self, order: Order) -> None:
        """Send to every process; a worker that does not take it is replaced, which is told anew."""
        for child in self._children.values():
            child.order(order)

    async def _ask(self, order: Order) -> list[object]:
        """The answers of those that serve; who dies or does not answer in time is left out."""
        pending = [child.order(order) for number, child in self._children.items() if number in self._serving]
        if not pending:
            return []
        done, _ = await asyncio.wait(pending, timeout=REFRESH_TIMEOUT)
        return [future.result() for future in pending if future in done and future.exception() is None]

    # --- admin ---

    def _watch_gauges(self) -> None:
        metrics = self._metrics
        metrics.read_from(names.RESIDENT_MEMORY.name, lambda: family_resident_bytes(self._pids()))
        metrics.read_from(names.CPU_SECONDS.name, lambda: family_cpu_seconds(self._pids()))
        metrics.read_from(names.WORKERS_SERVING.name, lambda: len(self._serving))
        metrics.read_from(names.WORKER_RESTARTS.name, lambda: self._restarts)
        metrics.read_from(names.SERIES_OVERFLOWED.name, self._series_overflowed)

    def _pids(self) -> list[int]:
        return [child.pid for child in self._children.values()]

    def _series_overflowed(self) -> float:
        of_workers = sum(child.overflowed for child in self._children.values())
        return self._metrics.overflowed + self._overflowed + of_workers

    def flush_counters(self) -> None:
        """The workers do, when they report."""

    async def refresh_metrics(self) -> None:
        await self._ask(ReportMetrics())

    async def refresh_pages(self) -> None:
        found = [answer for answer in await self._ask(ReportPages()) if isinstance(answer, Pages)]
        self._clusters = sums.clusters([json.loads(answer.clusters) for answer in found])
        self._listeners = sums.listeners([json.loads(answer.listeners) for answer in found])

    def clusters(self) -> Sequence[Mapping[str, object]]:
        return self._clusters

    def listeners(self) -> Sequence[Mapping[str, object]]:
        return self._listeners

    def info(self) -> dict[str, object]:
        workers = [
            {"number": number, "pid": child.pid, "serving": number in self._serving}
            for number, child in sorted(self._children.items())
        ]
        return {"workers": workers, "worker_restarts": self._restarts}

    # --- the end ---

    def begin_drain(self, over: float) -> None:
        self._drain_over = over
        self._tell(BeginDrain(over))

    async def open_connections(self) -> int:
        answers = await self._ask(CountConnections())
        silent = len(self._serving) - len(answers)  # too busy to answer is busy
        return silent + sum(answer.count for answer in answers if isinstance(answer, Connections))

    async def end_drain(self) -> None:
        await self._ask(EndDrain())

    async def close(self) -> None:
        await self._tasks.close()
