"""The steps of a case: what a client does, and what it and the upstreams must see.

A step says twice what happened: `wrong` is what is not as the Gateway API (or Envoy's documentation) has it,
`facts` are everything that can be seen, for the comparison of one data plane with the other.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from tests.parity.client import TIMEOUT, Connection, Reply
from tests.parity.upstream import NAMED, Seen

Facts = dict[str, object]
_SIGMAS = 4.5
"""Of a binomial share: a right one is called wrong once in 150,000 times."""
_POLL = 0.05
_GRANULARITY = 0.01
"""Seconds by which a timer may be early: clocks tick in milliseconds."""


@dataclass(frozen=True)
class Request:
    path: str = "/"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    to: str = ""
    """Service of the case; empty is the first."""
    host: str = ""
    """Empty: `<service>.shop:8080`; `$vip` is the Service's address, `$a` that of the endpoint `a`."""
    body: bytes = b""
    source: str = ""
    """The client's address; empty is that of most."""
    address: str = ""
    """Where to; empty is the Service's ClusterIP, `$a` the endpoint `a`."""
    port: int = 0
    """0: 8080 in the mesh; at a gateway 80, or 443 with `tls`."""
    tls: bool = False
    """Over TLS, asking for the Host's name."""

    def encoded(self, host: str) -> bytes:
        """`host` is what stands for `self.host`."""
        fields = [("Host", host), *self.headers]
        if self.body:
            fields.append(("Content-Length", str(len(self.body))))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"{self.method} {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + self.body


class Bench(Protocol):
    """One case on one data plane."""

    async def connect(self, request: Request) -> Connection: ...

    def encoded(self, request: Request) -> bytes: ...

    def take(self) -> list[Seen]:
        """What the upstreams got since it was asked last."""
        ...

    def count(self) -> int:
        """How many requests `take` would give."""
        ...

    async def until_arrived(self, count: int) -> None:
        """Until the upstreams have got that many since `take`."""
        ...

    def accepted(self) -> int:
        """How many connections the upstreams have taken so far."""
        ...

    def open(self) -> int:
        """How many of them are open."""
        ...

    def release(self) -> None:
        """Let all held answers go."""
        ...

    async def apply(self, resources: str) -> None: ...

    async def delete(self, kind: str, name: str) -> None: ...

    async def set_ready(self, service: str, ready: Sequence[bool]) -> None: ...

    async def greeting(self, service: str, address: str, port: int, hello: bytes) -> str:
        """The first line of a TCP connection; empty when it was refused or ended."""
        ...


@dataclass
class Result:
    facts: Facts = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.wrong.append(f"{what}: {found!r}, not {wanted!r}")


class Step(Protocol):
    async def run(self, bench: Bench) -> Result: ...


@dataclass(frozen=True)
class Forwarded:
    """A request as an upstream must get it. A header of None must not be there."""

    at: str
    """Service, or endpoint when it is one of several."""
    target: str = ""
    """Empty: whatever."""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    method: str = ""

    def check(self, seen: Seen, result: Result) -> None:
        result.expect("upstream", seen.endpoint, self.at)
        if self.target:
            result.expect(f"target at {self.at}", seen.target, self.target)
        if self.method:
            result.expect(f"method at {self.at}", seen.method, self.method)
        for name, wanted in self.headers.items():
            values = seen.headers.get(name.lower())
            _check_header(
                f"{name} at {self.at}", None if values is None else ", ".join(values), wanted, result
            )


def _check_header(what: str, found: str | None, wanted: str | None, result: Result) -> None:
    """A wanted value `~pattern` is a regular expression."""
    if wanted is not None and wanted.startswith("~"):
        if found is None or not re.fullmatch(wanted[1:], found):
            result.wrong.append(f"{what}: {found!r} does not match {wanted[1:]!r}")
        return
    result.expect(what, found, wanted)


@dataclass(frozen=True)
class Ask:
    """One request on a connection of its own."""

    request: Request
    status: int = 200
    headers: Mapping[str, str | None] = field(default_factory=dict)
    forwarded: tuple[Forwarded, ...] | None = None
    """Requests at the upstreams, by endpoint; None does not ask which."""
    attempts: int | None = None
    """How many requests the upstreams got; None does not ask, nor is it compared."""
    at_least: float = 0.0
    """Seconds before which the answer must not come. There is no upper limit: machines are busy."""

    async def run(self, bench: Bench) -> Result:
        started = time.monotonic()
        connection = await bench.connect(self.request)
        reply = await connection.exchange(bench.encoded(self.request))
        connection.close()
        took = time.monotonic() - started
        wanted = len(self.forwarded) if self.forwarded is not None else self.attempts
        if wanted is not None:
            await bench.until_arrived(wanted)
        seen = sorted(bench.take(), key=lambda one: one.endpoint)
        result = Result(_facts(reply, seen if wanted is not None else ()))
        result.expect("status", reply.status, self.status)
        for name, value in self.headers.items():
            _check_header(name, reply.field(name), value, result)
        if wanted is not None:
            result.expect("requests at the upstreams", len(seen), wanted)
        for expected, one in zip(self.forwarded or (), seen, strict=False):
            expected.check(one, result)
        if took < self.at_least - _GRANULARITY:
            result.wrong.append(f"answered after {took:.3f} s, before {self.at_least} s")
        return result


def _facts(reply: Reply, seen: Sequence[Seen]) -> Facts:
    """Without what is only a local reply's wording."""
    is_local = NAMED not in reply.headers
    wording = {"content-length", "content-type"} if is_local else set()
    headers = {name: value for name, value in reply.headers.items() if name not in wording and name != NAMED}
    return {
        "status": reply.status,
        "headers": headers,
        "body": b"" if is_local else reply.body,
        "forwarded": [
            {
                "at": one.endpoint.rstrip("0123456789"),
                "request": (one.method, one.target),
                "headers": one.headers,
            }
            for one in seen
        ],
    }


def asks(*asked: Ask) -> tuple[Ask, ...]:
    return asked


def ask(path: str = "/", status: int = 200, at: str = "", **request: object) -> Ask:
    """Short for the commonest step. `at`: the endpoint that gets it; empty: none does, or it is not asked."""
    made = replace(Request(path), **request)  # type: ignore[arg-type]
    return Ask(made, status, forwarded=(Forwarded(at),) if at else () if status == 404 else None)


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
        found = await _tally(self, bench)
        result = Result({"who answered": sorted(found)})
        result.expect(
            "who answered", sorted(found), sorted(key for key, share in self.shares.items() if share)
        )
        for key, share in self.shares.items():
            spread = _SIGMAS * math.sqrt(share * (1 - share) * self.count) if self.drawn else 1.0
            if abs(found[key] - share * self.count) > spread:
                expected = f"{share * self.count:g} ± {spread:.1f}"
                result.wrong.append(f"{key}: {found[key]} of {self.count}, not {expected}")
        return result


async def _tally(step: Shares, bench: Bench) -> Counter[str]:
    found: Counter[str] = Counter()
    connection = await bench.connect(step.request)
    request = bench.encoded(step.request)
    for number in range(step.count):
        if step.per_connection and number:
            connection.close()
            connection = await bench.connect(step.request)
        found[_key(await connection.exchange(request), step.by)] += 1
    connection.close()
    bench.take()
    return found


def _key(reply: Reply, by: str) -> str:
    name = reply.field(NAMED)
    if name is None or by == "status" or reply.status != 200:
        return str(reply.status)
    return name.rstrip("0123456789") if by == "service" else name


@dataclass(frozen=True)
class Pause:
    """An endpoint that fails gets nothing for a while, and then answers again."""

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
        found = await _tally(Shares(self.request, self.count, {}, "endpoint"), bench)
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
        spread = _SIGMAS * math.sqrt(self.share * (1 - self.share) * self.count)
        if abs(copies - self.share * self.count) > spread:
            result.wrong.append(f"{copies} copies of {self.count}, not {self.share * self.count:g}")
        return result


@dataclass(frozen=True)
class Sticky:
    """Each of several different requests always goes to the same endpoint, and not all of them to one."""

    requests: tuple[Request, ...]
    times: int = 5
    at_least: int = 2
    """Different endpoints that must be among the chosen."""
    same_choice: bool = True
    """The other data plane must choose the very same endpoints."""

    async def run(self, bench: Bench) -> Result:
        result = Result()
        chosen = []
        for request in self.requests:
            replies = []
            for _ in range(self.times):
                connection = await bench.connect(request)
                replies.append(_key(await connection.exchange(bench.encoded(request)), "endpoint"))
                connection.close()
            result.expect(f"endpoints of {request.path} {request.headers}", len(set(replies)), 1)
            chosen.append(replies[0])
        bench.take()
        result.facts["chosen"] = chosen if self.same_choice else "not compared"
        if len(set(chosen)) < self.at_least:
            result.wrong.append(f"only {set(chosen)} were chosen for {len(chosen)} different requests")
        return result


@dataclass(frozen=True)
class Session:
    """The first answer gives a token (a cookie or a header); with it, all requests go to that endpoint."""

    request: Request
    cookie: str = ""
    header: str = ""
    times: int = 12

    async def run(self, bench: Bench) -> Result:
        result = Result()
        first = await self._once(bench, self.request)
        token = first.field("set-cookie" if self.cookie else self.header)
        if token is None:
            result.wrong.append(f"no token in {dict(first.headers)}")
            return result
        pair = ("Cookie", token.split(";")[0]) if self.cookie else (self.header, token)
        result.expect("the cookie's name", pair[1].split("=")[0] if self.cookie else "", self.cookie)
        result.facts["attributes"] = sorted(part.strip() for part in token.split(";")[1:])
        again = replace(self.request, headers=(*self.request.headers, pair))
        who = {_key(await self._once(bench, again), "endpoint") for _ in range(self.times)}
        result.expect("endpoints of the session", who, {_key(first, "endpoint")})
        bench.take()
        return result

    async def _once(self, bench: Bench, request: Request) -> Reply:
        connection = await bench.connect(request)
        reply = await connection.exchange(bench.encoded(request))
        connection.close()
        return reply


@dataclass(frozen=True)
class Together:
    """`held` requests reach an upstream that keeps them; what comes meanwhile; then they are let go."""

    request: Request
    held: int
    statuses: Mapping[int, int]
    """Status -> how many of the `held`, in the end."""
    sent: int = 0
    """How many are sent at once; 0: as many as are held."""
    meanwhile: tuple[Step, ...] = ()

    async def run(self, bench: Bench) -> Result:
        result = Result()
        connections = [await bench.connect(self.request) for _ in range(self.sent or self.held)]
        text = bench.encoded(self.request)
        tasks = []
        for number, connection in enumerate(connections):
            tasks.append(asyncio.create_task(connection.exchange(text)))
            if number < self.held:
                await bench.until_arrived(number + 1)
        await _until_done(tasks, sum(count for status, count in self.statuses.items() if status != 200))
        bench.take()
        for number, step in enumerate(self.meanwhile):
            inner = await step.run(bench)
            result.wrong += [f"meanwhile {number}: {one}" for one in inner.wrong]
            result.facts[f"meanwhile {number}"] = inner.facts
        bench.release()
        statuses = Counter(reply.status for reply in await asyncio.gather(*tasks))
        for connection in connections:
            connection.close()
        result.facts["statuses"] = dict(statuses)
        result.expect("statuses", dict(statuses), dict(self.statuses))
        bench.take()
        return result


async def _until_done(tasks: Sequence[asyncio.Task[Reply]], count: int) -> None:
    async with asyncio.timeout(TIMEOUT):
        while sum(task.done() for task in tasks) < count:  # refused ones do not wait
            await asyncio.wait(
                [task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED
            )


@dataclass(frozen=True)
class Until:
    """Asks again and again until it is as wanted."""

    asked: Ask | Shares

    async def run(self, bench: Bench) -> Result:
        deadline = time.monotonic() + TIMEOUT
        result = await self.asked.run(bench)
        while result.wrong and time.monotonic() < deadline:
            await asyncio.sleep(_POLL)
            result = await self.asked.run(bench)
        return Result(wrong=result.wrong) if isinstance(self.asked, Shares) else result


@dataclass(frozen=True)
class Apply:
    """Create or change resources, and wait until they are in force."""

    resources: str

    async def run(self, bench: Bench) -> Result:
        await bench.apply(self.resources)
        return Result()


@dataclass(frozen=True)
class Delete:
    kind: str
    name: str

    async def run(self, bench: Bench) -> Result:
        await bench.delete(self.kind, self.name)
        return Result()


@dataclass(frozen=True)
class SetReady:
    """Which endpoints of a Service are ready from now on."""

    service: str
    ready: tuple[bool, ...]

    async def run(self, bench: Bench) -> Result:
        await bench.set_ready(self.service, self.ready)
        return Result()


@dataclass(frozen=True)
class Connections:
    """How many connections the upstreams have taken, and that those end by themselves which must."""

    accepted: int
    open: int

    async def run(self, bench: Bench) -> Result:
        deadline = time.monotonic() + TIMEOUT
        while bench.open() != self.open and time.monotonic() < deadline:  # noqa: ASYNC110 (proxies end them)
            await asyncio.sleep(_POLL)
        result = Result({"accepted": bench.accepted(), "open": bench.open()})
        result.expect("connections at the upstreams", bench.accepted(), self.accepted)
        result.expect("open connections at the upstreams", bench.open(), self.open)
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
            spread = _SIGMAS * math.sqrt(share * (1 - share) * self.count)
            if abs(found[key] - share * self.count) > spread:
                result.wrong.append(f"{key!r}: {found[key]} of {self.count}, not {share * self.count:g}")
        result.expect(
            "who answered", sorted(found), sorted(key for key, share in self.shares.items() if share)
        )
        return result
