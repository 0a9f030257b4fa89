"""A worker in a process of its own: `python -m meshproxy.workers FD NUMBER`, started by the pool.

Carries out orders one after the other and ends with its channel, so that no worker outlives the main process.
Imports no grpc, protobuf or cryptography: it holds the data path and nothing else. SIGTERM and SIGINT are the
main process's to act on, which tells every worker.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator

import uvloop

from certs.spiffe_id import SpiffeId
from meshproxy.admin import pages
from meshproxy.admin.json_text import json_slices
from meshproxy.clock import SystemClock
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.errors import ConfigError
from meshproxy.identity.identity import Identity
from meshproxy.memory import collect_only_what_is_new, tune_allocator
from meshproxy.tasks import TaskGroupRegistry
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.telemetry.transfer import MetricsPart, MetricsSender
from meshproxy.workers.assembly import LiveWorker, assemble
from meshproxy.workers.channel import Channel
from meshproxy.workers.message import (
    Answer,
    Answered,
    Begin,
    BeginDrain,
    Configure,
    Connections,
    CountConnections,
    Done,
    EndDrain,
    Order,
    Ordered,
    Pages,
    Refused,
    ReportMetrics,
    ReportPages,
    SetLogLevel,
    UseIdentity,
)

_log = logging.getLogger(__name__)


class WorkerProcess:
    """The worker and its orders."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._tasks = TaskGroupRegistry()
        self._metrics = MeshMetrics()
        self._sender = MetricsSender(self._metrics)
        self._identity: Identity | None = None
        self._received = ConfigSnapshot()
        self._live: LiveWorker | None = None
        self._orders: asyncio.Queue[Ordered | None] = asyncio.Queue()
        """None: the main process is gone. Not bounded here: who orders waits for answers."""

    async def run(self, sock: socket.socket) -> None:
        """Serve until the main process closes `sock` or ends."""
        channel = await Channel.over(sock, self._on_message, lambda: self._orders.put_nowait(None))
        try:
            while (ordered := await self._orders.get()) is not None:
                await self._carry_out(ordered, channel)
        finally:
            channel.close()
            await self._tasks.close()

    def _on_message(self, message: object) -> None:
        assert isinstance(message, Ordered), f"{type(message).__name__} is no order"
        self._orders.put_nowait(message)

    async def _carry_out(self, ordered: Ordered, channel: Channel) -> None:
        number, order = ordered.number, ordered.order
        if isinstance(order, ReportMetrics):
            async for part in self._report_metrics():
                channel.send(Answered(number, part, is_last=False))
            channel.send(Answered(number, Done()))
        else:
            channel.send(Answered(number, await self._answer(order)))

    async def _answer(self, order: Order) -> Answer:
        if isinstance(order, Begin):
            self._begin(order)
            return Done()
        live = self._live
        assert live is not None, "the first order is Begin"
        if isinstance(order, Configure):
            return await self._configure(order, live)
        if isinstance(order, ReportPages):
            clusters = await _json(pages.clusters(live.config.clusters))
            return Pages(clusters, await _json(pages.listeners(live.worker.listeners)))
        if isinstance(order, CountConnections):
            return Connections(live.worker.open_connections)
        if isinstance(order, UseIdentity):
            self._identity = order.identity
        elif isinstance(order, SetLogLevel):
            logging.getLogger().setLevel(order.level.upper())
        elif isinstance(order, BeginDrain):
            live.worker.begin_drain(order.over)
        elif isinstance(order, EndDrain):
            live.worker.end_drain()
        return Done()

    def _begin(self, order: Begin) -> None:
        logging.getLogger().setLevel(order.log_level.upper())
        self._live = assemble(
            workload=order.workload,
            spiffe_id=SpiffeId.parse(order.spiffe_id),
            identity=lambda: self._identity,
            metrics=self._metrics,
            tasks=self._tasks,
            clock=self._clock,
            rng=random.Random(),
            max_connections=order.max_connections,
            downstream_codec=order.downstream_codec,
        )
        self._tasks.start(self._live.worker.run(), "worker")

    async def _configure(self, order: Configure, live: LiveWorker) -> Answer:
        self._received = order.change.applied_to(self._received)
        try:
            await live.worker.apply(self._received)
        except (ConfigError, OSError) as error:
            return Refused(str(error))
        return Done()

    async def _report_metrics(self) -> AsyncIterator[MetricsPart]:
        """Traffic has its turn between two parts. Series are forgotten right after they were reported: what
        is idle for long was reported then."""
        if self._live is not None:
            self._live.worker.flush_counters()
        for part in self._sender.take():
            yield part
            await asyncio.sleep(0)
        self._metrics.expire_idle(self._clock.monotonic())


async def _json(document: object) -> str:
    """As JSON, made in slices between which traffic has its turn."""
    gathered = []
    for piece in json_slices(document):
        gathered.append(piece)
        await asyncio.sleep(0)
    return "".join(gathered)


def main() -> int:
    """Exit status: 0 when the main process wanted it or is gone."""
    logging.basicConfig(
        format=f"%(asctime)s %(levelname)s %(name)s [worker {sys.argv[2]}]: %(message)s", stream=sys.stderr
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    tune_allocator()
    collect_only_what_is_new()
    uvloop.run(WorkerProcess().run(socket.socket(fileno=int(sys.argv[1]))))
    return 0
