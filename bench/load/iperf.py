"""Bulk TCP by iperf3."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bench.dataset import STREAM_PORT
from bench.errors import WrongAnswer
from bench.process import LOAD_CORE, Process

_GRACE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Stream:
    """What arrived."""

    received: int
    """Bytes."""
    seconds: float

    @property
    def gbit_per_second(self) -> float:
        return self.received * 8 / self.seconds / 1e9


def start_server(namespace: Path, folder: Path) -> Process:
    """Listens until it is stopped."""
    command = ["iperf3", "--server", "--port", str(STREAM_PORT)]
    return Process(command, namespace=namespace, core=LOAD_CORE, log=folder / "iperf-server.log")


def run(namespace: Path, folder: Path, address: str, seconds: int) -> Stream:
    """Send for that long. Raises WrongAnswer when it did not work."""
    log = folder / "iperf.log"
    log.write_text("")
    command = ["iperf3", "--client", address, "--port", str(STREAM_PORT), "--time", str(seconds), "--json"]
    process = Process(command, namespace=namespace, core=LOAD_CORE, log=log)
    try:
        process.wait(seconds + _GRACE_SECONDS)
    finally:
        process.stop()
    return received(log.read_text())


def received(text: str) -> Stream:
    """What iperf3's JSON says (pure). Raises WrongAnswer."""
    try:
        answer = json.loads(text)
        if "error" in answer:
            raise WrongAnswer(f"iperf3: {answer['error']}")
        sums = answer["end"]["sum_received"]
        return Stream(int(sums["bytes"]), float(sums["seconds"]))
    except (json.JSONDecodeError, KeyError) as error:
        raise WrongAnswer(f"iperf3 said {text[:500]!r}") from error
