"""Requests that must go to one and the same endpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.parity.client import Reply
from tests.parity.share import key_of
from tests.parity.step import Bench, Request, Result


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
                replies.append(key_of(await connection.exchange(bench.encoded(request)), "endpoint"))
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
        who = {key_of(await self._once(bench, again), "endpoint") for _ in range(self.times)}
        result.expect("endpoints of the session", who, {key_of(first, "endpoint")})
        bench.take()
        return result

    async def _once(self, bench: Bench, request: Request) -> Reply:
        connection = await bench.connect(request)
        reply = await connection.exchange(bench.encoded(request))
        connection.close()
        return reply
