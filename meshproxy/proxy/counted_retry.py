"""The retries of one exchange, counted among its cluster's while they are under way. [6]"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from meshproxy.http.events import RequestHead, ResponseHead
from meshproxy.policy.retry import AttemptFailure, RetryPolicy, RetryState, RetryVerdict
from meshproxy.upstream.cluster import ClusterRuntime


class CountedRetry:
    """`RetryState` under the cluster's circuit limit `max_retries`. Made at the first failure."""

    __slots__ = ("_cluster", "_is_counted", "_state", "_wait")

    def __init__(self, policy: RetryPolicy, head: RequestHead, cluster: ClusterRuntime) -> None:
        self._state = RetryState(policy, head.method, head.headers)
        self._cluster = cluster
        self._is_counted = False
        self._wait: asyncio.TimerHandle | None = None

    def decide(self, failure: AttemptFailure, *, body_replayable: bool) -> RetryVerdict:
        """See `RetryState.decide`. RETRY counts among the cluster's retries until `end` or the next
        failure."""
        self.end()
        return self._counted(
            self._state.decide(failure, response_started=False, body_replayable=body_replayable)
        )

    def decide_response(self, head: ResponseHead, *, body_replayable: bool, wall_now: float) -> RetryVerdict:
        """The same of an answer; see `RetryState.decide_response`."""
        self.end()
        return self._counted(
            self._state.decide_response(
                head.status, head.headers, body_replayable=body_replayable, wall_now=wall_now
            )
        )

    def _counted(self, verdict: RetryVerdict) -> RetryVerdict:
        if verdict is not RetryVerdict.RETRY:
            return verdict
        self._is_counted = self._cluster.try_acquire_retry()
        return verdict if self._is_counted else RetryVerdict.OVERFLOW

    def end(self) -> None:
        """The retry under way, if any, was answered or came to nothing; one that waits is not made."""
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None
        if self._is_counted:
            self._is_counted = False
            self._cluster.release_retry()

    def wait(self, rng: Random, then: Callable[[], None]) -> None:
        """Call `then` when it is time for the retry just granted. A peer may ask for minutes, so an exchange
        that is over must not be held by it."""
        self._wait = asyncio.get_running_loop().call_later(self._state.delay(rng), then)

    def on_waited(self) -> None:
        """`then` was called: its handle must not go on holding what holds this."""
        self._wait = None
