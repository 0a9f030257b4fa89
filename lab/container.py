"""One container: its restart decision (pure), what is known of it for the pod's status, and its live
process.
"""

import asyncio
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from control_plane.resources.container import Container

FIRST_RESTART_DELAY = 0.0
"""Seconds; the first restart is immediate, as in Kubernetes."""
_BASE_DELAY = 0.5
_MAX_DELAY = 30.0
_STABLE_AFTER = 30.0
"""Seconds of running after which a container counts as healthy and its backoff starts again."""
MAX_LOG_SIZE = 10 * 1024 * 1024
"""Bytes; a log that has grown beyond is moved aside to `.1`."""


class RestartBackoff:
    """Delay before each restart of one container: at once, then doubling up to 30 s (pure)."""

    def __init__(self) -> None:
        self._failures = 0

    def delay(self, ran_for: float) -> float:
        """Seconds to wait after the container ended, having run for `ran_for` seconds."""
        if ran_for >= _STABLE_AFTER:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return FIRST_RESTART_DELAY
        return float(min(_MAX_DELAY, _BASE_DELAY * 2 ** min(self._failures - 2, 16)))


def should_restart(policy: str, exit_code: int) -> bool:
    """Whether a container that ended is started again, by the pod's restartPolicy."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


@dataclass(slots=True)
class ContainerRecord:
    """What is known of one container; written by the pod's worker, read by `pod_status`."""

    spec: Container
    is_init: bool = False
    uid: int = 0
    gid: int = 0
    pid: int = 0
    """On the host; 0 while it is not running."""
    running_since: str = ""
    """RFC 3339; empty while it is not running."""
    waiting_reason: str = "PodInitializing"
    waiting_message: str = ""
    exit_code: int | None = None
    """Of the last run."""
    exit_signal: int = 0
    finished_at: str = ""
    last_started_at: str = ""
    previous_started_at: str = ""
    """When the run that ended last had begun; empty while it is the last to have begun, too."""
    restarts: int = 0
    is_started: bool = False
    """The startup probe has succeeded, or there is none and it runs."""
    is_ready: bool = False
    is_done: bool = False
    """It ended and is not to be started again."""
    is_given_up: bool = False
    """It never runs, because an init container before it failed for good."""
    last_end_message: str = ""
    """Of the run before the one that runs."""
    end_message: str = ""
    """What it left to say at its end: `terminationMessagePath`, or the end of its log."""
    probe_message: str = ""

    @property
    def is_sidecar(self) -> bool:
        """A native sidecar: an init container that keeps running."""
        return self.is_init and self.spec.restart_policy == "Always"

    @property
    def is_running(self) -> bool:
        return self.pid != 0

    @property
    def runs(self) -> int:
        """Number of the run that begins next, or that has begun: 0 for the first."""
        return self.restarts + (1 if self.last_started_at and not self.is_running else 0)

    def on_start(self, pid: int, now: str) -> None:
        """The process runs."""
        self.restarts += 1 if self.last_started_at else 0
        self.previous_started_at = self.last_started_at
        self.pid, self.running_since, self.last_started_at = pid, now, now
        self.waiting_reason = self.waiting_message = self.probe_message = ""
        self.last_end_message, self.end_message = self.end_message, ""
        self.is_started = self.spec.startup_probe is None
        self.is_ready = self.is_started and self.spec.readiness_probe is None

    def on_exit(self, return_code: int, now: str) -> None:
        """The process ended; `return_code` as `subprocess` gives it, negative for a signal."""
        self.pid, self.running_since, self.finished_at = 0, "", now
        self.previous_started_at = self.last_end_message = ""
        self.exit_signal = -return_code if return_code < 0 else 0
        self.exit_code = 128 + self.exit_signal if return_code < 0 else return_code
        self.is_started = self.is_ready = False

    def on_wait(self, reason: str, message: str) -> None:
        """It is not running and this is why."""
        self.waiting_reason, self.waiting_message = reason, message

    def on_started(self) -> None:
        """The startup probe succeeded."""
        self.is_started = True
        self.is_ready = self.is_running and self.spec.readiness_probe is None


class ContainerProcess:
    """A running process of a container; `wait` may be awaited by several."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._process = process
        self._handle = os.pidfd_open(process.pid)
        self._ended: asyncio.Future[int] = loop.create_future()
        loop.add_reader(self._handle, self._on_end)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        self._ended.set_result(self._process.wait())

    async def wait(self) -> int:
        """The return code, negative for a signal."""
        return await asyncio.shield(self._ended)

    def send(self, number: signal.Signals) -> None:
        """Signal the process; nothing happens when it has ended. Not its group: shells forward as they
        like.
        """
        if not self._ended.done():
            signal.pidfd_send_signal(self._handle, number)

    async def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL after `grace` seconds."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await self.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.wait()


class ContainerLog:
    """A container's log file. The process writes to it directly, so that an idle kubelet costs nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> IO[bytes]:
        """For appending; the caller closes it once the process has it."""
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        return open(self.path, "ab", buffering=0)

    def rotate(self) -> None:
        """Bound the size: copy to `.1` and empty it; lines written in between are lost."""
        try:
            if self.path.stat().st_size <= MAX_LOG_SIZE:
                return
        except FileNotFoundError:
            return
        self.path.with_suffix(".log.1").write_bytes(self.path.read_bytes()[-MAX_LOG_SIZE:])
        os.truncate(self.path, 0)

    def delete(self) -> None:
        """The pod is gone."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".log.1").unlink(missing_ok=True)
