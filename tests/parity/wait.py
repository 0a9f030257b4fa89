"""Requests at the same time, and what comes about by and by."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.parity.ask import Ask
from tests.parity.client import TIMEOUT, Reply
from tests.parity.share import Shares
from tests.parity.step import POLL, Bench, Request, Result, Step


@dataclass(frozen=True)
class Together:
    """`held` requests reach an upstream that keeps them; what comes meanwhile; then they are let go."""

    request: Request
    held: int
    statuses: Mapping[int | str, int]
    """`Reply.outcome` -> how many of the `held`, in the end."""
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
        statuses = Counter(reply.outcome for reply in await asyncio.gather(*tasks))
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
            await asyncio.sleep(POLL)
            result = await self.asked.run(bench)
        return Result(wrong=result.wrong) if isinstance(self.asked, Shares) else result


@dataclass(frozen=True)
class Connections:
    """How many connections the upstreams have taken, and that those end by themselves which must."""

    accepted: int
    open: int

    async def run(self, bench: Bench) -> Result:
        deadline = time.monotonic() + TIMEOUT
        while bench.open() != self.open and time.monotonic() < deadline:  # noqa: ASYNC110 (proxies end them)
            await asyncio.sleep(POLL)
        result = Result({"accepted": bench.accepted(), "open": bench.open()})
        result.expect("connections at the upstreams", bench.accepted(), self.accepted)
        result.expect("open connections at the upstreams", bench.open(), self.open)
        return result
