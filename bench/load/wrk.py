"""Closed-loop load by wrk, with Lua of ours that sends the shape and counts errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from bench.errors import BenchError, WrongAnswer
from bench.process import LOAD_CORE, Process
from bench.shape import NAMESPACE, SERVICE_PORT, Shape, host_name

CONNECTIONS: Final = 32
_GRACE_SECONDS = 20.0
"""wrk ends after its duration; longer means that it hangs."""

_DONE = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests":%d,"microseconds":%d,"bytes":%d,"p99":%d,' ..
    '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
"""
_UNIQUE = """
local number = 0
local salt = ""
function init(args) salt = args[1] end
function request()
  number = number + 1
  local n = string.format("%08x", number)
  return "GET {path}/" .. salt .. n .. " HTTP/1.1\\r\\nHost: " ..
    string.format("svc-%03d", number % {services}) .. ".{domain}\\r\\n{headers}traceparent: 00-" ..
    salt .. "0000000000000000" .. n .. "-" .. salt .. n .. "-01\\r\\n\\r\\n"
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk did."""

    requests: int
    seconds: float
    p99_us: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of the requests of a load in which some may fail."""

    requests: int
    failed: int
    """Answered with 400 or above."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where wrk runs and what it calls."""

    namespace: Path
    url: str
    folder: Path
    """For scripts and output."""
    services: int = 100
    keep_alive: bool = True
    connections: int = CONNECTIONS


def script(shape: Shape, *, services: int, keep_alive: bool) -> str:
    """Lua for a shape (pure). Fixed requests are built once by wrk; unique ones for each request."""
    if shape.unique:
        domain = f"{NAMESPACE}:{SERVICE_PORT}"
        fixed = "".join(f"{name}: {value}\\r\\n" for name, value in shape.headers)
        lua = _UNIQUE.format(path=shape.path, services=services, domain=domain, headers=fixed)
        return lua + _DONE
    headers = dict(shape.headers)
    headers["Host"] = host_name(0)
    if not keep_alive:
        headers["Connection"] = "close"
    lines = [f"wrk.method = {_lua(shape.method)}", f"wrk.path = {_lua(shape.path)}"]
    lines += [f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in headers.items()]
    if shape.request_body:
        lines.append(f"wrk.body = {_lua(shape.request_body.decode())}")
    return "\n".join(lines) + _DONE


def run(shape: Shape, target: Target, seconds: int, salt: int) -> Load:
    """Raises WrongAnswer when any request did not succeed."""
    return summary(_run(shape, target, seconds, salt), shape)


def count(shape: Shape, target: Target, seconds: int, salt: int) -> Counted:
    """As `run`, but statuses may be bad. Raises WrongAnswer when connections failed."""
    return tolerant_summary(_run(shape, target, seconds, salt), shape)


def _run(shape: Shape, target: Target, seconds: int, salt: int) -> str:
    lua = target.folder / f"{shape.key}{'' if target.keep_alive else '-close'}.lua"
    lua.write_text(script(shape, services=target.services, keep_alive=target.keep_alive))
    options = ["-t1", f"-c{target.connections}", f"-d{seconds}s", "--timeout", "20s"]
    command = ["wrk", *options, "-s", str(lua), target.url, "--", f"{salt:08x}"]
    return _output(command, target, seconds)


def _output(command: Sequence[str], target: Target, seconds: int) -> str:
    log = target.folder / "wrk.log"
    log.write_text("")
    process = Process(command, namespace=target.namespace, core=LOAD_CORE, log=log)
    try:
        code = process.wait(seconds + _GRACE_SECONDS)
    finally:
        process.stop()
    text = log.read_text(errors="replace")
    if code != 0:
        raise BenchError(f"wrk ended with {code}: {text}")
    return text


def summary(text: str, shape: Shape) -> Load:
    """What wrk printed, judged (pure). Raises WrongAnswer."""
    found = _found(text)
    _require_none(("connect", "read", "write", "status", "timeout"), found, shape)
    requests = int(found["requests"])
    if not requests:
        raise WrongAnswer(f"{shape.key}: not one request was answered")
    # The last responses of the run are cut off: bytes of whole responses are what counts.
    if found["bytes"] < requests * len(shape.response_body):
        expected = len(shape.response_body)
        raise WrongAnswer(f"{shape.key}: {found['bytes']} bytes in {requests} answers of {expected}")
    return Load(requests, found["microseconds"] / 1e6, int(found["p99"]))


def tolerant_summary(text: str, shape: Shape) -> Counted:
    """As `summary`, with failed requests counted."""
    found = _found(text)
    _require_none(("connect", "read", "write", "timeout"), found, shape)
    return Counted(found["requests"], found["status"])


def _found(text: str) -> dict[str, int]:
    return cast("dict[str, int]", json.loads(text.rstrip().rpartition("\n")[2]))


def _require_none(errors: Sequence[str], found: dict[str, int], shape: Shape) -> None:
    seen = {name: found[name] for name in errors if found[name]}
    if seen:
        raise WrongAnswer(f"{shape.key}: {found['requests']} requests, of which failed: {seen}")


def _lua(text: str) -> str:
    """A Lua string literal of printable ASCII."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
