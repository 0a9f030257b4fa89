"""One generation of a pod: its sandbox and the processes in it, until the pod is stopped or the sandbox dies.

Order as in Kubernetes: init containers one after the other, a native sidecar counts as done once its startup
probe has succeeded; then all containers. Each that ends is started again by the restart policy with backoff.
"""

import asyncio
import contextlib
import functools
import logging
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx

from control_plane.client import ApiError
from control_plane.resources.container_probe import Probe
from lab.container import ContainerLog, ContainerProcess, ContainerRecord, RestartBackoff, should_restart
from lab.container_plan import enter_command
from lab.environment import PodStartError
from lab.launch import LaunchPlan
from lab.probe import Execute, ProbeState, run_probe
from lab.sandbox import Sandbox

_log = logging.getLogger(__name__)

EAGER_PERIOD = 0.2
"""Seconds between probes before the first success: a pod that starts fast is seen to."""
_SIDECAR_GRACE = 6.0
"""Seconds a native sidecar may take at least to drain after the containers have ended."""
_TIMED_OUT = 124
"""Exit code of a command that took too long, as timeout(1) has it."""

Prepare = Callable[[ContainerRecord], Awaitable[LaunchPlan]]
"""Writes the container's volumes and says how to start it. Raises PodStartError, ApiError, TransportError."""


def utc_now() -> str:
    """RFC 3339, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class PodRuntime:
    """The processes of one pod in one sandbox. `changed` is called whenever a record has changed."""

    def __init__(
        self,
        records: Sequence[ContainerRecord],
        sandbox: Sandbox,
        *,
        network: Path,
        pod_ip: str,
        restart_policy: str,
        grace: float,
        prepare: Prepare,
        log_of: Callable[[str], ContainerLog],
        changed: Callable[[], None],
    ) -> None:
        self._records = records
        self._sandbox = sandbox
        self._network = network
        self._pod_ip = pod_ip
        self._restart_policy = restart_policy
        self._grace = grace
        self._prepare = prepare
        self._log_of = log_of
        self._changed = changed
        self._processes: dict[str, ContainerProcess] = {}
        self._plans: dict[str, LaunchPlan] = {}
        self._started = {record.spec.name: asyncio.Event() for record in records}
        self._is_stopping = False

    async def run(self) -> None:
        """Until every container has ended for good, or until the sandbox died (then containers are marked
        so).
        """
        pause = ContainerProcess(self._sandbox.pause)
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
            self._sandbox.kill()
            await pause.wait()
        if isinstance(results[0], Exception):
            raise results[0]

    async def _run_containers(self) -> None:
        async with asyncio.TaskGroup() as group:
            for record in self._records:
                if record.is_init and not record.is_sidecar:
                    await self._complete(record)
                    continue
                group.create_task(self._keep_running(record))
                if record.is_sidecar:
                    await self._started[record.spec.name].wait()

    async def _complete(self, record: ContainerRecord) -> None:
        """Run an init container until it succeeds."""
        backoff = RestartBackoff()
        while await self._run_once(record) != 0:
            await self._back_off(record, backoff, 0.0)
        record.is_done = True
        self._changed()

    async def _keep_running(self, record: ContainerRecord) -> None:
        policy = "Always" if record.is_sidecar else self._restart_policy
        backoff = RestartBackoff()
        while True:
            started_at = time.monotonic()
            exit_code = await self._run_once(record)
            if self._is_stopping or (exit_code is not None and not should_restart(policy, exit_code)):
                record.is_done = True
                self._changed()
                return
            await self._back_off(record, backoff, time.monotonic() - started_at)

    async def _back_off(self, record: ContainerRecord, backoff: RestartBackoff, ran_for: float) -> None:
        delay = backoff.delay(ran_for)
        if delay and not record.waiting_message:
            record.on_wait("CrashLoopBackOff", f"ended with {record.exit_code}, next start in {delay:g} s")
        self._changed()
        await asyncio.sleep(delay)

    async def _run_once(self, record: ContainerRecord) -> int | None:
        """Start the container and wait for its end; None when it could not be started, which the record
        tells.
        """
        name = record.spec.name
        try:
            plan = await self._prepare(record)
            with self._log_of(name).open() as log:
                process = ContainerProcess(self._sandbox.spawn(plan, log, log))
        except (PodStartError, ApiError, httpx.TransportError, OSError) as error:
            reason = error.reason if isinstance(error, PodStartError) else "CreateContainerError"
            record.on_wait(reason, str(error) or type(error).__name__)
            record.exit_code = None
            self._changed()
            return None
        self._processes[name], self._plans[name] = process, plan
        record.on_start(process.pid, utc_now())
        self._changed()
        if record.is_started:
            self._started[name].set()
        probes = asyncio.ensure_future(self._probe(record, process))
        return_code = -signal.SIGKILL  # when cancelled, the sandbox has died or is about to be killed
        try:
            return_code = await process.wait()
        finally:
            probes.cancel()
            del self._processes[name]
            record.on_exit(return_code, utc_now())
            self._changed()
        await asyncio.gather(probes, return_exceptions=True)
        return record.exit_code

    async def _probe(self, record: ContainerRecord, process: ContainerProcess) -> None:
        if (startup := record.spec.startup_probe) is not None:
            if not await self._until_verdict(record, startup):
                await self._kill_unhealthy(record, process, "startup")
                return
            record.on_started()
            self._started[record.spec.name].set()
            self._changed()
        async with asyncio.TaskGroup() as group:
            if (readiness := record.spec.readiness_probe) is not None:
                group.create_task(self._watch_readiness(record, readiness))
            if (liveness := record.spec.liveness_probe) is not None:
                group.create_task(self._watch_liveness(record, liveness, process))

    async def _kill_unhealthy(self, record: ContainerRecord, process: ContainerProcess, kind: str) -> None:
        _log.warning("%s: %s probe failed: %s", record.spec.name, kind, record.probe_message)
        await process.stop(self._grace)

    async def _until_verdict(self, record: ContainerRecord, probe: Probe) -> bool:
        async with contextlib.aclosing(self._verdicts(record, probe)) as verdicts:
            async for verdict in verdicts:
                return verdict
        raise AssertionError("verdicts do not end")

    async def _watch_readiness(self, record: ContainerRecord, probe: Probe) -> None:
        async with contextlib.aclosing(self._verdicts(record, probe)) as verdicts:
            async for verdict in verdicts:
                if record.is_ready != verdict:
                    record.is_ready = verdict
                    self._changed()

    async def _watch_liveness(self, record: ContainerRecord, probe: Probe, process: ContainerProcess) -> None:
        async with contextlib.aclosing(self._verdicts(record, probe)) as verdicts:
            async for verdict in verdicts:
                if not verdict:
                    await self._kill_unhealthy(record, process, "liveness")
                    return

    async def _verdicts(self, record: ContainerRecord, probe: Probe) -> AsyncGenerator[bool, None]:
        """Each verdict of a probe, for ever. Before the first success it asks eagerly, counting failures
        slowly.
        """
        state, eager, counted_at = ProbeState(probe), True, time.monotonic()
        await asyncio.sleep(probe.initial_delay_seconds)
        while True:
            result = await run_probe(
                probe, record.spec, self._network, self._pod_ip, self._execute_in(record)
            )
            if record.probe_message != result.message:
                record.probe_message = "" if result.success else result.message
            if result.success or not eager or time.monotonic() - counted_at >= probe.period_seconds:
                counted_at = time.monotonic()
                verdict = state.on_result(result.success)
                if verdict is not None:
                    yield verdict
            eager = eager and not result.success
            await asyncio.sleep(EAGER_PERIOD if eager else probe.period_seconds)

    def _execute_in(self, record: ContainerRecord) -> Execute:
        return functools.partial(self._execute, record)

    async def _execute(self, record: ContainerRecord, command: list[str], limit: float) -> int:
        plan = self._plans[record.spec.name]
        entered = enter_command(record.pid, plan.uid, plan.gid, plan.cwd, plan.env, command)
        quiet = asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(*entered, stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            return await asyncio.wait_for(child.wait(), limit)
        except TimeoutError:
            return _TIMED_OUT
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()

    async def stop(self) -> None:
        """End the pod in order: containers with the grace period, then the sidecars, the last started
        first.
        """
        self._is_stopping = True
        give_up_at = time.monotonic() + self._grace
        main = [record for record in self._records if not record.is_init]
        await asyncio.gather(*(self._stop(record, self._grace) for record in main))
        for record in reversed([record for record in self._records if record.is_sidecar]):
            left = max(give_up_at - time.monotonic(), min(self._grace, _SIDECAR_GRACE))
            await self._stop(record, left)

    async def _stop(self, record: ContainerRecord, grace: float) -> None:
        process = self._processes.get(record.spec.name)
        if process is None:
            return
        give_up_at = time.monotonic() + grace
        await self._pre_stop(record, grace)
        await process.stop(max(0.0, give_up_at - time.monotonic()))

    async def _pre_stop(self, record: ContainerRecord, grace: float) -> None:
        hook = record.spec.lifecycle.pre_stop if record.spec.lifecycle is not None else None
        if hook is None:
            return
        if hook.sleep is not None:
            await asyncio.sleep(min(grace, hook.sleep.seconds))
        if hook.exec_ is not None and record.is_running:
            await self._execute(record, list(hook.exec_.command), grace)
