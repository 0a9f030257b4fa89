"""(6) Memory of the client's sidecar with 1, 100 and 1,000 services, after start and after load: resident,
and what its control group is charged for; one worker and, where the sidecar has them, two."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.cgroup import Cgroup
from bench.load import wrk
from bench.process import SOURCE_ROOT
from bench.proxies import CLIENT
from bench.result import MESHES, Measurement, Outcome, Side
from bench.shape import SHAPES
from bench.testbed import SERVICES, Layout, Plan, Testbed
from bench.workload.context import Context, say

NAME: Final = "memory"
_SIZES = (1, SERVICES, 1000)
_LOADS = tuple(shape for shape in SHAPES if shape.key in {"get_unique", "get_16k", "post_4k"})


def memory(context: Context) -> Outcome:
    """A process of its own for every figure."""
    outcome = Outcome()
    workers = [1, 2] if _has_workers() else [1]
    if len(workers) == 1:
        outcome.notes.append(
            f"{NAME}: the sidecar has no --concurrency, so there is no figure for 2 workers."
        )
    for services in _SIZES:
        for count in workers if services == SERVICES else workers[:1]:
            for side in MESHES:
                _measure(context, side, services, count, outcome)
    for side, suffix in ((Side.MESHPROXY, ""), (Side.ENVOY, "_envoy")):
        for services in _SIZES:
            case = _case(services, 1)
            key = f"rss_mb_{services}_services{suffix}"
            outcome.figures[key] = outcome.samples(case, side, "RSS after load")[0]
        group = outcome.samples(_case(SERVICES, 1), side, "cgroup after load")[0]
        outcome.figures[f"cgroup_mb_{SERVICES}_services{suffix}"] = group
        if len(workers) > 1:
            group = outcome.samples(_case(SERVICES, 2), side, "cgroup after load")[0]
            outcome.figures[f"cgroup_mb_{SERVICES}_services_2_workers{suffix}"] = group
    return outcome


def _case(services: int, workers: int) -> str:
    return f"{services} services, {workers} worker{'s' if workers > 1 else ''}"


def _measure(context: Context, side: Side, services: int, workers: int, outcome: Outcome) -> None:
    with _charged_testbed(context, side, services, workers) as (testbed, group):
        process = testbed.proxies[CLIENT.pod]

        def add(moment: str) -> None:
            for metric, value in (("RSS", process.rss_mb()), ("cgroup", group.memory_mb())):
                case, what = _case(services, workers), f"{metric} after {moment}"
                outcome.measurements.append(Measurement(NAME, case, side.value, what, "MB", (value,)))
                say(f"  {case:24} {side.value:10} {what:18} {value:6.1f} MB")

        add("start")
        target = wrk.Target(testbed.network.client, testbed.url, testbed.folder, services)
        with testbed.judged():
            for shape in _LOADS:
                wrk.run(shape, target, context.pace.seconds, context.next_salt())
        add("load")


@contextmanager
def _charged_testbed(
    context: Context, side: Side, services: int, workers: int
) -> Iterator[tuple[Testbed, Cgroup]]:
    """Two hops, the client's sidecar in a control group of its own."""
    with ExitStack() as stack:
        group = Cgroup("memory", f"{side.value}-{services}-{workers}")
        stack.callback(group.remove)
        plan = Plan(
            side,
            Layout.TWO_HOPS,
            services,
            workers=workers,
            cgroups=lambda pod: (group.path,) if pod == CLIENT.pod else (),
        )
        yield stack.enter_context(context.testbed(plan)), group


def _has_workers() -> bool:
    command = [sys.executable, "-m", "meshproxy", "--help"]
    done = subprocess.run(command, cwd=SOURCE_ROOT, capture_output=True, text=True, check=False)
    return "--concurrency" in done.stdout
