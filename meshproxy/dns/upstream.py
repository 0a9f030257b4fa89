"""The servers of resolv.conf, asked in turn until one answers.

A server that failed goes last for a while, so that a dead one costs its timeout once and not each time. Equal
questions that are under way are asked once: it saves queries, and leaves a forger one guess instead of many
(RFC 5452 section 5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from meshproxy.clock import Clock
from meshproxy.dns.cache import DnsCache
from meshproxy.dns.exchange import Server, ServerFailure, ask
from meshproxy.dns.message import Answer, Question
from meshproxy.errors import UpstreamError
from meshproxy.tasks import TaskGroupRegistry

PATIENCE: Final = 4.5
"""Seconds for one question over all servers: below the 5 s after which glibc asks again."""
MIN_TRIES: Final = 3
MAX_UNDER_WAY: Final = 512
"""Questions; more are answered with SERVFAIL at once."""
FAILURE_TTL: Final = 1.0
"""Seconds for which a question that nobody answered is not asked again (RFC 9520 section 3.2)."""
_DEMOTION: Final = 30.0
"""Seconds for which a server that failed goes last."""

AskServer = Callable[[Server, Question, float], Awaitable[Answer]]


class Upstream:
    """Asks others. One instance for a resolver."""

    def __init__(self, servers: Sequence[Server], *, clock: Clock, ask_server: AskServer = ask) -> None:
        self._servers = tuple(servers)
        self._clock = clock
        self._ask_server = ask_server
        self.cache = DnsCache()
        """Filled the moment an answer is there: who asks next finds it here or under way."""
        self._under_way: dict[tuple[bytes, int], asyncio.Future[Answer]] = {}
        self._failed_at: dict[Server, float] = {}
        self._unanswered: dict[tuple[bytes, int], float] = {}
        """Question -> when it failed, oldest first; never more than `MAX_UNDER_WAY`."""
        self._tasks = TaskGroupRegistry()
        self.queries = 0
        """Sent to servers, each try counted."""
        self.failures = 0
        """Tries without an answer."""

    async def answer(self, question: Question) -> Answer:
        """Raises UpstreamError when no server answers, none is known, or too many questions are under way."""
        future = self._under_way.get(question.key)
        if future is None:
            if self._failed_just_now(question):
                raise UpstreamError("nobody could answer it a moment ago")
            future = self._start(question)
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Give up what is under way."""
        await self._tasks.close()

    def _start(self, question: Question) -> asyncio.Future[Answer]:
        if not self._servers:
            raise UpstreamError("resolv.conf names no DNS server")
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise UpstreamError(f"{MAX_UNDER_WAY} questions are under way")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._under_way[question.key] = future
        self._tasks.start(self._settle(question, future), "dns question")
        return future

    async def _settle(self, question: Question, future: asyncio.Future[Answer]) -> None:
        try:
            found = await self._ask_all(question)
            self.cache.keep(question, found, self._clock.monotonic())
            future.set_result(found)
        except UpstreamError as error:
            self._note_failure(question)
            future.set_exception(error)
            future.exception()  # whoever asked may have gone
        finally:
            del self._under_way[question.key]
            future.cancel()

    def _note_failure(self, question: Question) -> None:
        self._unanswered.pop(question.key, None)
        self._unanswered[question.key] = self._clock.monotonic()
        if len(self._unanswered) > MAX_UNDER_WAY:
            del self._unanswered[next(iter(self._unanswered))]

    def _failed_just_now(self, question: Question) -> bool:
        failed_at = self._unanswered.get(question.key)
        return failed_at is not None and self._clock.monotonic() < failed_at + FAILURE_TTL

    async def _ask_all(self, question: Question) -> Answer:
        rounds = -(-MIN_TRIES // len(self._servers)) if len(self._servers) < MIN_TRIES else 2
        tries = rounds * len(self._servers)
        last = UpstreamError("not asked")
        unable: set[Server] = set()
        for _ in range(rounds):
            for server in [one for one in self._in_order() if one not in unable]:
                self.queries += 1
                try:
                    return await self._ask_server(server, question, PATIENCE / tries)
                except ServerFailure as error:
                    last = error
                    self.failures += 1
                    unable.add(server)
                except UpstreamError as error:
                    last = error
                    self.failures += 1
                    self._failed_at[server] = self._clock.monotonic()
        raise last

    def _in_order(self) -> list[Server]:
        now = self._clock.monotonic()
        return sorted(
            self._servers, key=lambda one: now - self._failed_at.get(one, now - _DEMOTION) < _DEMOTION
        )
