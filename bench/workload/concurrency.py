"""Two workers against one: requests a second through a sidecar that may use both cores.

The load is one keep-alive wrk thread and the upstream, both far cheaper than the sidecar, so that they leave
both cores nearly free; what they take they take from both cases alike. The sidecar is pinned to no core.
"""

from __future__ import annotations

from typing import Final

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
"""Enough that the kernel deals them out about evenly."""


def concurrency(context: Context) -> Outcome:
    """Both up, taken in turn."""
    outcome = Outcome()
    samples: dict[int, list[float]] = {count: [] for count in _WORKERS}
    with (
        context.testbed(_plan(1)) as one,
        context.testbed(_plan(2)) as two,
    ):
        sides = {1: one, 2: two}
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


def _plan(workers: int) -> Plan:
    return Plan(Side.MESHPROXY, Layout.ONE_HOP, workers=workers, proxy_core=ANY_CORE)


def _rate(context: Context, testbed: Testbed, seconds: int) -> float:
    target = wrk.Target(
        testbed.network.client, testbed.url, testbed.folder, testbed.plan.services, connections=_CONNECTIONS
    )
    with testbed.judged():
        return wrk.run(SMALL, target, seconds, context.next_salt()).rate
