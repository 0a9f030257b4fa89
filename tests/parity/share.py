"""Many requests or connections: who gets what share of them."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.parity.client import TIMEOUT, Reply
from tests.parity.script import NAMED
from tests.parity.step import Bench, Request, Result

SIGMAS = 4.5
"""Of a binomial share: a right one is called wrong once in 150,000 times."""


@dataclass(frozen=True)
class Shares:
    """Many requests, one after the other; what share of them each one answers."""

    request: Request
    count: int
    shares: Mapping[str, float]
    """By endpoint, Service or, for other answers than 200, status; the rest must be nothing."""
    by: str = "service"
    """`service`, `endpoint` or `status`."""
    drawn: bool = True
    """Each request is drawn on its own, so that a share has a binomial's spread; else it is exact to 1."""
    per_connection: bool = False
    """A connection for each request."""

    async def run(self, bench: Bench) -> Result:
        found = await tally(self, bench)
        result = Result({"who answered": sorted(found)})
        result.expect(
            "who answered", sorted(found), sorted(key for key, share in self.shares.items() if share)
        )
        for key, share in self.shares.items():
            spread = SIGMAS * math.sqrt(share * (1 - share) * self.count) if self.drawn else 1.0
            if abs(found[key] - share * self.count) > spread:
                expected = f"{share * self.count:g} ± {spread:.1f}"
                result.wrong.append(f"{key}: {found[key]} of {self.count}, not {expected}")
        return result


async def tally(step: Shares, bench: Bench) -> Counter[str]:
    found: Counter[str] = Counter()
    connection = await bench.connect(step.request)
    request = bench.encoded(step.request)
    for number in range(step.count):
        if step.per_connection and number:
            connection.close()
            connection = await bench.connect(step.request)
        found[key_of(await connection.exchange(request), step.by)] += 1
    connection.close()
    bench.take()
    return found


def key_of(reply: Reply, by: str) -> str:
    name = reply.field(NAMED)
    if name is None or by == "status" or reply.status != 200:
        return str(reply.outcome)
    return name.rstrip("0123456789") if by == "service" else name


@dataclass(frozen=True)
class Pause:
    """An endpoint that fails gets nothing for a while; mended then, it answers again."""

    request: Request
    endpoint: str
    at_least: int = 5
    """Requests in a row that others get meanwhile: without an ejection they take turns."""

    async def run(self, bench: Bench) -> Result:
        deadline = time.monotonic() + TIMEOUT
        in_a_row = longest = 0
        has_answered = False
        connection = await bench.connect(self.request)
        while not has_answered and time.monotonic() < deadline:
            reply = await connection.exchange(bench.encoded(self.request))
            is_other = reply.field(NAMED) != self.endpoint
            in_a_row = in_a_row + 1 if is_other else 0
            longest = max(longest, in_a_row)
            if in_a_row == self.at_least:
                bench.mend(self.endpoint)
            has_answered = not is_other and reply.status == 200
        connection.close()
        bench.take()
        result = Result()
        result.expect(f"{self.endpoint} answers again", has_answered, True)
        if longest < self.at_least:
            result.wrong.append(f"{self.endpoint} was spared {longest} requests in a row at most")
        return result


@dataclass(frozen=True)
class AtMost:
    """Many requests, of which one answer is not more than a share."""

    request: Request
    count: int
    key: str
    """An endpoint, or another status than 200."""
    share: float

    async def run(self, bench: Bench) -> Result:
        found = await tally(Shares(self.request, self.count, {}, "endpoint"), bench)
        result = Result()
        if found[self.key] > self.share * self.count:
            limit = f"{self.share * self.count:g}"
            result.wrong.append(f"{self.key}: {found[self.key]} of {self.count}, more than {limit}")
        return result


@dataclass(frozen=True)
class Copies:
    """Many requests; what share of them is copied to another Service."""

    request: Request
    count: int
    to: str
    share: float

    async def run(self, bench: Bench) -> Result:
        connection = await bench.connect(self.request)
        for _ in range(self.count):
            await connection.exchange(bench.encoded(self.request))
        connection.close()
        copies = sum(one.endpoint == self.to for one in bench.take())
        result = Result()
        spread = SIGMAS * math.sqrt(self.share * (1 - self.share) * self.count)
        if abs(copies - self.share * self.count) > spread:
            result.wrong.append(f"{copies} copies of {self.count}, not {self.share * self.count:g}")
        return result


@dataclass(frozen=True)
class Greeting:
    """TCP connections: the first line of each names the endpoint."""

    shares: Mapping[str, float]
    """By Service; an empty name is a connection that ended at once."""
    count: int = 1
    to: str = ""
    address: str = ""
    port: int = 9000
    hello: bytes = b""

    async def run(self, bench: Bench) -> Result:
        found: Counter[str] = Counter()
        for _ in range(self.count):
            line = await bench.greeting(self.to, self.address, self.port, self.hello)
            found[line.rstrip("0123456789")] += 1
        result = Result({"who answered": sorted(found)})
        for key, share in self.shares.items():
            spread = SIGMAS * math.sqrt(share * (1 - share) * self.count)
            if abs(found[key] - share * self.count) > spread:
                result.wrong.append(f"{key!r}: {found[key]} of {self.count}, not {share * self.count:g}")
        result.expect(
            "who answered", sorted(found), sorted(key for key, share in self.shares.items() if share)
        )
        return result
