"""(8) From the start of a sidecar until it says that it is ready, under a CPU limit of half a core; with 100
services, its control plane idle and not limited."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from bench.cgroup import Cgroup
from bench.proxies import CLIENT
from bench.result import MESHES, Measurement, Outcome, Side
from bench.statistic import ratio, spread
from bench.testbed import Layout, Plan
from bench.workload.context import Context, say

NAME: Final = "start_to_ready"
_MILLICORES = 500
_CASE: Final = f"{_MILLICORES}m CPU"


def start(context: Context) -> Outcome:
    """The client's sidecar, started again and again, each side in turn."""
    outcome = Outcome()
    seconds: dict[Side, list[float]] = {side: [] for side in MESHES}
    with ExitStack() as stack:
        groups = {side: Cgroup("cpu", side.value) for side in MESHES}
        for group in groups.values():
            stack.callback(group.remove)
            group.limit_cpu(_MILLICORES)
        plans = [Plan(side, Layout.ONE_HOP, cgroups=partial(_groups, groups[side])) for side in MESHES]
        testbeds = stack.enter_context(context.testbeds(plans))
        for number in range(context.pace.rounds + 1):
            for side, testbed in testbeds.items():
                testbed.proxies[CLIENT.pod].stop()
                testbed.start_proxy(CLIENT)
                if number:  # the first one warms the file cache
                    seconds[side].append(testbed.ready_seconds[CLIENT.pod])
        for testbed in testbeds.values():
            testbed.checker().wait_until_right(testbed.proxies.values())
    for side, values in seconds.items():
        say(f"  {side.value:10} {spread(values).median:.2f} s")
        outcome.measurements.append(
            Measurement(NAME, _CASE, side.value, "start to ready", "s", tuple(values))
        )
    outcome.figures["start_to_ready_s_500m"] = spread(seconds[Side.MESHPROXY]).median
    outcome.figures["start_to_ready_s_500m_envoy"] = spread(seconds[Side.ENVOY]).median
    outcome.ratios["start_to_ready_500m"] = ratio(seconds[Side.MESHPROXY], seconds[Side.ENVOY])
    return outcome


def _groups(group: Cgroup, pod: str) -> tuple[Path, ...]:
    return (group.path,)
