"""`python -m bench`: measure our sidecar beside Envoy, HAProxy and nginx on this machine."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from bench import machine, network, options, packages, report
from bench.control import Seeds
from bench.errors import BenchError
from bench.options import RESULTS, Command, Options
from bench.process import LOAD_CORE
from bench.profile import Profiler
from bench.result import Report, ResultError
from bench.workload.context import Context, say
from bench.workload.table import WORKLOADS

LATEST = RESULTS / "latest.json"
PARTIAL = RESULTS / "partial.json"
"""Of a run with `--only`, or one that was aborted: never mixed with a whole run's."""
MARKDOWN = RESULTS.parent / "RESULTS.md"


def main() -> int:
    """Exit status: 0 measured, 1 aborted, 130 interrupted."""
    chosen = options.parse(sys.argv[1:], list(WORKLOADS))
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _execute(chosen)
    except KeyboardInterrupt:
        say("bench: interrupted")
        return 130
    except (BenchError, ResultError, OSError) as error:
        say(f"bench: {error}")
        return 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _execute(chosen: Options) -> int:
    if chosen.command is Command.LIST:
        print("\n".join(f"{name:24} {workload.title}" for name, workload in WORKLOADS.items()))
    elif chosen.command is Command.REPORT:
        _write_markdown(Report.from_json(LATEST.read_text()))
    else:
        _prepare(chosen)
        with tempfile.TemporaryDirectory(prefix="meshproxy-bench-") as folder:
            profiler = Profiler(RESULTS, chosen.only[0]) if chosen.command is Command.PROFILE else None
            _run(chosen, Context(chosen.pace, Seeds(Path(folder, "seeds")), Path(folder), profiler))
    return 0


def _prepare(chosen: Options) -> None:
    if os.geteuid() != 0:
        raise BenchError("network namespaces and core limits need root: run it with sudo")
    if (cores := os.cpu_count() or 1) < 2:
        raise BenchError(f"{cores} core: the proxies and the load need one each")
    if absent := packages.missing():
        if not chosen.install:
            raise BenchError(f"missing: apt-get install {' '.join(absent)}")
        packages.install(absent)
    packages.envoy_binary()
    network.remove_stale()
    os.sched_setaffinity(0, {LOAD_CORE})


def _run(chosen: Options, context: Context) -> None:
    RESULTS.mkdir(exist_ok=True)
    done = Report(machine.conditions(context.pace))
    is_whole = False
    try:
        for name in chosen.only or WORKLOADS:
            say(f"{name}: {WORKLOADS[name].title}")
            done.add(WORKLOADS[name].run(context))
            done.conditions["data path"] = " and ".join(sorted(context.data_paths)) or "no sidecar of ours"
        is_whole = not chosen.only
    finally:
        if done.measurements:
            (LATEST if is_whole else PARTIAL).write_text(done.to_json())
            print(report.terminal(done))
    if is_whole:
        _write_markdown(done)


def _write_markdown(done: Report) -> None:
    MARKDOWN.write_text(report.markdown(done))
    say(f"written: {LATEST}, {MARKDOWN}")


if __name__ == "__main__":
    sys.exit(main())
