"""A worker with nothing to do, in simulated time: what wakes it, and how often."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

from meshproxy.policy.timeout_wheel import TimeoutWheel
from meshproxy.proxy.services import ProxyServices
from meshproxy.proxy.worker import LiveConfig, Worker
from meshproxy.transport.listener import ListenerServices
from meshproxy.upstream.services import UpstreamServices


class _Selector(selectors.SelectSelector):
    """Nothing ever happens but that time passes."""

    now = 1000.0
    rests = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self.rests += 1
            self.now += timeout
        return []


class _SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


class _CountingWorker(Worker):
    sweeps = 0

    def _sweep(self, now: float) -> None:
        self.sweeps += 1
        super()._sweep(now)


def _run(seconds: float, plan: Callable[[_SimulatedLoop, TimeoutWheel[Callable[[], None]]], None]):
    """A worker for so long while `plan` was made; what wakes the loop for the plan counts as a rest, too."""
    loop = _SimulatedLoop()
    timers: TimeoutWheel[Callable[[], None]] = TimeoutWheel(loop.time())
    services = SimpleNamespace(timers=timers, clock=SimpleNamespace(monotonic=loop.time))
    worker = _CountingWorker(
        LiveConfig(),
        cast("ProxyServices", services),
        cast("UpstreamServices", None),
        cast("ListenerServices", None),
    )
    task = loop.create_task(worker.run())
    plan(loop, timers)
    loop.call_later(seconds, task.cancel)
    try:
        loop.run_until_complete(asyncio.wait([task]))
    finally:
        loop.close()
    return worker, loop.selector


def test_an_idle_worker_wakes_for_its_sweeps_only() -> None:
    worker, selector = _run(60.5, lambda loop, timers: None)
    assert worker.sweeps == 60
    assert selector.rests <= 62


def test_a_distant_timer_costs_nothing_and_fires_in_time() -> None:
    fired = []

    def plan(loop: _SimulatedLoop, timers: TimeoutWheel[Callable[[], None]]) -> None:
        timers.schedule(1030.3, lambda: fired.append(loop.time()))

    _, selector = _run(60.5, plan)
    assert len(fired) == 1
    assert 1030.3 < fired[0] <= 1030.41
    assert selector.rests <= 64


def test_a_timer_scheduled_while_it_rests_wakes_it_in_time() -> None:
    fired = []

    def plan(loop: _SimulatedLoop, timers: TimeoutWheel[Callable[[], None]]) -> None:
        def schedule() -> None:
            timers.schedule(loop.time() + 0.1, lambda: fired.append(loop.time()))

        loop.call_later(5.3, schedule)

    _, selector = _run(10.5, plan)
    assert len(fired) == 1
    assert 1005.4 < fired[0] <= 1005.51
    assert selector.rests <= 15
