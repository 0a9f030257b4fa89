"""Load over HTTP/2 by h2load: as fast as it goes, or streams that stay open."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bench.errors import BenchError, WrongAnswer
from bench.load.wrk import Load, Target
from bench.process import LOAD_CORE, Process
from bench.shape import Shape, host_name

CONNECTIONS: Final = 4
STREAMS: Final = 16
"""At once on each connection."""
_GRACE_SECONDS = 20.0
_DOWNLOAD_SECONDS = 120.0
_FINISHED = re.compile(r"finished in ([0-9.]+)(m?s), ")
_REQUESTS = re.compile(
    r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored"
)


def run(shape: Shape, target: Target, seconds: int) -> Load:
    """As fast as it goes. Raises WrongAnswer when any request did not succeed."""
    words = [f"-c{CONNECTIONS}", f"-m{STREAMS}", f"-D{seconds}"]
    return summary(_output(shape, target, words, seconds), shape, seconds)


def download(shape: Shape, target: Target) -> None:
    """One request on one connection. Raises WrongAnswer."""
    text = _output(shape, target, ["-c1", "-m1", "-n1"], _DOWNLOAD_SECONDS)
    summary(text, shape, _DOWNLOAD_SECONDS)


def hold(shape: Shape, target: Target, streams: int, *, connections: int) -> Process:
    """So many requests at once. The caller stops it."""
    words = [f"-c{connections}", f"-m{streams // connections}", f"-n{streams}"]
    return _start(shape, target, words)


def _output(shape: Shape, target: Target, words: Sequence[str], seconds: float) -> str:
    process = _start(shape, target, words)
    try:
        code = process.wait(seconds + _GRACE_SECONDS)
    finally:
        process.stop()
    text = process.log.read_text(errors="replace")
    if code != 0:
        raise BenchError(f"h2load ended with {code}: {text}")
    return text


def _start(shape: Shape, target: Target, words: Sequence[str]) -> Process:
    command = ["h2load", "-t1", *words, "-H", f":authority: {host_name(0)}"]
    for name, value in shape.headers:
        command += ["-H", f"{name}: {value}"]
    if shape.request_body:
        body = target.folder / f"{shape.key}.body"
        body.write_bytes(shape.request_body)
        command += ["-d", str(body)]
    log = target.folder / "h2load.log"
    log.write_text("")
    return Process([*command, target.url + shape.path], namespace=target.namespace, core=LOAD_CORE, log=log)


def summary(text: str, shape: Shape, seconds: float) -> Load:
    """What h2load printed, judged (pure). Raises WrongAnswer."""
    found = _REQUESTS.search(text)
    if found is None or _FINISHED.search(text) is None:
        raise BenchError(f"h2load said: {text}")
    done, succeeded, failed, errored = map(int, found.groups())
    if failed or errored or succeeded != done or not done:
        raise WrongAnswer(f"{shape.key}: {done} requests, {succeeded} succeeded: {text[-600:]}")
    return Load(done, seconds, 0)
