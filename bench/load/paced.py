"""Runs the open-loop generators and reads their answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from bench.errors import WrongAnswer
from bench.process import LOAD_CORE, Process

CONNECTIONS: Final = 64
GRPC_CONNECTIONS: Final = 4
_GRACE_SECONDS = 30.0


def run(
    namespace: Path,
    folder: Path,
    address: tuple[str, int],
    host: str,
    *,
    rate: int,
    seconds: int,
    seed: int,
    grpc: bool = False,
) -> list[float]:
    """Latencies in seconds; of calls of `grpc`, else of requests of HTTP/1.1. Raises WrongAnswer when one was
    not answered as it must be."""
    module = "bench.load.open_loop_grpc" if grpc else "bench.load.open_loop"
    words = [address[0], address[1], host, rate, seconds, GRPC_CONNECTIONS if grpc else CONNECTIONS, seed]
    log = folder / "open-loop.log"
    log.write_text("")
    command = [sys.executable, "-m", module, *map(str, words)]
    from_sources = {"MESHPROXY_SPEEDUPS": "off"}  # it derives from a class that may be compiled
    process = Process(command, namespace=namespace, core=LOAD_CORE, log=log, environment=from_sources)
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
