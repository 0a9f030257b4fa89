"""The default data path: one worker on the main process's own event loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshproxy.admin import pages
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.identity.identity import Identity
from meshproxy.tasks import TaskGroupRegistry
from meshproxy.workers.assembly import LiveWorker


class WorkerBeside:
    """A `DataPath` in this process. Admin pages read it where it is, so nothing needs to be refreshed."""

    def __init__(self, live: LiveWorker, tasks: TaskGroupRegistry) -> None:
        """`tasks` are the worker's own."""
        self._live = live
        self._worker = live.worker
        self._tasks = tasks

    def start(self) -> None:
        self._tasks.start(self._worker.run(), "worker")

    def use_identity(self, identity: Identity) -> None:
        """The worker asks for it with each connection."""

    async def apply(self, snapshot: ConfigSnapshot) -> None:
        await self._worker.apply(snapshot)

    def not_ready(self) -> list[str]:
        return []

    def set_log_level(self, level: str) -> None:
        """It is the process's."""

    def flush_counters(self) -> None:
        self._worker.flush_counters()

    async def refresh_metrics(self) -> None:
        """They are counted where they are read."""

    async def refresh_pages(self) -> None:
        """They are made from what is live."""

    def clusters(self) -> Sequence[Mapping[str, object]]:
        return pages.clusters(self._live.config.clusters)

    def listeners(self) -> Sequence[Mapping[str, object]]:
        return pages.listeners(self._worker.listeners)

    def info(self) -> dict[str, object]:
        return {}

    def begin_drain(self, over: float) -> None:
        self._worker.begin_drain(over)

    async def open_connections(self) -> int:
        return self._worker.open_connections

    async def end_drain(self) -> None:
        self._worker.end_drain()

    async def close(self) -> None:
        await self._tasks.close()
