"""Runs the open-loop generator and reads its answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.errors import WrongAnswer
from bench.process import LOAD_CORE, Process

CONNECTIONS = 64
_GRACE_SECONDS = 30.0


def run(
    namespace: Path, folder: Path, address: tuple[str, int], host: str, *, rate: int, seconds: int, seed: int
) -> list[float]:
    """Latencies in seconds. Raises WrongAnswer when a request was not answered as it must be."""
    words = [address[0], address[1], host, rate, seconds, CONNECTIONS, seed]
    log = folder / "open-loop.log"
    log.write_text("")
    command = [sys.executable, "-m", "bench.load.open_loop", *map(str, words)]
    process = Process(command, namespace=namespace, core=LOAD_CORE, log=log)
    try:
        process.wait(seconds + _GRACE_SECONDS)
    finally:
        process.stop()
    text = log.read_text()
    try:
        answer = json.loads(text)
        return [float(latency) for latency in answer["latencies"]]
    except (json.JSONDecodeError, KeyError) as error:
        raise WrongAnswer(f"open loop at {rate}/s: {text[:2000]}") from error
