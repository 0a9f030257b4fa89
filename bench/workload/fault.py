"""Proof that both sides have the features they are measured with: faults of 1 % are injected in the middle of
a run, counted where they are made, and must be found again in each side's own counters.

- 1 % of new upstream connections are refused. Both count each, and retry. Ours retries once for each, and no
  client notices. Envoy fails every request that waits for a connection when one is refused, so it retries
  more often than that; its retry budget counts those under way, so some of so many at once are not retried,
  and a request can be unlucky three times. Its clients must see just the failures that its own counters of
  retries not made explain.
- 1 % of GETs are reset after they were sent. Ours retries a GET; Envoy is told not to
  (`reset-before-request`, because its `reset` would send a POST twice): its clients see a 503 for each.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from bench.errors import BenchError, WrongAnswer
from bench.load import wrk
from bench.network import http_get
from bench.proxies import ADMIN_PORT
from bench.result import MESHES, Measurement, Outcome, Side
from bench.shape import SERVICE_PORT, Shape
from bench.testbed import Layout, Plan, Testbed
from bench.upstream import RESET_LOG
from bench.workload.context import Context, say
from lab import netns

NAME: Final = "faults"
_PROBABILITY = 0.01
_LEAST_SECONDS = 3
_CLOSING = Shape("get_closing", "GET, the upstream closes", "/closing")
_RESETTING = Shape("get_resetting", "GET, 1 % reset", "/resetting")
_RULE = (
    f"INPUT -p tcp --syn --dport {SERVICE_PORT} -m statistic --mode random --probability {_PROBABILITY} "
    "-j REJECT --reject-with tcp-reset"
).split()
_PASS = ["INPUT", "-j", "ACCEPT"]
_RETRIES = {
    Side.MESHPROXY: r"^meshproxy_upstream_retries_total\{.*\}: (\d+)$",
    Side.ENVOY: r"^cluster\..*\.upstream_rq_retry: (\d+)$",
}
_REFUSED = {
    Side.MESHPROXY: r"^meshproxy_upstream_connect_failures_total\{.*\}: (\d+)$",
    Side.ENVOY: r"^cluster\..*\.upstream_cx_connect_fail: (\d+)$",
}
_NOT_RETRIED = {Side.ENVOY: r"^cluster\..*\.upstream_rq_retry_(?:overflow|limit_exceeded): (\d+)$"}
"""Lines of each side's statistics, one a cluster."""
_TOLERANCE = 0.02
"""Of the faults: requests that the end of the load cut off were counted on one side only."""
_TOLERATED_LEAST = 3


def faults(context: Context) -> Outcome:
    """Raises WrongAnswer when the arithmetic does not hold."""
    outcome = Outcome()
    with context.testbeds([Plan(side, Layout.ONE_HOP) for side in MESHES]) as testbeds:
        for inject in (_refused, _reset):
            for side, testbed in testbeds.items():
                with testbed.judged():
                    inject(context, side, testbed, outcome)
    return outcome


def _refused(context: Context, side: Side, testbed: Testbed, outcome: Outcome) -> None:
    seconds = max(_LEAST_SECONDS, context.pace.seconds)
    injected: list[int] = []
    refused, retries = _counter(testbed, _REFUSED), _counter(testbed, _RETRIES)
    given_up = 0 if side is Side.MESHPROXY else _counter(testbed, _NOT_RETRIED)
    with _refusing(testbed, seconds, injected.append):
        counted = _load(context, _CLOSING, testbed, seconds)
    refused, retries = _counter(testbed, _REFUSED) - refused, _counter(testbed, _RETRIES) - retries
    _conclude("1 % refused", side, injected[0], retries, counted, outcome)
    _expect(side, "refused connections", refused, injected[0])
    if side is Side.MESHPROXY:
        _expect(side, "retries", retries, injected[0])
        _expect(side, "failed requests", counted.failed, 0)
    else:
        _expect(side, "failed requests", counted.failed, _counter(testbed, _NOT_RETRIED) - given_up)
        if retries + counted.failed < injected[0]:
            raise WrongAnswer(
                f"{side.value}: {injected[0]} faults, {retries} retries, {counted.failed} failed"
            )


def _reset(context: Context, side: Side, testbed: Testbed, outcome: Outcome) -> None:
    before = _counter(testbed, _RETRIES)
    counted = _load(context, _RESETTING, testbed, max(_LEAST_SECONDS, context.pace.seconds))
    retries = _counter(testbed, _RETRIES) - before
    log = testbed.folder / "upstream" / RESET_LOG
    injected = len(log.read_text().splitlines())
    _conclude("1 % reset", side, injected, retries, counted, outcome)
    _expect(side, "retries", retries, injected if side is Side.MESHPROXY else 0)
    _expect(side, "failed requests", counted.failed, 0 if side is Side.MESHPROXY else injected)


def _load(context: Context, shape: Shape, testbed: Testbed, seconds: int) -> wrk.Counted:
    target = wrk.Target(testbed.network.client, testbed.url, testbed.folder, testbed.plan.services)
    return wrk.count(shape, target, seconds, context.next_salt())


@contextmanager
def _refusing(testbed: Testbed, seconds: int, report: Callable[[int], None]) -> Iterator[None]:
    """Refuse some connections in the middle third of the block, and report how many."""
    server = testbed.network.server
    start = threading.Timer(seconds / 3, lambda: netns.run(server, ["iptables", "-A", *_RULE]))
    start.start()
    stop = threading.Timer(seconds * 2 / 3, lambda: report(_remove(testbed)))
    stop.start()
    try:
        yield
    finally:
        start.join()
        stop.join()


def _remove(testbed: Testbed) -> int:
    """Take the rule away; how often it refused. Nothing reaches it any more when it is asked."""
    server = testbed.network.server
    netns.run(server, ["iptables", "-I", *_PASS])
    listed = netns.run(server, ["iptables", "-nvxL", "INPUT"])
    for rule in (_RULE, _PASS):
        netns.run(server, ["iptables", "-D", *rule])
    return sum(int(line.split()[0]) for line in listed.splitlines() if "statistic" in line)


def _counter(testbed: Testbed, patterns: Mapping[Side, str]) -> int:
    """The sum over all clusters so far."""
    answer = http_get(testbed.network.client, ADMIN_PORT, "/stats")
    if answer is None:
        raise BenchError(f"{testbed.side.value}: /stats does not answer")
    return sum(map(int, re.findall(patterns[testbed.side], answer[1].decode(), re.MULTILINE)))


def _conclude(
    case: str, side: Side, injected: int, retries: int, counted: wrk.Counted, outcome: Outcome
) -> None:
    values = {"requests": counted.requests, "faults": injected, "retries": retries, "failed": counted.failed}
    for metric, value in values.items():
        one = Measurement(NAME, case, side.value, metric, "count", (float(value),))
        outcome.measurements.append(one)
    say(f"  {case:12} {side.value:10} {', '.join(f'{value} {name}' for name, value in values.items())}")
    if not injected:
        raise BenchError(f"{case}, {side.value}: no fault was injected in {counted.requests} requests")


def _expect(side: Side, what: str, found: int, expected: int) -> None:
    if abs(found - expected) > max(_TOLERATED_LEAST, expected * _TOLERANCE):
        raise WrongAnswer(f"{side.value}: {found} {what}, {expected} by the faults that were injected")
