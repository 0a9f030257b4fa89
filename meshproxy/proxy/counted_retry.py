"""The retries of one exchange, counted among its cluster's while they are under way. [6]"""

from __future__ import annotations

from random import Random

from meshproxy.http.events import RequestHead, ResponseHead
from meshproxy.policy.retry import AttemptFailure, RetryPolicy, RetryState, RetryVerdict
from meshproxy.upstream.cluster import ClusterRuntime


class CountedRetry:
    """`RetryState` under the cluster's circuit limit `max_retries`. Made at the first failure."""

    __slots__ = ("_cluster", "_is_counted", "_state")

    def __init__(self, policy: RetryPolicy, head: RequestHead, cluster: ClusterRuntime) -> None:
        self._state = RetryState(policy, head.method, head.headers)
        self._cluster = cluster
        self._is_counted = False

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
        """The retry under way, if any, was answered or came to nothing."""
        if self._is_counted:
            self._is_counted = False
            self._cluster.release_retry()

    def delay(self, rng: Random) -> float:
        """Seconds to wait before the retry just granted."""
        return self._state.delay(rng)
