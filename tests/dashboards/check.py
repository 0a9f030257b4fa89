"""Each panel of each dashboard, on a lab under traffic, compared with what its traffic is known to be.

`python -m tests.dashboards.check` (root; `make test-dashboards`). Its last line is `N panels, 0 empty,
0 wrong`, or says how many; it ends with 0 only if all held.
"""

import asyncio
import functools
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from control_plane.client import ApiClient
from deploy.grafana.build import DASHBOARDS
from deploy.grafana.panel import Panel
from deploy.prometheus.lab import LabPrometheus, running_prometheus
from lab import lifecycle, netns
from lab.network import Node
from lab.paths import LabPaths
from lab.plan_file import read_plan
from lab.state import LabOptions
from lab.topology import Source, read_topology
from meshctl.demo import scenario
from meshctl.demo.mesh import DemoMesh
from tests.dashboards.expectations import Check, expectations
from tests.dashboards.fickle import OWN_MEMORY
from tests.dashboards.measure import Series, Verdict, compare
from tests.dashboards.prometheus_query import query, targets, unhealthy_rules
from tests.dashboards.traffic import observe
from tests.dashboards.truth import Truth

WINDOW = 25
"""Seconds over which rates are taken; it lies within the traffic."""
_INTERVAL = "1s"
_READY_TIMEOUT = 240.0
_TIMEOUT = 600.0
_FICKLE = Path(__file__).with_name("fickle.yaml")
_OWN_METRIC = "process_resident_memory_bytes"
"""Of the one program that has metrics of its own; its sidecar shows them."""
_RANGE = "$__rate_interval"
ISTIO_NAMES = (
    "istio_request_duration_milliseconds",
    "pilot_xds_pushes",
    "pilot_total_xds_rejects",
    "pilot_push_triggers",
    "citadel_server_success_cert_issuance_count",
)
"""Metrics whose names are Istio's, and not as promtool would have them."""


async def verdicts(prometheus: LabPrometheus, truth: Truth) -> Mapping[tuple[str, str], Verdict]:
    """Of every panel, by dashboard and title, at the end of the window."""
    expected = expectations(truth)
    found = {}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for dashboard in DASHBOARDS:
            for panel in dashboard.panels:
                check = expected[dashboard.uid].get(panel.title)
                verdict = Verdict(wrong=("nothing is known of it",))
                if check is not None:
                    verdict = _joined(
                        await _compared(client, prometheus.url, panel, check, truth.evaluated_at)
                    )
                found[dashboard.uid, panel.title] = verdict
    return found


async def _compared(
    client: httpx.AsyncClient, url: str, panel: Panel, check: Check, at: float
) -> list[Verdict]:
    """Of each query of a panel."""
    found = []
    for asked, expected in zip(panel.queries, check.expected, strict=True):
        series = await query(client, url, _filled(asked.expression, check.choices), at)
        found.append(compare(expected, _with_labels(series, check.shown_by)))
    return found


def _filled(expression: str, choices: Mapping[str, str]) -> str:
    """As Grafana does it."""
    for name, value in {
        _RANGE: f"{WINDOW}s",
        **{f"${name}": value for name, value in choices.items()},
    }.items():
        expression = expression.replace(name, value)
    return expression


def _with_labels(series: Series, kept: frozenset[str] | None) -> Series:
    if kept is None:
        return series
    return {frozenset(pair for pair in key if pair[0] in kept): value for key, value in series.items()}


def _joined(parts: Sequence[Verdict]) -> Verdict:
    return Verdict(any(part.is_empty for part in parts), tuple(text for part in parts for text in part.wrong))


async def others(paths: LabPaths, prometheus: LabPrometheus) -> list[str]:
    """What else is not as it should be: rules, targets, the format of what is scraped."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        problems = [f"rule {text}" for text in await unhealthy_rules(client, prometheus.url)]
        scraped = await targets(client, prometheus.url)
        own = await query(client, prometheus.url, _OWN_METRIC, time.time())
    if list(own.values()) != [OWN_MEMORY]:
        problems.append(f"{_OWN_METRIC}: {own}; the program says {OWN_MEMORY}")
    problems += [f"target {url}: {error}" for url, error in scraped.items() if error]
    plan = read_plan(paths)
    namespace = Node(paths.root, plan, plan.nodes[0].name).namespace
    for url in scraped:
        text = await asyncio.to_thread(netns.inside, namespace, functools.partial(_read, url))
        problems += [f"{url}: {line}" for line in await asyncio.to_thread(lint, text)]
    return problems


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def lint(text: bytes) -> list[str]:
    """What `promtool check metrics` has against a scrape, but for Istio's names."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    lines = (done.stdout + done.stderr).decode().splitlines()
    return [line for line in lines if line.split(" ")[0] not in ISTIO_NAMES]


async def run(paths: LabPaths) -> bool:
    """On a lab that is up; whether everything held."""
    declared = [*scenario.manifests(), *read_topology([Source(_FICKLE, _FICKLE.read_text())])]
    async with ApiClient.from_kubeconfig(paths.kubeconfig) as client:
        mesh = DemoMesh(paths, client)
        await mesh.apply_and_wait(declared, _READY_TIMEOUT)
        async with running_prometheus(paths, _INTERVAL) as prometheus:
            truth = await observe(mesh, WINDOW)
            found = await verdicts(prometheus, truth)
            problems = await others(paths, prometheus)
    for (dashboard, title), verdict in found.items():
        for text in ("is empty",) * verdict.is_empty + verdict.wrong:
            print(f"{dashboard} | {title} | {text}")
    print(*problems, sep="\n", end="\n" * bool(problems))
    empty = sum(verdict.is_empty for verdict in found.values())
    wrong = sum(bool(verdict.wrong) for verdict in found.values())
    print(f"{len(truth.made)} requests, {len(truth.connections)} connections, {len(problems)} other problems")
    print(f"{len(found)} panels, {empty} empty, {wrong} wrong")
    return not (empty or wrong or problems)


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without taking the lab down
    paths = LabPaths.of(f"dashboards-{os.getpid()}")
    lifecycle.stop(paths)
    daemon = lifecycle.start(paths, LabOptions())
    try:
        lifecycle.wait_until_ready(paths, daemon, _READY_TIMEOUT, lambda: None)
        held = asyncio.run(asyncio.wait_for(run(paths), _TIMEOUT))
    finally:
        lifecycle.stop(paths)
        daemon.wait()
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
