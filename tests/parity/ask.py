"""One request, looked at closely: the answer, and what the upstreams got."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.parity.client import Reply
from tests.parity.script import NAMED, Seen
from tests.parity.step import Bench, Facts, Request, Result

_GRANULARITY = 0.01
"""Seconds by which a timer may be early: clocks tick in milliseconds."""


@dataclass(frozen=True)
class Forwarded:
    """A request as an upstream must get it. A header of None must not be there."""

    at: str
    """Service, or endpoint when it is one of several."""
    target: str = ""
    """Empty: whatever."""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    method: str = ""
    version: str = ""
    """`1.1` or `2`; empty: whichever."""
    trailers: Mapping[str, str] = field(default_factory=dict)

    def check(self, seen: Seen, result: Result) -> None:
        result.expect("upstream", seen.endpoint, self.at)
        if self.target:
            result.expect(f"target at {self.at}", seen.target, self.target)
        if self.method:
            result.expect(f"method at {self.at}", seen.method, self.method)
        if self.version:
            result.expect(f"version at {self.at}", seen.version, self.version)
        for name, text in self.trailers.items():
            result.expect(f"trailer {name} at {self.at}", ", ".join(seen.trailers.get(name, ())), text)
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
    grpc: int | None = None
    """`grpc-status`, in trailers or in a head that is all there is; None does not ask."""
    trailers: Mapping[str, str] = field(default_factory=dict)
    at_least: float = 0.0
    """Seconds before which the answer must not come. There is no upper limit: machines are busy."""

    async def run(self, bench: Bench) -> Result:
        started = time.monotonic()
        connection = await bench.connect(self.request)
        try:
            reply = await connection.exchange(bench.encoded(self.request))
        finally:
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
        if self.grpc is not None:
            result.expect("grpc-status", reply.grpc_status, str(self.grpc))
        for name, text in self.trailers.items():
            result.expect(f"trailer {name}", ", ".join(reply.trailers.get(name, ())), text)
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
    wording = {"content-length", "content-type", "grpc-message"} if is_local else set()
    if is_local and reply.grpc_status is not None:
        wording.remove("content-type")  # clients look at it before they look for a status
    headers = {name: value for name, value in reply.headers.items() if name not in wording and name != NAMED}
    return {
        "status": reply.status,
        "headers": headers,
        "body": b"" if is_local else reply.body,
        "trailers": dict(reply.trailers),
        "forwarded": [
            {
                "at": one.endpoint.rstrip("0123456789"),
                "request": (one.method, one.target),
                "version": one.version,
                "trailers": dict(one.trailers),
                "headers": one.headers,
            }
            for one in seen
        ],
    }


def ask(path: str = "/", status: int = 200, at: str = "", **request: object) -> Ask:
    """Short for the commonest step. `at`: the endpoint that gets it; empty: none does, or it is not asked."""
    made = replace(Request(path), **request)  # type: ignore[arg-type]
    return Ask(made, status, forwarded=(Forwarded(at),) if at else () if status == 404 else None)
