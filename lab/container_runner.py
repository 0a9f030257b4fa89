"""One container of a pod over its runs: start, hooks, probes, end, and what is told of each."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from control_plane.client import ApiError
from control_plane.resources.container import Container
from control_plane.resources.container_probe import Probe
from control_plane.resources.timestamp import rfc3339
from lab.container import ContainerProcess, ContainerRecord
from lab.container_log import ContainerLogs, LogFile
from lab.entrance import EnteringCommand, entering
from lab.environment import PodStartError
from lab.event_recorder import NORMAL, WARNING
from lab.hook import run_hook
from lab.launch import LaunchPlan
from lab.probe import Ended, ProbeState, run_probe
from lab.sandbox import Sandbox

EAGER_PERIOD = 0.2
"""Seconds between probes before the first success: a pod that starts fast is seen to."""
_NOT_RUN = 126
"""Exit code of a command that cannot be started, as shells have it."""
_TIMED_OUT = 124
"""Exit code of a command that took too long, as timeout(1) has it."""
_LOG_WAIT = 0.5
"""Seconds after a container's end in which what it wrote last may still arrive."""
_LONGEST_OUTPUT = 4096

Prepare = Callable[[ContainerRecord], Awaitable[LaunchPlan]]
"""Writes the container's volumes and says how to start it. Raises PodStartError, ApiError, TransportError."""
Tell = Callable[[ContainerRecord, str, str, str], None]
"""An Event about a container: record, type, reason, message."""


@dataclass(frozen=True, slots=True)
class PodSurroundings:
    """What the containers of a pod share."""

    sandbox: Sandbox
    probe_network: Path
    """Namespace file that probes are made from: the node's."""
    pod_ip: str
    grace: float
    """Seconds between SIGTERM and SIGKILL."""
    prepare: Prepare
    logs_of: Callable[[str], ContainerLogs]
    end_message: Callable[[Container, int], str]
    """What a container left to say when it ended with an exit code."""
    changed: Callable[[], None]
    """Called whenever a record has changed."""
    tell: Tell


class ContainerRunner:
    """Runs one container, again and again as its owner says."""

    def __init__(self, record: ContainerRecord, around: PodSurroundings) -> None:
        self.record = record
        self.started = asyncio.Event()
        """Set once the startup probe has succeeded, or at the start when there is none."""
        self._around = around
        self._process: ContainerProcess | None = None
        self._prepared: ContainerProcess | None = None
        """The one whose preStop hook has run."""
        self._plan: LaunchPlan | None = None
        self.is_stopping = False
        """`stop` was called: what it runs is not to be started again."""

    async def run_once(self) -> int | None:
        """Start the container and wait for its end; None when it could not be started, which the record
        tells.
        """
        record, around = self.record, self._around
        try:
            process, log = await self._start()
        except (PodStartError, ApiError, httpx.TransportError, OSError) as error:
            reason = error.reason if isinstance(error, PodStartError) else "CreateContainerError"
            record.on_wait(reason, str(error) or type(error).__name__)
            if record.waiting_reason != "ContainerCreating":  # that was told as what it is
                around.tell(record, WARNING, "Failed", f"Error: {record.waiting_message}")
            around.changed()
            return None
        self._process = process
        if self.is_stopping:
            process.send(signal.SIGKILL)
        record.on_start(process.pid, _now())
        around.tell(record, NORMAL, "Started", f"Started container {record.spec.name}")
        around.changed()
        attendance = asyncio.ensure_future(self._attend(process))
        return_code = -signal.SIGKILL  # when cancelled, the sandbox has died or is about to be killed
        try:
            return_code = await process.wait()
        finally:
            attendance.cancel()
            self._process = None
            record.on_exit(return_code, _now())
            around.changed()
        await asyncio.gather(attendance, return_exceptions=True)
        await log.wait(_LOG_WAIT)
        if message := around.end_message(record.spec, record.exit_code or 0):
            record.end_message = message
            around.changed()
        return record.exit_code

    async def _start(self) -> tuple[ContainerProcess, LogFile]:
        record, around = self.record, self._around
        name = record.spec.name
        self._plan = await around.prepare(record)
        around.tell(record, NORMAL, "Created", f"Created container: {name}")
        log = around.logs_of(name).begin(record.runs)
        stdout, stderr = await log.connect((self._plan.uid, self._plan.gid))
        done, held = os.pipe()
        try:
            spawned = around.sandbox.spawn(self._plan, stdout, stderr, until_exec=held)
        except OSError:
            os.close(done)
            raise
        finally:
            for descriptor in (stdout, stderr, held):
                os.close(descriptor)
        process = ContainerProcess(spawned)
        await _closed(done)
        return process, log

    async def _attend(self, process: ContainerProcess) -> None:
        """Everything done to a container that runs: its postStart hook, then its probes."""
        if not await self._post_start(process):
            return
        record = self.record
        if (startup := record.spec.startup_probe) is not None:
            if not await self._until_verdict("Startup", startup):
                await self._kill_unhealthy(process, "startup", startup)
                return
            record.on_started()
            self._around.changed()
        self.started.set()
        async with asyncio.TaskGroup() as group:
            if (readiness := record.spec.readiness_probe) is not None:
                group.create_task(self._watch_readiness(readiness))
            if (liveness := record.spec.liveness_probe) is not None:
                group.create_task(self._watch_liveness(liveness, process))

    async def _post_start(self, process: ContainerProcess) -> bool:
        record, around = self.record, self._around
        hook = record.spec.lifecycle.post_start if record.spec.lifecycle is not None else None
        if hook is None:
            return True
        failure = await run_hook(
            hook, record.spec, around.probe_network, around.pod_ip, self._execute, around.grace
        )
        if not failure:
            return True
        around.tell(record, WARNING, "FailedPostStartHook", f"PostStartHook failed: {failure}")
        around.tell(record, NORMAL, "Killing", "FailedPostStartHook")
        await process.stop(around.grace)
        return False

    # Probes

    async def _kill_unhealthy(self, process: ContainerProcess, kind: str, probe: Probe) -> None:
        name = self.record.spec.name
        message = f"Container {name} failed {kind} probe, will be restarted"
        self._around.tell(self.record, NORMAL, "Killing", message)
        grace = probe.termination_grace_period_seconds
        await process.stop(self._around.grace if grace is None else float(grace))

    async def _until_verdict(self, kind: str, probe: Probe) -> bool:
        async with contextlib.aclosing(self._verdicts(kind, probe)) as verdicts:
            async for verdict in verdicts:
                return verdict
        raise AssertionError("verdicts do not end")

    async def _watch_readiness(self, probe: Probe) -> None:
        async with contextlib.aclosing(self._verdicts("Readiness", probe)) as verdicts:
            async for verdict in verdicts:
                if self.record.is_ready != verdict:
                    self.record.is_ready = verdict
                    self._around.changed()

    async def _watch_liveness(self, probe: Probe, process: ContainerProcess) -> None:
        async with contextlib.aclosing(self._verdicts("Liveness", probe)) as verdicts:
            async for verdict in verdicts:
                if not verdict:
                    await self._kill_unhealthy(process, "liveness", probe)
                    return

    async def _verdicts(self, kind: str, probe: Probe) -> AsyncGenerator[bool, None]:
        """Each verdict of a probe, for ever. Before the first success it asks eagerly, counting failures
        slowly.
        """
        record, around = self.record, self._around
        state, eager, counted_at = ProbeState(probe), True, time.monotonic()
        await asyncio.sleep(probe.initial_delay_seconds)
        while True:
            result = await run_probe(probe, record.spec, around.probe_network, around.pod_ip, self._execute)
            if record.probe_message != result.message:
                record.probe_message = "" if result.success else result.message
            if result.success or not eager or time.monotonic() - counted_at >= probe.period_seconds:
                counted_at = time.monotonic()
                if not result.success and not self.is_stopping:
                    around.tell(record, WARNING, "Unhealthy", f"{kind} probe failed: {result.message}")
                verdict = state.on_result(result.success)
                if verdict is not None:
                    yield verdict
            eager = eager and not result.success
            await asyncio.sleep(EAGER_PERIOD if eager else probe.period_seconds)

    async def _execute(self, command: list[str], limit: float) -> Ended:
        """Run a command beside the container, with its rights."""
        entered = self.enter(command)
        if entered is None:
            return Ended(_TIMED_OUT, "the container does not run")
        try:
            child = await asyncio.create_subprocess_exec(
                *entered.line,
                env=entered.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except (OSError, ValueError) as error:  # too long, or with a null byte: a hook must not hold the end
            return Ended(_NOT_RUN, str(error))
        try:
            async with asyncio.timeout(limit):
                output = await _output(child)
            return Ended(child.returncode or 0, output.decode(errors="replace"))
        except TimeoutError:
            return Ended(_TIMED_OUT, f"command timed out after {limit:g} s")
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()

    def enter(self, command: list[str]) -> EnteringCommand | None:
        """What runs `command` beside the container, with its rights; None while it does not run."""
        plan, pid = self._plan, self.record.pid
        if plan is None or not pid:
            return None
        return entering(pid, plan.uid, plan.gid, plan.cwd, plan.env, command, plan.groups)

    # The end

    async def stop(self, grace: float) -> None:
        """preStop hook, SIGTERM, then SIGKILL, all within `grace` seconds."""
        self.is_stopping = True
        process = self._process
        if process is None:
            return
        give_up_at = time.monotonic() + grace
        self._around.tell(self.record, NORMAL, "Killing", f"Stopping container {self.record.spec.name}")
        await self.prepare_stop(grace)
        await process.stop(max(0.0, give_up_at - time.monotonic()))

    async def prepare_stop(self, grace: float) -> None:
        """The preStop hook, once in the container's life, within `grace` seconds."""
        process = self._process
        if process is not None and process is not self._prepared:
            self._prepared = process
            await self._pre_stop(grace)

    def kill(self) -> None:
        """SIGKILL; nothing happens when it does not run."""
        self.is_stopping = True
        if self._process is not None:
            self._process.send(signal.SIGKILL)

    async def _pre_stop(self, grace: float) -> None:
        record, around = self.record, self._around
        hook = record.spec.lifecycle.pre_stop if record.spec.lifecycle is not None else None
        if hook is None or grace <= 0:
            return
        failure = await run_hook(hook, record.spec, around.probe_network, around.pod_ip, self._execute, grace)
        if failure:
            around.tell(record, WARNING, "FailedPreStopHook", f"PreStopHook failed: {failure}")


async def _output(child: asyncio.subprocess.Process) -> bytes:
    """The beginning of what it writes until it ends; the rest is read and let go."""
    assert child.stdout is not None  # asked for
    beginning = b""
    while chunk := await child.stdout.read(_LONGEST_OUTPUT):
        beginning = (beginning + chunk)[:_LONGEST_OUTPUT] if len(beginning) < _LONGEST_OUTPUT else beginning
    await child.wait()
    return beginning


async def _closed(descriptor: int) -> None:
    """Until nobody holds the other end any more: before that the process is not the container yet, and what
    entered its namespaces would be on the host.
    """
    loop = asyncio.get_running_loop()
    reached = asyncio.Event()
    loop.add_reader(descriptor, reached.set)
    try:
        await reached.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _now() -> str:
    return rfc3339(time.time())
