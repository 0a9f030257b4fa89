"""The command line (pure)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


class Command(Enum):
    """What to do."""

    RUN = "run"
    PROFILE = "profile"
    REPORT = "report"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how often things are measured."""

    seconds: int
    """Of load for one sample (wrk takes whole seconds)."""
    rounds: int
    """Samples of each side, taken in turn."""
    warm_up: int
    """Seconds of load before the first sample of a side in a case."""


QUICK = Pace(seconds=2, rounds=3, warm_up=1)
"""`make bench`: about a quarter of an hour."""
FULL = Pace(seconds=8, rounds=5, warm_up=2)
"""`make bench FULL=1`."""


@dataclass(frozen=True, slots=True)
class Options:
    """A parsed command line."""

    command: Command
    only: tuple[str, ...]
    """Workloads to run; empty: all."""
    pace: Pace
    install: bool
    """Whether missing Debian packages may be installed."""


def parse(arguments: Sequence[str], workloads: Sequence[str]) -> Options:
    """`workloads`: the known names. A wrong command line ends the program with argparse's own words."""
    parser = _parser(workloads)
    given = parser.parse_args(arguments)
    base = FULL if given.full else QUICK
    only = tuple(name for item in given.only for name in item.split(",") if name)
    if unknown := sorted(set(only) - set(workloads)):
        parser.error(f"--only {', '.join(unknown)}: there is {', '.join(workloads)}")
    return Options(
        command=Command(given.command),
        only=only or ((given.workload,) if given.workload else ()),
        pace=Pace(
            seconds=given.seconds or base.seconds,
            rounds=given.rounds or base.rounds,
            warm_up=base.warm_up if given.warm_up is None else given.warm_up,
        ),
        install=not given.no_install,
    )


def _parser(workloads: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measures the sidecar beside Envoy, HAProxy and nginx."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure, print, write bench/results and bench/RESULTS.md")
    _add_pace(run)
    run.add_argument("--only", action="append", default=[], metavar="NAME[,NAME]", help=", ".join(workloads))
    profile = commands.add_parser("profile", help="flame graphs of our sidecars while a workload runs")
    profile.add_argument("workload", choices=workloads)
    _add_pace(profile)
    commands.add_parser("report", help="RESULTS.md again from results/latest.json")
    commands.add_parser("list", help="the workloads")
    parser.set_defaults(
        only=[],
        workload="",
        full=False,
        seconds=None,
        rounds=None,
        warm_up=None,
        no_install=False,
    )
    return parser


def _add_pace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help=f"{FULL.rounds} samples of {FULL.seconds} s")
    parser.add_argument("--seconds", type=_positive, help=f"of a sample, default {QUICK.seconds}")
    parser.add_argument("--rounds", type=_positive, help=f"samples of each side, default {QUICK.rounds}")
    parser.add_argument("--warm-up", type=_not_negative, help=f"seconds, default {QUICK.warm_up}")
    parser.add_argument("--no-install", action="store_true", help="fail when a Debian package is missing")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a count: give 1 or more")
    return value


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value
