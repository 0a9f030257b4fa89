"""HTTP/2 and gRPC: four connections of sixteen streams to a server of HTTP/2, one hop and two with mTLS.

Compared per core, as HTTP/1.1 is.
"""

from __future__ import annotations

from bench.load import h2load
from bench.load.wrk import Load, Target
from bench.process import LOAD_CORE, PROXY_CORE, core_busy_seconds
from bench.result import MESHES, Measurement, Outcome
from bench.shape import HTTP2_SHAPES, Shape
from bench.statistic import ratio, spread
from bench.testbed import Layout, Plan, Testbed
from bench.workload.context import Context, say

_PER_CORE = "per core"


def one_hop(context: Context) -> Outcome:
    return _run(context, "http2_one_hop", Layout.ONE_HOP)


def two_hops_mtls(context: Context) -> Outcome:
    return _run(context, "http2_two_hops_mtls", Layout.TWO_HOPS)


def _run(context: Context, name: str, layout: Layout) -> Outcome:
    outcome = Outcome()
    with context.testbeds([Plan(side, layout, http2=True) for side in MESHES]) as testbeds:
        for shape in HTTP2_SHAPES:
            taken = {side: [] for side in testbeds}  # type: dict[object, list[_Sample]]
            for testbed in testbeds.values():
                if context.pace.warm_up:
                    _load(shape, testbed, context.pace.warm_up)
            for _ in range(context.pace.rounds):
                for side, testbed in testbeds.items():
                    taken[side].append(_sample(context, shape, testbed))
            for side in MESHES:
                _record(name, shape, side.value, taken[side], outcome)
            ours, theirs = (outcome.samples(shape.key, side, _PER_CORE) for side in MESHES)
            outcome.ratios[f"{name}_{shape.key}"] = ratio(ours, theirs)
    outcome.ratios[name] = min(outcome.ratios[f"{name}_{shape.key}"] for shape in HTTP2_SHAPES)
    return outcome


class _Sample:
    """One load, and what the cores did meanwhile."""

    def __init__(self, load: Load, busy: dict[int, float], proxy_cpu: float) -> None:
        self.rate = load.rate
        self.per_core = load.requests / busy[PROXY_CORE]
        self.cpu_us = proxy_cpu / load.requests * 1e6


def _sample(context: Context, shape: Shape, testbed: Testbed) -> _Sample:
    cores = (PROXY_CORE, LOAD_CORE)
    before = {core: core_busy_seconds(core) for core in cores}
    cpu_before = testbed.cpu_seconds()
    with testbed.judged():
        load = _load(shape, testbed, context.pace.seconds)
    busy = {core: core_busy_seconds(core) - before[core] for core in cores}
    testbed.check_alive()
    return _Sample(load, busy, testbed.cpu_seconds() - cpu_before)


def _load(shape: Shape, testbed: Testbed, seconds: int) -> Load:
    return h2load.run(shape, Target(testbed.network.client, testbed.url, testbed.folder), seconds)


def _record(name: str, shape: Shape, side: str, taken: list[_Sample], outcome: Outcome) -> None:
    def add(metric: str, unit: str, values: list[float]) -> None:
        outcome.measurements.append(Measurement(name, shape.key, side, metric, unit, tuple(values)))

    add(_PER_CORE, "requests/busy s", [one.per_core for one in taken])
    add("rate", "requests/s", [one.rate for one in taken])
    add("proxy CPU", "µs/request", [one.cpu_us for one in taken])
    rate, per_core = spread([one.rate for one in taken]), spread([one.per_core for one in taken])
    say(f"  {shape.key:16} {side:10} {rate.median:8,.0f}/s {per_core.median:8,.0f}/busy s")
