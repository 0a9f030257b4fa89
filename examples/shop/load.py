"""A load generator: fixed rate (open loop) or as fast as answers come (closed loop), with a ledger as JSON.

    python -m examples.shop.load --request 'GET http://catalog:8080/products' --rate 500 --duration 10

Several `--request` take turns. In the open loop the latency counts from the moment a request was due, so that
a stall is not hidden. It stops after `--duration`, after `--limit` requests, or at the end of its input when
`--until-eof` is given; requests in flight are finished. A POST carries `{"id": "<run>-<number>", "note": …}`.
Nothing is retried. The ledger: `{"run": …, "records": [[number, request, due_at, latency_ms, status, version,
failure], …]}`, times by CLOCK_MONOTONIC, which all pods of a machine share; with `--summary` only counts.
"""

import argparse
import asyncio
import json
import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from examples.shop.http_client import HttpClient, RequestFailed
from examples.shop.http_message import Request

_LATE_START = 0.05
"""Seconds between the start and the first request, so that the loop is running by then."""


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of request."""

    method: str
    base_url: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "Target":
        """`METHOD URL`. Raises ValueError."""
        method, _, url = text.partition(" ")
        parts = urlsplit(url.strip())
        if not method.isupper() or parts.scheme != "http" or not parts.netloc:
            raise ValueError(f"request {text!r}: must be 'METHOD http://host[:port]/path'")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(method, f"http://{parts.netloc}", path)


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """What to send."""

    targets: Sequence[Target]
    rate: float
    """Requests a second; 0 is the closed loop."""
    connections: int
    """Most requests in flight at once."""
    duration: float
    limit: int
    """0 is no limit."""
    timeout: float
    note: str


@dataclass(slots=True)
class Ledger:
    """What became of every request."""

    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    records: list[tuple[int, int, float, float, int, str, str]] = field(default_factory=list)


class Load:
    """One run."""

    def __init__(self, settings: LoadSettings) -> None:
        self.ledger = Ledger()
        self._settings = settings
        self._stop = asyncio.Event()
        self._number = 0
        self._clients = {
            target.base_url: HttpClient(target.base_url, settings.timeout) for target in settings.targets
        }

    def stop(self) -> None:
        """Begin no more requests."""
        self._stop.set()

    async def run(self) -> None:
        """Until everything sent is answered."""
        started_at = time.monotonic() + _LATE_START
        asyncio.get_running_loop().call_at(started_at, print_started)
        timer = asyncio.get_running_loop().call_later(_LATE_START + self._settings.duration, self.stop)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._settings.connections):
                tasks.create_task(self._worker(started_at))
        timer.cancel()
        for client in self._clients.values():
            client.close()

    async def _worker(self, started_at: float) -> None:
        """Take the next number, wait until it is due, send it; the number of workers bounds concurrency."""
        while not self._is_over():
            number, self._number = self._number, self._number + 1
            due_at = time.monotonic()
            if self._settings.rate:
                due_at = started_at + number / self._settings.rate
                if not await self._wait_until(due_at):
                    return
            await self._send(number, due_at)

    def _is_over(self) -> bool:
        return self._stop.is_set() or 0 < self._settings.limit <= self._number

    async def _wait_until(self, due_at: float) -> bool:
        """False when the run was stopped first."""
        delay = due_at - time.monotonic()
        if delay > 0:
            await asyncio.sleep(delay)
        return not self._stop.is_set()

    async def _send(self, number: int, due_at: float) -> None:
        kind = number % len(self._settings.targets)
        target = self._settings.targets[kind]
        status, version, failure = 0, "", ""
        try:
            answer = await self._clients[target.base_url].send(self._request(target, number))
            status, version = answer.status, answer.headers.get("x-version", "")
        except RequestFailed as error:
            failure = str(error)
        latency_ms = round((time.monotonic() - due_at) * 1000, 3)
        self.ledger.records.append((number, kind, due_at, latency_ms, status, version, failure))

    def _request(self, target: Target, number: int) -> Request:
        if target.method != "POST":
            return Request(target.method, target.path)
        order = {"id": f"{self.ledger.run}-{number}", "note": self._settings.note}
        return Request("POST", target.path, {"content-type": "application/json"}, json.dumps(order).encode())


def print_started() -> None:
    """For whoever waits until the load is under way."""
    print("started", file=sys.stderr, flush=True)


def summary(ledger: Ledger) -> str:
    """How many requests ended how: status (0: no answer), version that answered, failure."""
    ends = Counter((status, version, failure) for *_, status, version, failure in ledger.records)
    lines = [f"{sum(ends.values()):6} requests"]
    lines += [f"{ends[end]:6} {' '.join(filter(None, map(str, end)))}" for end in sorted(ends)]
    return "\n".join(lines)


async def run(settings: LoadSettings, until_eof: bool) -> Ledger:
    """One whole run."""
    load = Load(settings)
    if until_eof:
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), _on_input, loop, load)
    await load.run()
    return load.ledger


def _on_input(loop: asyncio.AbstractEventLoop, load: Load) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        load.stop()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="load", description="Send requests and print a ledger.")
    parser.add_argument("--request", action="append", required=True, help="'METHOD http://host:port/path'")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0: closed loop")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--duration", type=float, default=10.0, help="seconds")
    parser.add_argument("--limit", type=int, default=0, help="requests; 0: no limit")
    parser.add_argument("--timeout", type=float, default=20.0, help="seconds for one request")
    parser.add_argument("--note", default="", help="text that POST bodies carry")
    parser.add_argument("--until-eof", action="store_true", help="also stop at the end of standard input")
    parser.add_argument("--summary", action="store_true", help="print counts, not every request")
    given = parser.parse_args()
    try:
        targets = [Target.parse(text) for text in given.request]
    except ValueError as error:
        parser.error(str(error))
    settings = LoadSettings(
        targets, given.rate, given.connections, given.duration, given.limit, given.timeout, given.note
    )
    ledger = asyncio.run(run(settings, given.until_eof))
    if given.summary:
        print(summary(ledger))
        return
    json.dump({"run": ledger.run, "records": ledger.records}, sys.stdout)


if __name__ == "__main__":
    main()
