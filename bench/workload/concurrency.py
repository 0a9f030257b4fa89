"""Two workers against one: requests a second through a sidecar that may use both cores.

On two cores two workers at full speed would compete with the load and the upstream, which take more than half
a core for what one worker passes on. So each worker may use a part of a core only, by a control group of its
own: load and upstream stay light, both cores are free for most of the time, and what is compared is what
workers do, one and two. The sidecar is pinned to no core.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench import proxies
from bench.cgroup import Cgroup
from bench.errors import BenchError
from bench.load import wrk
from bench.process import ANY_CORE
from bench.result import Measurement, Outcome, Side
from bench.shape import SMALL
from bench.statistic import ratio, spread
from bench.testbed import Layout, Plan, Testbed
from bench.workload.context import Context, say

NAME: Final = "concurrency"
_WORKERS: Final = (1, 2)
_METRIC: Final = "rate"
_CONNECTIONS: Final = 64
"""Enough that the kernel deals them out about evenly, and that no worker ever waits for the load."""
_MILLICORES: Final = 250
"""Of each worker."""


def concurrency(context: Context) -> Outcome:
    """Both up, taken in turn."""
    outcome = Outcome()
    samples: dict[int, list[float]] = {count: [] for count in _WORKERS}
    with ExitStack() as stack:
        sides = {count: stack.enter_context(_limited(context, count)) for count in _WORKERS}
        for testbed in sides.values():
            _rate(context, testbed, max(1, context.pace.warm_up))
        for _ in range(context.pace.rounds):
            for count, testbed in sides.items():
                samples[count].append(_rate(context, testbed, context.pace.seconds))
    for count, values in samples.items():
        case = f"{count} worker{'s' if count > 1 else ''}"
        outcome.measurements.append(
            Measurement(NAME, case, Side.MESHPROXY.value, _METRIC, "requests/s", tuple(values))
        )
        say(f"  {case:10} {spread(values).median:,.0f} requests/s")
    outcome.figures["concurrency_2_to_1"] = ratio(samples[2], samples[1])
    return outcome


@contextmanager
def _limited(context: Context, workers: int) -> Iterator[Testbed]:
    """A sidecar with so many workers, each in a control group of its own."""
    plan = Plan(Side.MESHPROXY, Layout.ONE_HOP, workers=workers, proxy_core=ANY_CORE)
    with ExitStack() as stack:
        groups = [Cgroup("cpu", f"{workers}-{number}") for number in range(workers)]
        for group in groups:
            stack.callback(group.remove)
            group.limit_cpu(_MILLICORES)
        testbed = stack.enter_context(context.testbed(plan))
        pids = _pids(testbed)
        for group, pid in zip(groups, pids, strict=True):
            group.add(pid)
        yield testbed
        if (now := _pids(testbed)) != pids:
            raise BenchError(f"workers {pids} were replaced by {now}, which nothing limited")


def _pids(testbed: Testbed) -> list[int]:
    return proxies.worker_pids(testbed.proxies[proxies.CLIENT.pod], testbed.network.client)


def _rate(context: Context, testbed: Testbed, seconds: int) -> float:
    target = wrk.Target(
        testbed.network.client, testbed.url, testbed.folder, testbed.plan.services, connections=_CONNECTIONS
    )
    with testbed.judged():
        return wrk.run(SMALL, target, seconds, context.next_salt()).rate
