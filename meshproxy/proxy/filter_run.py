"""The filters of one request, one after the other, and what they left to be done with the answer. [4]"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from meshproxy.filters.api import Answer, AnswerHook, Delay, EndHook, HttpFilter, LocalReply
from meshproxy.http.events import RequestHead
from meshproxy.proxy.services import ConnectionFacts


class Filtered(Protocol):
    """The exchange that is filtered."""

    def on_filters_passed(self) -> None:
        """No filter objects (any more): go on."""
        ...

    def on_filter_reply(self, reply: LocalReply) -> None: ...


class FilterRun:
    """Implements `FilteredRequest`. Made only for requests that a filter applies to."""

    __slots__ = (
        "_ends",
        "_exchange",
        "_facts",
        "_hooks",
        "_next",
        "_timer",
        "filters",
        "flag",
        "head",
        "is_forwarded",
        "is_strict",
        "now",
        "override",
    )

    def __init__(
        self,
        exchange: Filtered,
        filters: tuple[HttpFilter, ...],
        head: RequestHead,
        facts: ConnectionFacts,
        now: float,
        *,
        is_forwarded: bool,
    ) -> None:
        self._ends: list[EndHook] = []
        self._exchange = exchange
        self._facts = facts
        self._hooks: list[AnswerHook] = []
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None
        self.filters = filters
        self.head = head
        self.now = now
        self.flag = ""
        """Response flags of filters that let it go on."""
        self.override = ""
        """`address:port` a session is bound to."""
        self.is_strict = False
        self.is_forwarded = is_forwarded

    @property
    def principal(self) -> str:
        return self._facts.peer_principal

    @property
    def peer_address(self) -> str:
        return self._facts.peer_address

    def after(self, hook: AnswerHook) -> None:
        self._hooks.append(hook)

    def at_end(self, hook: EndHook) -> None:
        self._ends.append(hook)

    def prefer_endpoint(self, address: str, *, strict: bool) -> None:
        self.override = address
        self.is_strict = strict

    # --- running ---

    def run(self) -> None:
        """Ask those not asked yet, then tell the exchange; a delay ends it until its time has come."""
        self._timer = None
        while self._next < len(self.filters):
            one = self.filters[self._next]
            self._next += 1
            verdict = one.on_request(self)
            if verdict is None:
                continue
            if type(verdict) is Delay:
                self.flag = verdict.flag
                then = self.run if verdict.then is None else partial(self._answer, verdict.then)
                # Not the wheel: its ticks are longer than delays people ask for.
                self._timer = asyncio.get_running_loop().call_later(verdict.seconds, then)
                return
            if type(verdict) is LocalReply:
                self._exchange.on_filter_reply(verdict)
                return
        self._exchange.on_filters_passed()

    def _answer(self, reply: LocalReply) -> None:
        """The delay is over, and it was for nothing."""
        self._timer = None
        self._exchange.on_filter_reply(reply)

    def cancel(self) -> None:
        """The exchange is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ends, self._ends = self._ends, []
        for hook in ends:
            hook()

    def show(self, status: int, forward: bytes, endpoint: str, *, is_local: bool) -> bytes:
        """`forward` of the answer as the hooks leave it; as in Envoy, the last filter sees it first."""
        if not self._hooks:
            return forward
        answer = Answer(status, forward, endpoint, is_local=is_local)
        for hook in reversed(self._hooks):
            hook(answer)
        return answer.forward
