"""(5) TCP relay of bulk bytes: one hop plain, two hops with mTLS. Gbit/s, and CPU for each GB.

The copies on loopback dominate the rate, so what counts is the proxies' CPU.
"""

from __future__ import annotations

import time
from typing import Final

from bench.dataset import RELAY_ADDRESS
from bench.load import iperf
from bench.result import MESHES, Measurement, Outcome, Side
from bench.statistic import ratio, spread
from bench.testbed import Layout, Plan, Testbed
from bench.workload.context import Context, say

NAME: Final = "l4_relay"
_CASES = {"plain": Layout.ONE_HOP, "mtls": Layout.TWO_HOPS}
_LISTEN_SECONDS = 0.3
"""iperf3 says nothing when it listens."""


def relay(context: Context) -> Outcome:
    """Both cases."""
    outcome = Outcome()
    for case, layout in _CASES.items():
        with context.testbeds([Plan(side, layout) for side in MESHES]) as testbeds:
            _measure(context, case, testbeds, outcome)
        ours, theirs = (outcome.samples(case, side, "proxy CPU") for side in MESHES)
        outcome.ratios[f"l4_{case}_cpu_per_gb"] = ratio(ours, theirs)
        ours, theirs = (outcome.samples(case, side, "rate") for side in MESHES)
        outcome.ratios[f"l4_{case}_gbit"] = ratio(ours, theirs)
    return outcome


def _measure(context: Context, case: str, testbeds: dict[Side, Testbed], outcome: Outcome) -> None:
    rates: dict[Side, list[float]] = {side: [] for side in testbeds}
    costs: dict[Side, list[float]] = {side: [] for side in testbeds}
    servers = [iperf.start_server(each.network.server, each.folder) for each in testbeds.values()]
    try:
        time.sleep(_LISTEN_SECONDS)
        for testbed in testbeds.values():
            _stream(testbed, 1)
        for _ in range(context.pace.rounds):
            for side, testbed in testbeds.items():
                before = testbed.cpu_seconds()
                stream = _stream(testbed, context.pace.seconds)
                costs[side].append((testbed.cpu_seconds() - before) / (stream.received / 1e9))
                rates[side].append(stream.gbit_per_second)
    finally:
        for server in servers:
            server.stop()
    for side in testbeds:
        for metric, unit, values in (("rate", "Gbit/s", rates), ("proxy CPU", "s/GB", costs)):
            outcome.measurements.append(
                Measurement(NAME, case, side.value, metric, unit, tuple(values[side]))
            )
        cost, rate = spread(costs[side]).median, spread(rates[side]).median
        say(f"  {case:6} {side.value:10} {rate:5.2f} Gbit/s  {cost:.3f} CPU s/GB")


def _stream(testbed: Testbed, seconds: int) -> iperf.Stream:
    with testbed.judged():
        return iperf.run(testbed.network.client, testbed.folder, RELAY_ADDRESS, seconds)
