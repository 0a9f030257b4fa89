"""How many of a cluster's requests may be retries (pure).

Retries multiply the load on what is already failing: with a limit of two per request an outage triples the
traffic. A budget bounds them by the traffic there is. Two ways to count:

- what a window of seconds held, where a rate is given: Linkerd's budget, a percentage of its requests and
  that rate beside it. When a pod dies, everything that was under way with it fails at one moment and is
  repeated at one moment: that is what retries are for, and the window has room for it;
- what is under way, where none is given: Envoy's `RetryBudget`, a percentage of active requests and a least
  number.

Cold start: the least number, and the rate for one window at once. There is no recovery to wait for: both
counts only look at what is in force.
"""

from __future__ import annotations

from collections import deque

from meshproxy.config.resilience import RetryBudgetSettings

_SLOTS = 10
"""Parts of a window; requests are forgotten in these steps, at least as early as they should be."""


class RetryBudget:
    """One cluster's."""

    __slots__ = (
        "_floor",
        "_slot",
        "_slot_length",
        "_window_requests",
        "_window_retries",
        "requests",
        "settings",
    )

    def __init__(self, settings: RetryBudgetSettings, now: float) -> None:
        self.settings = settings
        self.requests = 0
        """First attempts since the last `tick`: who begins an exchange adds 1. A plain count, because the
        data path pays for it with every request."""
        self._slot_length = settings.window / _SLOTS
        self._slot = int(now / self._slot_length)
        self._floor = (settings.min_per_second or 0.0) * settings.window
        self._window_requests: deque[tuple[int, int]] = deque()
        self._window_retries: deque[tuple[int, int]] = deque()

    def try_acquire(self, active_requests: int, active_retries: int, now: float) -> bool:
        """Whether a retry may begin; True counts it.

        `active_requests`: the cluster's under way or waiting, retries included. `active_retries`: those
        among them that are retries.
        """
        self.tick(now)
        settings = self.settings
        if settings.min_per_second is None:
            allowed = max(active_requests * settings.budget_percent / 100, settings.min_concurrency)
            if active_retries >= int(allowed):
                return False
        elif not self._has_window_room():
            return False
        self._add(self._window_retries, 1)
        return True

    def tick(self, now: float) -> None:
        """Take over the count of requests and forget what is older than the window. Call it about once a
        second: requests count as of the last call, so one that comes late makes the budget smaller, never
        larger.
        """
        if self.requests:
            self._add(self._window_requests, self.requests)
            self.requests = 0
        self._slot = max(self._slot, int(now / self._slot_length))
        # A slot that is only partly out of the window: its requests no longer count, its retries still do.
        _forget(self._window_requests, self._slot - _SLOTS + 1)
        _forget(self._window_retries, self._slot - _SLOTS)

    def _has_window_room(self) -> bool:
        requests = sum(count for _, count in self._window_requests)
        retries = sum(count for _, count in self._window_retries)
        return retries + 1 <= requests * self.settings.budget_percent / 100 + self._floor

    def _add(self, window: deque[tuple[int, int]], count: int) -> None:
        if window and window[-1][0] == self._slot:
            count += window.pop()[1]
        window.append((self._slot, count))


def _forget(window: deque[tuple[int, int]], first: int) -> None:
    while window and window[0][0] < first:
        window.popleft()
