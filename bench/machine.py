"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

from bench import packages
from bench.options import Pace

_CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
"""Of the machine: new namespaces take it over."""


def conditions(pace: Pace) -> dict[str, str]:
    """Machine, versions, settings and commit, as text."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _commit(),
        "cpu": f"{_cpu_model()}, {os.cpu_count()} cores",
        "kernel": platform.release(),
        "congestion control": _CONGESTION_CONTROL.read_text().strip(),
        "load average at start": load,
        "sample": f"{pace.rounds} of {pace.seconds} s for each side in turn, {pace.warm_up} s warm-up",
        **packages.versions(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
