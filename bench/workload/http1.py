"""HTTP/1.1 over kept-alive connections, every request shape: (1) one hop, (2) two hops with mTLS; small ones
also through 50 rules a host, of which a late one matches, with filters that edit both heads.

The ratios compare requests for each second that the proxies' core was busy. Where that core was busy all the
time this is the rate; where the other core, with the load and the upstream, was the slower one (big bodies,
one hop), the rate would compare what both sides wait for. The rates stand beside.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.load import wrk
from bench.process import LOAD_CORE, PROXY_CORE, core_busy_seconds
from bench.result import MESHES, Measurement, Outcome, Side
from bench.route_table import ROUTED_SHAPES, Rules
from bench.shape import SHAPES, Shape
from bench.statistic import ratio, spread
from bench.testbed import Layout, Plan, Testbed
from bench.workload.context import Context, say

_PER_CORE = "per core"
_SATURATED = 0.9
"""Share of a core below which it was not what limited the rate."""


def one_hop(context: Context) -> Outcome:
    """(1) With HAProxy and nginx beside."""
    sides = (*MESHES, Side.HAPROXY, Side.NGINX)
    return _run(context, "http1_one_hop", Layout.ONE_HOP, sides)


def two_hops_mtls(context: Context) -> Outcome:
    """(2)"""
    return _run(context, "http1_two_hops_mtls", Layout.TWO_HOPS, MESHES)


def one_hop_routes(context: Context) -> Outcome:
    """(1) through 50 rules."""
    return _run(context, "http1_one_hop_routes", Layout.ONE_HOP, MESHES, Rules.FIFTY, ROUTED_SHAPES)


def two_hops_mtls_routes(context: Context) -> Outcome:
    """(2) through 50 rules."""
    return _run(context, "http1_two_hops_mtls_routes", Layout.TWO_HOPS, MESHES, Rules.FIFTY, ROUTED_SHAPES)


def _run(
    context: Context,
    name: str,
    layout: Layout,
    sides: Sequence[Side],
    rules: Rules = Rules.TWO,
    shapes: Sequence[Shape] = SHAPES,
) -> Outcome:
    outcome = Outcome()
    with context.testbeds([Plan(side, layout, rules=rules) for side in sides]) as testbeds:
        for shape in shapes:
            _measure_shape(context, name, shape, testbeds, outcome)
    for shape in shapes:
        ours, theirs = (outcome.samples(shape.key, side, _PER_CORE) for side in MESHES)
        outcome.ratios[f"{name}_{shape.key}"] = ratio(ours, theirs)
    outcome.ratios[name] = min(outcome.ratios[f"{name}_{shape.key}"] for shape in shapes if shape.small)
    if Side.HAPROXY in sides:
        _compare_with_haproxy(name, outcome)
    return outcome


def _measure_shape(
    context: Context, name: str, shape: Shape, testbeds: dict[Side, Testbed], outcome: Outcome
) -> None:
    samples: dict[Side, list[_Sample]] = {side: [] for side in testbeds}
    for testbed in testbeds.values():
        if context.pace.warm_up:
            with testbed.judged():
                _load(context, shape, testbed, context.pace.warm_up)
    for _ in range(context.pace.rounds):
        for side, testbed in testbeds.items():
            samples[side].append(_sample(context, shape, testbed))
    for side, taken in samples.items():
        rate, per_core = spread([one.load.rate for one in taken]), spread([one.per_core for one in taken])
        say(f"  {shape.key:16} {side.value:10} {rate.median:8,.0f}/s {per_core.median:8,.0f}/busy s")
        _record(name, shape, side, taken, outcome)


class _Sample:
    """One load, and what the cores and proxies did meanwhile."""

    def __init__(self, load: wrk.Load, proxy_cpu: float, busy: dict[int, float], seconds: float) -> None:
        self.load = load
        self.per_core = load.requests / busy[PROXY_CORE]
        self.cpu_us = proxy_cpu / load.requests * 1e6
        self.proxy_core = busy[PROXY_CORE] / seconds
        self.load_core = busy[LOAD_CORE] / seconds


def _sample(context: Context, shape: Shape, testbed: Testbed) -> _Sample:
    cores = (PROXY_CORE, LOAD_CORE)
    before = {core: core_busy_seconds(core) for core in cores}
    cpu_before = testbed.cpu_seconds()
    with testbed.judged(), testbed.checker().watching(shape):
        load = _load(context, shape, testbed, context.pace.seconds)
        cpu = testbed.cpu_seconds() - cpu_before
        busy = {core: core_busy_seconds(core) - before[core] for core in cores}
    testbed.check_alive()
    return _Sample(load, cpu, busy, load.seconds)


def _load(context: Context, shape: Shape, testbed: Testbed, seconds: int) -> wrk.Load:
    target = wrk.Target(testbed.network.client, testbed.url, testbed.folder, testbed.plan.services)
    return wrk.run(shape, target, seconds, context.next_salt())


def _record(name: str, shape: Shape, side: Side, taken: list[_Sample], outcome: Outcome) -> None:
    def add(metric: str, unit: str, values: Sequence[float]) -> None:
        outcome.measurements.append(Measurement(name, shape.key, side.value, metric, unit, tuple(values)))

    add(_PER_CORE, "requests/busy s", [one.per_core for one in taken])
    add("rate", "requests/s", [one.load.rate for one in taken])
    add("proxy CPU", "µs/request", [one.cpu_us for one in taken])
    share = spread([one.proxy_core for one in taken]).median
    add("proxy core busy", "share", [one.proxy_core for one in taken])
    add("load core busy", "share", [one.load_core for one in taken])
    if share < _SATURATED:
        outcome.notes.append(
            f"{name} {shape.key}, {side.value}: the proxies' core was {share:.0%} busy, so the load "
            "generator or the upstream limited the rate; what counts is per core."
        )


def _compare_with_haproxy(name: str, outcome: Outcome) -> None:
    shares = {
        shape.key: ratio(
            outcome.samples(shape.key, Side.MESHPROXY, _PER_CORE),
            outcome.samples(shape.key, Side.HAPROXY, _PER_CORE),
        )
        for shape in SHAPES
        if shape.small
    }
    outcome.figures[f"{name}_worst_to_haproxy"] = min(shares.values())
