"""HTTP/2, two hops with mTLS: latency of gRPC calls at a fixed rate, one long answer, many open streams."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

from bench.dataset import service_address
from bench.errors import BenchError
from bench.load import h2load, paced
from bench.load.wrk import Target
from bench.network import DIRECT_PORT, http_get
from bench.process import PROXY_CORE, Process, core_busy_seconds
from bench.result import MESHES, Measurement, Outcome, Side
from bench.shape import (
    GRPC_STREAM,
    GRPC_STREAM_BYTES,
    GRPC_STREAM_MESSAGE,
    GRPC_UNARY,
    HELD,
    SERVICE_PORT,
    host_name,
)
from bench.statistic import percentile, ratio, spread
from bench.testbed import Layout, Plan, Testbed
from bench.workload.context import Context, say

NAME: Final = "http2_streams"
RATE: Final = 1000
STREAMS: Final = 1000
_CONNECTIONS = 10
"""Of the client that holds the streams."""
_PERCENTILES = (50.0, 99.0)
_LONGER: Final = 3
"""Times the pace's seconds: the tail needs requests."""
_OPEN_SECONDS = 30.0
_POLL = 0.05
_WRITING = re.compile(rb"Writing: (\d+)")


def streams(context: Context) -> Outcome:
    """Both sides up, taken in turn."""
    outcome = Outcome()
    answer = _long_answer(context.folder)
    plans = [Plan(side, Layout.TWO_HOPS, http2=True) for side in MESHES]
    with context.testbeds(plans) as testbeds:
        for testbed in testbeds.values():
            (testbed.folder / "upstream" / "grpc_stream").symlink_to(answer)
            h2load.run(GRPC_UNARY, _target(testbed), max(1, context.pace.warm_up))
        _measure_open(testbeds, outcome)
        _measure_rate(context, testbeds, outcome)
        _measure_download(context, testbeds, outcome)
    return outcome


def _long_answer(folder: Path) -> Path:
    path = folder / "grpc_stream"
    with open(path, "wb") as file:
        for _ in range(GRPC_STREAM_BYTES // len(GRPC_STREAM_MESSAGE)):
            file.write(GRPC_STREAM_MESSAGE)
    return path


def _target(testbed: Testbed) -> Target:
    return Target(testbed.network.client, testbed.url, testbed.folder)


def _record(
    outcome: Outcome, case: str, side: Side, metric: str, unit: str, samples: tuple[float, ...]
) -> None:
    outcome.measurements.append(Measurement(NAME, case, side.value, metric, unit, samples))
    say(f"  {case:12} {side.value:10} {metric:20} {spread(samples).median:8.4g} {unit}")


# --- many open streams --------------------------------------------------------------------------------------


def _measure_open(testbeds: dict[Side, Testbed], outcome: Outcome) -> None:
    """Resident memory of each sidecar before, and with the streams open."""
    case = f"{STREAMS} streams"
    for side, testbed in testbeds.items():
        before = {pod: process.rss_mb() for pod, process in testbed.proxies.items()}
        holder = h2load.hold(HELD, _target(testbed), STREAMS, connections=_CONNECTIONS)
        try:
            _wait_until_open(testbed, holder)
            for pod, process in testbed.proxies.items():
                held = process.rss_mb()
                _record(outcome, case, side, f"RSS of {pod}", "MB", (held,))
                _record(outcome, case, side, f"more of {pod}", "MB", (held - before[pod],))
        finally:
            holder.stop()
        testbed.check_alive()
    for side, suffix in ((Side.MESHPROXY, ""), (Side.ENVOY, "_envoy")):
        [value] = outcome.samples(case, side, "RSS of client")
        outcome.figures[f"rss_mb_{STREAMS}_streams{suffix}"] = value


def _wait_until_open(testbed: Testbed, holder: Process) -> None:
    """Raises BenchError when the upstream does not get them all."""
    give_up_at = time.monotonic() + _OPEN_SECONDS
    while (count := _writing(testbed)) < STREAMS:
        holder.check()
        if time.monotonic() > give_up_at:
            raise BenchError(f"{testbed.side.value}: {count} of {STREAMS} streams are open")
        time.sleep(_POLL)


def _writing(testbed: Testbed) -> int:
    """Requests that the upstream answers just now, the one that asks not counted."""
    page = http_get(testbed.network.server, DIRECT_PORT, "/status")
    found = _WRITING.search(page[1]) if page is not None else None
    return int(found[1]) - 1 if found else 0


# --- calls at a fixed rate ----------------------------------------------------------------------------------


def _measure_rate(context: Context, testbeds: dict[Side, Testbed], outcome: Outcome) -> None:
    taken: dict[tuple[Side, str], list[float]] = {}
    for number in range(context.pace.rounds):
        for side, testbed in testbeds.items():
            before = testbed.cpu_seconds()
            with testbed.judged():
                times = paced.run(
                    testbed.network.client,
                    testbed.folder,
                    (service_address(0), SERVICE_PORT),
                    host_name(0),
                    rate=RATE,
                    seconds=context.pace.seconds * _LONGER,
                    seed=number,
                    grpc=True,
                )
            cpu = testbed.cpu_seconds() - before
            taken.setdefault((side, "CPU"), []).append(cpu / len(times) * 1e3)
            for percent in _PERCENTILES:
                value = percentile(times, percent) * 1e3
                taken.setdefault((side, f"p{percent:g}"), []).append(value)
    case = f"{RATE}rps"
    for (side, metric), values in taken.items():
        unit = "ms/request" if metric == "CPU" else "ms"
        _record(outcome, case, side, metric, unit, tuple(values))
    for key, metric in (("grpc_p99_1000rps", "p99"), ("grpc_cpu_ms_per_request_1000rps", "CPU")):
        ours, theirs = (outcome.samples(case, side, metric) for side in MESHES)
        outcome.ratios[key] = ratio(ours, theirs)


# --- one long answer ----------------------------------------------------------------------------------------


def _measure_download(context: Context, testbeds: dict[Side, Testbed], outcome: Outcome) -> None:
    taken: dict[Side, list[float]] = {side: [] for side in testbeds}
    rates: dict[Side, list[float]] = {side: [] for side in testbeds}
    for _ in range(context.pace.rounds):
        for side, testbed in testbeds.items():
            busy, start = core_busy_seconds(PROXY_CORE), time.monotonic()
            with testbed.judged():
                h2load.download(GRPC_STREAM, _target(testbed))
            megabytes = GRPC_STREAM_BYTES / 1e6
            rates[side].append(megabytes / (time.monotonic() - start))
            taken[side].append(megabytes / (core_busy_seconds(PROXY_CORE) - busy))
            testbed.check_alive()
    for side in testbeds:
        _record(outcome, GRPC_STREAM.key, side, "per core", "MB/busy s", tuple(taken[side]))
        _record(outcome, GRPC_STREAM.key, side, "rate", "MB/s", tuple(rates[side]))
    ours, theirs = (outcome.samples(GRPC_STREAM.key, side, "rate") for side in MESHES)
    outcome.ratios["grpc_stream_1g"] = ratio(ours, theirs)
