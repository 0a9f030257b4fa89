"""Requests of HTTP/1.1 through two hops with mTLS: the sidecars speak HTTP/2 with each other, or HTTP/1.1.

Ours only, taken in turn; compared by requests for each second that the sidecars' core was busy.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from bench.load import wrk
from bench.process import PROXY_CORE, core_busy_seconds
from bench.result import Measurement, Outcome, Side
from bench.shape import SHAPES, Shape
from bench.statistic import ratio, spread
from bench.testbed import Layout, Plan, Testbed
from bench.workload.context import Context, say

NAME: Final = "h2_upgrade"
_METRIC: Final = "per core"


def upgrade(context: Context) -> Outcome:
    """Both up; the figure is how much more HTTP/2 does."""
    outcome = Outcome()
    with ExitStack() as stack:
        testbeds = {
            name: stack.enter_context(
                context.testbed(Plan(Side.MESHPROXY, Layout.TWO_HOPS, h2_upgrade=is_upgraded))
            )
            for name, is_upgraded in (("HTTP/1.1", False), ("HTTP/2", True))
        }
        for shape in SHAPES:
            samples: dict[str, list[float]] = {name: [] for name in testbeds}
            for testbed in testbeds.values():
                _per_core(context, shape, testbed, max(1, context.pace.warm_up))
            for _ in range(context.pace.rounds):
                for name, testbed in testbeds.items():
                    samples[name].append(_per_core(context, shape, testbed, context.pace.seconds))
            for name, values in samples.items():
                case = f"{shape.key}, {name}"
                outcome.measurements.append(
                    Measurement(NAME, case, Side.MESHPROXY.value, _METRIC, "requests/busy s", tuple(values))
                )
                say(f"  {case:26} {spread(values).median:8,.0f}/busy s")
            outcome.figures[f"{NAME}_{shape.key}"] = ratio(samples["HTTP/2"], samples["HTTP/1.1"])
    return outcome


def _per_core(context: Context, shape: Shape, testbed: Testbed, seconds: int) -> float:
    target = wrk.Target(testbed.network.client, testbed.url, testbed.folder, testbed.plan.services)
    busy = core_busy_seconds(PROXY_CORE)
    with testbed.judged():
        load = wrk.run(shape, target, seconds, context.next_salt())
    testbed.check_alive()
    return load.requests / (core_busy_seconds(PROXY_CORE) - busy)
