"""All controllers over one client: watches fill the cache, changes fill the queues, workers empty them."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import httpx

from control_plane.client import ApiClient, ApiError, Conflict, NotFound, WatchEvent
from control_plane.resources.manifest import ObjectKey
from lab.controllers import deployment, job, replica_set, scheduler
from lab.controllers.action import Record
from lab.controllers.cache import Change, ObjectCache
from lab.controllers.garbage import GarbageCollector
from lab.controllers.namespaces import Namespaces
from lab.controllers.node_health import NodeHealth
from lab.controllers.reconciler import Reconciler, Workplace
from lab.controllers.scheduler import Scheduler
from lab.controllers.services import EndpointSlices, ServiceAccounts
from lab.controllers.work_queue import WorkQueue
from lab.controllers.workloads import Deployments, Jobs, ReplicaSets
from lab.controllers.writer import Writer
from lab.event_recorder import EventRecorder

_log = logging.getLogger(__name__)

WATCHED = (
    "Namespace",
    "Node",
    "ServiceAccount",
    "ConfigMap",
    "Secret",
    "Deployment",
    "ReplicaSet",
    "Job",
    "Pod",
    "Service",
    "EndpointSlice",
)
"""Kinds the controllers know; nothing is done before all have been listed."""
_COMPONENTS = (deployment.COMPONENT, replica_set.COMPONENT, job.COMPONENT, scheduler.COMPONENT)
_WORKERS = 4
"""Objects that one controller looks at at the same time."""


class Worker:
    """One controller and its queue."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self.name = reconciler.name
        self.queue = WorkQueue()

    def on_change(self, change: Change) -> None:
        """Queue what it affects."""
        for key in self._reconciler.affected(change):
            self.queue.add(key)

    async def run(self) -> None:
        """Look at what is queued, for ever."""
        while True:
            await self._look_at(await self.queue.get())
            await asyncio.sleep(0)  # a long queue must not hold up the watches

    async def drain(self) -> int:
        """Look at what is queued now and at what comes of it; how many that were."""
        count = 0
        while (key := self.queue.take()) is not None:
            await self._look_at(key)
            count += 1
        return count

    async def _look_at(self, key: ObjectKey) -> None:
        try:
            again_in = await self._reconciler.reconcile(key)
        except (Conflict, NotFound) as error:
            # What explains it is on its way.
            _log.debug("%s: %s: %s", self._reconciler.name, key, error)
            self.queue.failed(key)
        except (ApiError, httpx.TransportError) as error:
            _log.warning("%s: %s: %s", self._reconciler.name, key, error or type(error).__name__)
            self.queue.failed(key)
        except Exception:
            # One object that is not understood must not end the controllers of all others.
            _log.exception("%s: %s", self._reconciler.name, key)
            self.queue.failed(key)
        else:
            self.queue.succeeded(key)
            if again_in is not None:
                self.queue.add_after(key, again_in)
        finally:
            self.queue.done(key)


class Controllers:
    """All of them."""

    def __init__(
        self, client: ApiClient, *, ca_pem: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        """`ca_pem`: certificates by which Pods verify the API server."""
        self._client = client
        self._recorders = {name: EventRecorder(client, name) for name in _COMPONENTS}
        self._unsynced = set(WATCHED)
        self._is_synced = asyncio.Event()
        self.cache = ObjectCache(self._on_change)
        place = Workplace(self.cache, Writer(client, self.cache, self._tell), clock)
        made: Sequence[Reconciler] = (
            Namespaces(place, client, ca_pem),
            ServiceAccounts(place),
            NodeHealth(place),
            Scheduler(place),
            Deployments(place),
            ReplicaSets(place),
            Jobs(place),
            EndpointSlices(place),
            GarbageCollector(place, client),
        )
        self.workers = [Worker(one) for one in made]

    def _on_change(self, change: Change) -> None:
        for worker in self.workers:
            worker.on_change(change)

    def _tell(self, record: Record) -> None:
        recorder = self._recorders[record.component]
        recorder.tell(record.about, record.type, record.reason, record.message)

    def on_event(self, event: WatchEvent) -> None:
        """A watched object was added, changed or deleted."""
        if event.type == "DELETED":
            self.cache.drop(event.object)
        elif event.type in ("ADDED", "MODIFIED"):
            self.cache.put(event.object)

    def on_synced(self, kind: str) -> None:
        """All objects of a kind have been told."""
        self._unsynced.discard(kind)
        if not self._unsynced:
            self._is_synced.set()

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """Endless: all that has to run."""
        watches: list[Coroutine[Any, Any, None]] = [
            self._client.list_and_watch(kind, self.on_event, on_synced=partial(self.on_synced, kind))
            for kind in WATCHED
        ]
        return [*watches, self._work(), *(recorder.run() for recorder in self._recorders.values())]

    async def _work(self) -> None:
        await self._is_synced.wait()
        async with asyncio.TaskGroup() as group:
            for worker in self._hands():
                group.create_task(worker.run())

    def _hands(self) -> list[Worker]:
        return [worker for worker in self.workers for _ in range(_WORKERS)]

    async def settle(self) -> None:
        """Work until nothing is left to do, apart from what waits for its time."""
        while sum(await asyncio.gather(*(worker.drain() for worker in self._hands()))):
            pass

    def close(self) -> None:
        """Forget what was arranged for later."""
        for worker in self.workers:
            worker.queue.close()
