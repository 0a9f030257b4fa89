"""One worker process as the main process sees it: its start, its orders and answers, its end."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.subprocess import Process
from dataclasses import dataclass
from typing import Final

from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.errors import MeshproxyError
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.telemetry.transfer import MetricsPart, MetricsReceiver
from meshproxy.workers.channel import Channel
from meshproxy.workers.config_change import ConfigChange
from meshproxy.workers.message import Answer, Answered, Configure, Order, Ordered, Refused

ANSWER_TIMEOUT: Final = 30.0
"""Seconds. A worker that owes an answer for longer serves nobody: it is killed, and replaced."""
EXIT_TIMEOUT: Final = 2.0
"""Seconds for a worker to end by itself after its channel was closed."""


class WorkerGone(MeshproxyError):
    """The process ended before it answered."""


class WorkerRefused(MeshproxyError):
    """The worker could not put a configuration in force; the message is its reason."""


@dataclass(frozen=True, slots=True)
class _Owed:
    """An answer that has not come."""

    future: asyncio.Future[Answer]
    deadline: asyncio.TimerHandle


class ChildWorker:
    """Made by `start`; whoever did so calls `close` in the end."""

    def __init__(self, process: Process, metrics: MeshMetrics) -> None:
        self._process = process
        self._receiver = MetricsReceiver(metrics)
        self._channel: Channel | None = None
        self._owed: dict[int, _Owed] = {}
        self._last_number = 0
        self._sent = ConfigSnapshot()
        """What the next change builds on."""
        self._is_gone = asyncio.Event()

    @classmethod
    async def start(cls, number: int, metrics: MeshMetrics) -> ChildWorker:
        """A new process. Raises OSError when there cannot be one."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "meshproxy.workers", str(theirs.fileno()), str(number)),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except BaseException:
                ours.close()
                raise
        child = cls(process, metrics)
        try:
            child._channel = await Channel.over(ours, child._on_message, child._on_closed)
        except BaseException:
            ours.close()  # the process ends with it
            raise
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def overflowed(self) -> int:
        """Look-ups that the worker answered with an overflow series."""
        return self._receiver.overflowed

    @property
    def exit_text(self) -> str:
        code = self._process.returncode
        return "still running" if code is None else f"signal {-code}" if code < 0 else f"exit status {code}"

    # --- orders ---

    def order(self, order: Order) -> asyncio.Future[Answer]:
        """Send `order`; the future is its last answer. It fails with WorkerGone, which need not be looked
        at. Raises LocalProtocolError for what cannot be sent."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at
        if self._channel is None or self._is_gone.is_set():
            future.set_exception(WorkerGone(f"process {self.pid} is gone"))
            return future
        self._last_number += 1
        self._channel.send(Ordered(self._last_number, order))
        self._owed[self._last_number] = _Owed(future, loop.call_later(ANSWER_TIMEOUT, self._kill))
        return future

    async def configure(self, snapshot: ConfigSnapshot) -> None:
        """Put `snapshot` in force. Raises WorkerRefused, WorkerGone, or LocalProtocolError for what cannot be
        sent."""
        answer = self.order(Configure(ConfigChange.between(self._sent, snapshot)))
        self._sent = snapshot
        if isinstance(found := await answer, Refused):
            raise WorkerRefused(found.reason)

    def _on_message(self, message: object) -> None:
        assert isinstance(message, Answered), f"{type(message).__name__} is no answer"
        if isinstance(message.answer, MetricsPart):
            self._receiver.add(message.answer)  # also when whoever asked has stopped waiting
        if message.is_last and (owed := self._owed.pop(message.number, None)) is not None:
            owed.deadline.cancel()
            if not owed.future.done():
                owed.future.set_result(message.answer)

    def _on_closed(self) -> None:
        self._is_gone.set()
        self._receiver.end()
        for owed in self._owed.values():
            owed.deadline.cancel()
            if not owed.future.done():
                owed.future.set_exception(WorkerGone(f"process {self.pid} is gone"))
        self._owed = {}

    # --- the end ---

    async def ended(self) -> None:
        """Wait until the process has ended. A worker whose channel is gone is no worker: it is ended."""
        await self._is_gone.wait()
        await self.close()

    async def close(self) -> None:
        """End the process: it goes when its channel does, else it is killed. Idempotent."""
        if self._channel is not None:
            self._channel.close()
        try:
            async with asyncio.timeout(EXIT_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            self._kill()
            await self._process.wait()

    def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
