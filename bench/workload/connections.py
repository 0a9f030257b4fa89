"""(3) A new connection for each request: plain, and mTLS with full and with resumed handshakes.

Counted is connections for each second the proxies' core was busy: the load generator cannot keep that core
busy all the time (a handshake costs both ends), and must not decide the result. A connection of the mesh
costs a handshake as client and one as server: each is measured alone, with HAProxy as the other end, and
the rate of both is what one core would do doing one after the other.
"""

from __future__ import annotations

from typing import Final

from bench.dataset import CONNECTION_PORT, RELAY_ADDRESS
from bench.handshake_peer import ORIGINATOR_PORT, ReuseWatch
from bench.load import wrk
from bench.process import PROXY_CORE, core_busy_seconds
from bench.result import MESHES, Measurement, Outcome, Side
from bench.shape import SMALL
from bench.statistic import harmonic_sum_rate, ratio, spread
from bench.testbed import Layout, Plan, Testbed
from bench.workload.context import Context, say

NAME: Final = "new_connections"
_RATE = "rate"
_RESUMED = "resumed"
_HALVES = (Layout.CLIENT_HALF, Layout.SERVER_HALF)
_KINDS = ("resumed", "full")
"""In this order: a client that was refused resumption for a while tries it less often, as it should."""
_LEAST_RESUMED = 0.95
_MOST_RESUMED = 0.05
"""Shares of the connections, in the two cases; beyond, a case is not what it is called: a note says so."""


def new_connections(context: Context) -> Outcome:
    """All of it."""
    outcome = Outcome()
    with context.testbeds([Plan(side, Layout.ONE_HOP) for side in MESHES]) as testbeds:
        _measure(context, "plain", testbeds, outcome)
    for half in _HALVES:
        with context.testbeds([Plan(side, half) for side in MESHES]) as testbeds:
            for kind in _KINDS:
                for testbed in testbeds.values():
                    testbed.restart_peer(resumption=kind == "resumed")
                _measure(context, f"{kind}, {half.value}", testbeds, outcome)
    for kind in _KINDS:
        _add_halves(kind, outcome)
    for key, case in (("plain", "plain"), ("mtls", "full"), ("", "resumed")):
        name = f"new_{key}_connections" if key else "resumed_mtls_connections"
        ours, theirs = (outcome.samples(case, side, _RATE) for side in MESHES)
        outcome.ratios[name] = ratio(ours, theirs)
    return outcome


def _measure(context: Context, case: str, testbeds: dict[Side, Testbed], outcome: Outcome) -> None:
    rates: dict[Side, list[float]] = {side: [] for side in testbeds}
    resumed: dict[Side, list[float]] = {side: [] for side in testbeds}
    for testbed in testbeds.values():
        _load(context, testbed, max(1, context.pace.warm_up))
    for _ in range(context.pace.rounds):
        for side, testbed in testbeds.items():
            before = core_busy_seconds(PROXY_CORE)
            load, share = _watched_load(context, testbed)
            rates[side].append(load.requests / (core_busy_seconds(PROXY_CORE) - before))
            resumed[side].append(share)
    for side in testbeds:
        _record(outcome, case, side, _RATE, "connections/busy s", rates[side])
        if case != "plain":
            _record(outcome, case, side, _RESUMED, "share", resumed[side])
            _note_resumption(outcome, case, side, spread(resumed[side]).median)
        say(f"  {case:22} {side.value:10} {spread(rates[side]).median:8,.0f} connections/busy s")


def _record(outcome: Outcome, case: str, side: Side, metric: str, unit: str, values: list[float]) -> None:
    outcome.measurements.append(Measurement(NAME, case, side.value, metric, unit, tuple(values)))


def _note_resumption(outcome: Outcome, case: str, side: Side, share: float) -> None:
    if case.startswith("resumed") and share < _LEAST_RESUMED:
        outcome.notes.append(f"{NAME}, {case}: {side.value} resumed {share:.0%} of its sessions.")
    if case.startswith("full") and share > _MOST_RESUMED:
        outcome.notes.append(
            f"{NAME}, {case}: {side.value} resumed {share:.0%} of its sessions, which it should not have."
        )


def _watched_load(context: Context, testbed: Testbed) -> tuple[wrk.Load, float]:
    """The load, and the share of resumed sessions."""
    if testbed.peer is None:
        return _load(context, testbed, context.pace.seconds), 0.0
    with ReuseWatch(testbed.folder) as watch:
        load = _load(context, testbed, context.pace.seconds)
    return load, watch.share


def _load(context: Context, testbed: Testbed, seconds: int) -> wrk.Load:
    target = wrk.Target(testbed.network.client, url(testbed), testbed.folder, keep_alive=False)
    with testbed.judged():
        return wrk.run(SMALL, target, seconds, context.next_salt())


def url(testbed: Testbed) -> str:
    """Where each request makes the proxy take or make a new connection."""
    if testbed.plan.layout is Layout.ONE_HOP:
        return testbed.url
    if testbed.plan.layout is Layout.CLIENT_HALF:
        return f"http://{RELAY_ADDRESS}:{CONNECTION_PORT}"
    return f"http://127.0.0.1:{ORIGINATOR_PORT}"


def _add_halves(kind: str, outcome: Outcome) -> None:
    """A handshake as client and one as server, round by round."""
    for side in MESHES:
        halves = (outcome.samples(f"{kind}, {half.value}", side, _RATE) for half in _HALVES)
        rates = [harmonic_sum_rate(pair) for pair in zip(*halves, strict=True)]
        _record(outcome, kind, side, _RATE, "connections/busy s", rates)
