"""(4) Added latency at a fixed rate, CPU for each request, and CPU when idle; two hops with mTLS.

Added is what a percentile is above the same percentile of calls past all proxies, with the same schedule in
the same namespaces.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from bench.dataset import SERVER_ADDRESSES, service_address
from bench.load import paced
from bench.network import DIRECT_PORT
from bench.result import MESHES, Measurement, Outcome, Side
from bench.shape import SERVICE_PORT, host_name
from bench.statistic import percentile, ratio, spread
from bench.testbed import Layout, Plan, Testbed
from bench.workload.context import Context, say

NAME: Final = "latency_two_hops_mtls"
RATES: Final = (100, 1000)
_PERCENTILES = (50.0, 90.0, 99.0, 99.9)
_LONGER: Final = 3
"""Times the pace's seconds: the tail needs requests."""
_IDLE_SECONDS_LEAST = 2


def latency(context: Context) -> Outcome:
    """Both sides up, taken in turn, and a direct call before each."""
    outcome = Outcome()
    with context.testbeds([Plan(side, Layout.TWO_HOPS) for side in MESHES]) as testbeds:
        _measure_idle(context, testbeds, outcome)
        for rate in RATES:
            _measure_rate(context, rate, testbeds, outcome)
    _conclude(outcome)
    return outcome


def _measure_rate(context: Context, rate: int, testbeds: dict[Side, Testbed], outcome: Outcome) -> None:
    samples: dict[tuple[Side, str], list[float]] = {}
    for testbed in testbeds.values():
        _mesh(testbed, rate, max(1, context.pace.warm_up), seed=0)
    for number in range(context.pace.rounds):
        seconds = context.pace.seconds * _LONGER
        for side, testbed in testbeds.items():
            direct = _direct(testbed, rate, seconds, seed=number)
            before = testbed.cpu_seconds()
            through = _mesh(testbed, rate, seconds, seed=number)
            cpu = testbed.cpu_seconds() - before
            samples.setdefault((side, "CPU"), []).append(cpu / len(through) * 1e3)
            for percent in _PERCENTILES:
                plain = percentile(direct, percent) * 1e3
                added = percentile(through, percent) * 1e3 - plain
                samples.setdefault((side, f"p{percent:g} added"), []).append(added)
                samples.setdefault((Side.DIRECT, f"p{percent:g}"), []).append(plain)
    for (side, metric), values in samples.items():
        unit = "ms/request" if metric == "CPU" else "ms"
        outcome.measurements.append(Measurement(NAME, _case(rate), side.value, metric, unit, tuple(values)))
        say(f"  {_case(rate):8} {side.value:10} {metric:12} {spread(values).median:.3f} ms")


def _case(rate: int) -> str:
    return f"{rate}rps"


def _mesh(testbed: Testbed, rate: int, seconds: int, *, seed: int) -> list[float]:
    return _paced(testbed, (service_address(0), SERVICE_PORT), rate, seconds, seed)


def _direct(testbed: Testbed, rate: int, seconds: int, *, seed: int) -> list[float]:
    return _paced(testbed, (SERVER_ADDRESSES[0], DIRECT_PORT), rate, seconds, seed)


def _paced(testbed: Testbed, address: tuple[str, int], rate: int, seconds: int, seed: int) -> list[float]:
    with testbed.judged():
        return paced.run(
            testbed.network.client,
            testbed.folder,
            address,
            host_name(0),
            rate=rate,
            seconds=seconds,
            seed=seed,
        )


def _measure_idle(context: Context, testbeds: dict[Side, Testbed], outcome: Outcome) -> None:
    """Share of a core that a sidecar takes when nothing happens, both of a side added."""
    seconds = max(context.pace.seconds * _LONGER, _IDLE_SECONDS_LEAST)
    before = {side: testbed.cpu_seconds() for side, testbed in testbeds.items()}
    time.sleep(seconds)
    for side, testbed in testbeds.items():
        percent = (testbed.cpu_seconds() - before[side]) / seconds * 100
        outcome.measurements.append(
            Measurement(NAME, "idle", side.value, "CPU of both sidecars", "% of a core", (percent,))
        )
    outcome.figures["idle_cpu_percent_two_sidecars"] = _idle(outcome, Side.MESHPROXY)
    outcome.figures["idle_cpu_percent_two_sidecars_envoy"] = _idle(outcome, Side.ENVOY)


def _idle(outcome: Outcome, side: Side) -> float:
    return outcome.samples("idle", side, "CPU of both sidecars")[0]


def _conclude(outcome: Outcome) -> None:
    def of(rate: int, metric: str) -> Callable[[Side], tuple[float, ...]]:
        return lambda side: outcome.samples(_case(rate), side, metric)

    for rate in RATES:
        cpu = of(rate, "CPU")
        outcome.ratios[f"cpu_ms_per_request_{_case(rate)}"] = ratio(cpu(Side.MESHPROXY), cpu(Side.ENVOY))
        outcome.figures[f"cpu_ms_per_request_{_case(rate)}"] = spread(cpu(Side.MESHPROXY)).median
    p99 = of(1000, "p99 added")
    ours, theirs = (spread(p99(side)).median for side in MESHES)
    outcome.figures["added_p99_ms_two_hops_mtls"] = ours
    outcome.figures["added_p99_ms_two_hops_mtls_envoy"] = theirs
    if theirs > 0.0:
        outcome.ratios["added_p99_two_hops_mtls"] = ours / theirs
    else:
        outcome.notes.append(
            f"{NAME}: Envoy's p99 was not above a direct call's, so there is no ratio: the machine was too "
            "noisy; run it again."
        )
