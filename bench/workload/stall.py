"""(7) The longest time the event loop of our sidecar serves nobody: during a push that brings 1,000 services,
a scrape and a config dump with them, 500 connections that handshake at once in each role, and a full garbage
collection. One sidecar alone on the proxies' core, so that it waits for nobody else."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.control import ControlPlane
from bench.errors import BenchError
from bench.load import wrk
from bench.network import http_get
from bench.process import Process, until
from bench.proxies import ADMIN_PORT, CLIENT, SERVER
from bench.result import Measurement, Outcome, Side
from bench.shape import SHAPES, SMALL
from bench.statistic import spread
from bench.testbed import SERVICES, Layout, Plan, Testbed
from bench.witnessed_sidecar import VARIABLE
from bench.workload.connections import url
from bench.workload.context import Context, say

NAME: Final = "loop_stall"
_MANY: Final = 1000
_HANDSHAKES: Final = 500
_HANDSHAKE_SECONDS = 10
"""Long enough for the first of so many to be through, also with a slow core."""
_COLLECTION_SECONDS = 0.5
_PROMETHEUS_PORT = 15090
_PUSH_SECONDS = 60.0
_LOADS = ("load", "load_1000_services")
"""Ordinary traffic, for comparison: not among the acts whose longest stall is looked for."""
_UNIQUE = next(shape for shape in SHAPES if shape.unique)


def stall(context: Context) -> Outcome:
    """Our side only: Envoy's workers do not take their configuration on the event loop that serves."""
    outcome = Outcome()
    with context.testbed(_plan(context, Layout.CLIENT_HALF)) as testbed:
        _Watched(context, testbed, CLIENT.pod, outcome).run_client()
    with context.testbed(_plan(context, Layout.SERVER_HALF)) as testbed:
        _Watched(context, testbed, SERVER.pod, outcome).run_server()
    longest = {one.case: max(one.samples) for one in outcome.measurements}
    outcome.figures.update({f"loop_stall_ms_{case}": value for case, value in longest.items()})
    acts = [value for case, value in longest.items() if case not in _LOADS]
    outcome.figures["loop_stall_max_ms"] = max(acts)
    return outcome


def _plan(context: Context, layout: Layout) -> Plan:
    environment = ((VARIABLE, str(_report_file(context))),)
    module = "bench.witnessed_sidecar"
    return Plan(Side.MESHPROXY, layout, sidecar_module=module, sidecar_environment=environment)


def _report_file(context: Context) -> Path:
    return context.folder / "longest-stall"


class _Watched:
    """One sidecar and what is done to it."""

    def __init__(self, context: Context, testbed: Testbed, pod: str, outcome: Outcome) -> None:
        self._context = context
        self._testbed = testbed
        self._pod = pod
        self._outcome = outcome
        self._namespace = testbed.network.client if pod == CLIENT.pod else testbed.network.server

    def run_client(self) -> None:
        self._watch(_LOADS[0], self._load, rounds=1)
        bigger = self._bigger_mesh()
        self._watch("push_1000_services", lambda: self._push(bigger), rounds=1)
        self._watch(_LOADS[1], lambda: self._load(_MANY), rounds=1)
        self._watch("scrape", lambda: self._fetch(_PROMETHEUS_PORT, "/stats/prometheus"))
        self._watch("config_dump", lambda: self._fetch(ADMIN_PORT, "/config_dump"))
        self._watch("garbage_collection", self._collect)
        self._testbed.restart_peer(resumption=False)
        self._watch("500_handshakes_as_client", self._handshakes, rounds=1)

    def run_server(self) -> None:
        self._testbed.restart_peer(resumption=False)
        self._watch("500_handshakes_as_server", self._handshakes, rounds=1)

    @property
    def _process(self) -> Process:
        return self._testbed.proxies[self._pod]

    def _watch(self, case: str, act: Callable[[], None], rounds: int = 0) -> None:
        """Do something, and record the longest stall meanwhile."""
        samples = []
        for _ in range(rounds or self._context.pace.rounds):
            self._longest()
            act()
            samples.append(self._longest())
        say(f"  {case:26} {spread(samples).median:8.2f} ms")
        one = Measurement(NAME, case, Side.MESHPROXY.value, "longest stall", "ms", tuple(samples))
        self._outcome.measurements.append(one)

    def _longest(self) -> float:
        """Since it was last asked; ms."""
        report = _report_file(self._context)
        report.unlink(missing_ok=True)
        self._process.signal(signal.SIGUSR1)
        until(report.exists, "the witness does not answer", _PUSH_SECONDS, [self._process])
        return float(report.read_text())

    def _load(self, services: int = SERVICES) -> None:
        """Over all hosts, so that the metrics have them all."""
        testbed = self._testbed
        target = wrk.Target(testbed.network.client, testbed.url, testbed.folder, services)
        with testbed.judged():
            wrk.run(_UNIQUE, target, self._context.pace.seconds, self._context.next_salt())

    def _bigger_mesh(self) -> Path:
        """State with the same CA and more services."""
        folder, seeds = self._testbed.folder, self._context.seeds
        base = seeds.copy(folder / "smaller", SERVICES, meshed=True)
        return seeds.extended(folder / "bigger", base, SERVICES, _MANY)

    def _push(self, bigger: Path) -> None:
        """The control plane comes back with a bigger mesh."""
        testbed = self._testbed
        testbed.control.stop()
        log = testbed.folder / "control-plane-2.log"
        testbed.control = ControlPlane(bigger, testbed.network.control, log)
        until(self._has_last_service, "the push did not arrive", _PUSH_SECONDS, [self._process])

    def _has_last_service(self) -> bool:
        try:
            self._testbed.checker().ask(SMALL, _MANY - 1)
        except (BenchError, OSError):
            time.sleep(0.2)
            return False
        return True

    def _fetch(self, port: int, path: str) -> None:
        answer = http_get(self._namespace, port, path)
        if answer is None or answer[0] != 200:
            raise BenchError(f"{path} of {self._pod}: {answer and answer[0]}")

    def _collect(self) -> None:
        self._process.signal(signal.SIGUSR2)
        time.sleep(_COLLECTION_SECONDS)

    def _handshakes(self) -> None:
        """As many connections at once, each new one as soon as one has ended."""
        testbed = self._testbed
        target = wrk.Target(
            testbed.network.client, url(testbed), testbed.folder, keep_alive=False, connections=_HANDSHAKES
        )
        with testbed.judged():
            wrk.run(
                SMALL, target, max(_HANDSHAKE_SECONDS, self._context.pace.seconds), self._context.next_salt()
            )
