"""One generation of a pod: its sandbox and the containers in it, until the pod has ended or the sandbox dies.

Order as in Kubernetes: init containers one after the other, a native sidecar counts as done once its startup
probe has succeeded; then all containers. Each that ends is started again by the restart policy with backoff.
When the last container has ended for good the sidecars are ended too, the last started first: so a Job
completes.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from lab.container import ContainerProcess, ContainerRecord, RestartBackoff, should_restart
from lab.container_runner import ContainerRunner, PodSurroundings
from lab.entrance import EnteringCommand
from lab.event_recorder import WARNING

_log = logging.getLogger(__name__)

_SIDECAR_GRACE = 6.0
"""Seconds a native sidecar may take at least to drain after the containers have ended."""


class PodRuntime:
    """The containers of one pod in one sandbox."""

    def __init__(
        self, records: Sequence[ContainerRecord], around: PodSurroundings, restart_policy: str
    ) -> None:
        self._records = records
        self._around = around
        self._restart_policy = restart_policy
        self._runners = {record.spec.name: ContainerRunner(record, around) for record in records}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until every container has ended for good, or until the sandbox died (then containers are marked
        so).
        """
        pause = ContainerProcess(self._around.sandbox.pause)
        died = asyncio.ensure_future(pause.wait())
        containers = asyncio.ensure_future(self._run_containers())
        try:
            await asyncio.wait({died, containers}, return_when=asyncio.FIRST_COMPLETED)
            if not containers.done():
                _log.warning("the pause process of a pod ended; all of its containers are gone")
        finally:
            for task in (containers, died):
                task.cancel()
            results = await asyncio.gather(containers, died, return_exceptions=True)
            self._around.sandbox.kill()
            await pause.wait()
        if isinstance(results[0], Exception):
            raise results[0]

    async def _run_containers(self) -> None:
        main = [record for record in self._records if not record.is_init]
        async with asyncio.TaskGroup() as sidecars:
            if all(record.is_done for record in main):
                self._finish_initialization()
            elif await self._initialize(sidecars):
                async with asyncio.TaskGroup() as group:
                    for record in main:
                        if not record.is_done:
                            group.create_task(self._keep_running(record, self._restart_policy))
            else:
                self._give_up()
            self._stopping.set()
            await self._stop_sidecars(self._around.grace)

    async def _initialize(self, sidecars: asyncio.TaskGroup) -> bool:
        """Start the sidecars and complete the init containers; False when one failed for good."""
        for record in self._records:
            if record.is_sidecar:
                sidecars.create_task(self._keep_running(record, "Always"))
                await self._until_started(record)
            elif record.is_init and not await self._complete(record):
                return False
            if self._stopping.is_set():
                return False
        return True

    async def _until_started(self, record: ContainerRecord) -> None:
        waits = [self._runners[record.spec.name].started.wait(), self._stopping.wait()]
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _complete(self, record: ContainerRecord) -> bool:
        """Run an init container until it succeeds; False when it is not to be tried again."""
        backoff, exit_code = RestartBackoff(), None
        while exit_code != 0 and not self._stopping.is_set():
            exit_code = await self._run_once(record)
            if exit_code and self._restart_policy == "Never":
                break
            if exit_code != 0:
                await self._back_off(record, backoff, 0.0)
        record.is_done = True
        self._around.changed()
        return exit_code == 0

    def _finish_initialization(self) -> None:
        """Nothing is left to be initialized for."""
        for record in self._records:
            record.is_done = True
        self._around.changed()

    def _give_up(self) -> None:
        """The containers are never started."""
        for record in self._records:
            if not record.is_init and not record.last_started_at:
                record.is_given_up = record.is_done = True
        self._around.changed()

    async def _keep_running(self, record: ContainerRecord, policy: str) -> None:
        backoff = RestartBackoff()
        while not self._stopping.is_set() or record.is_sidecar:
            started_at = time.monotonic()
            exit_code = await self._run_once(record)
            if exit_code is not None and not should_restart(policy, exit_code):
                break
            if self._runners[record.spec.name].is_stopping:
                break
            await self._back_off(record, backoff, time.monotonic() - started_at)
        record.is_done = True
        self._around.changed()

    async def _run_once(self, record: ContainerRecord) -> int | None:
        return await self._runners[record.spec.name].run_once()

    async def _back_off(self, record: ContainerRecord, backoff: RestartBackoff, ran_for: float) -> None:
        delay = backoff.delay(ran_for)
        name = record.spec.name
        if delay and not record.waiting_message:
            record.on_wait("CrashLoopBackOff", f"back-off {delay:g}s restarting failed container={name}")
            message = f"Back-off restarting failed container {name}"
            self._around.tell(record, WARNING, "BackOff", message)
        self._around.changed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._stopping.wait()

    def enter(self, container: str, command: list[str]) -> EnteringCommand | None:
        """What runs a command beside a container; None while that does not run."""
        return self._runners[container].enter(command)

    async def stop(self, grace: float) -> None:
        """End the pod in order within `grace` seconds: the containers, then the sidecars, the last started
        first; `run` returns soon after. The sidecars' preStop hooks run at once, as Kubernetes runs them.
        """
        self._stopping.set()
        give_up_at = time.monotonic() + grace
        runners = [(record, self._runners[record.spec.name]) for record in self._records]
        await asyncio.gather(
            *(
                runner.prepare_stop(grace) if record.is_sidecar else runner.stop(grace)
                for record, runner in runners
            )
        )
        await self._stop_sidecars(max(give_up_at - time.monotonic(), min(grace, _SIDECAR_GRACE)))

    def kill(self) -> None:
        """End every container at once; `stop` was called before."""
        for runner in self._runners.values():
            runner.kill()

    async def _stop_sidecars(self, grace: float) -> None:
        give_up_at = time.monotonic() + grace
        for record in reversed([record for record in self._records if record.is_sidecar]):
            left = max(give_up_at - time.monotonic(), min(grace, _SIDECAR_GRACE))
            await self._runners[record.spec.name].stop(left)
