"""A coarse timing wheel (pure): very many timers that are nearly always cancelled.

Deadlines fall into ticks; a timer fires at the first `advance` in a tick after its deadline's, so never
early and, when `advance` is called every tick or whenever `rest` says, at most one tick late. Scheduling and
cancelling are one dictionary write each, which is why the data path uses it instead of a loop timer per
request (a heap push, and a heap that keeps cancelled entries). Ticks are sparse: an hour-long idle timeout
costs as much as a short one, and empty ticks are forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import inf, isfinite
from typing import Generic, TypeVar

from meshproxy.errors import ConfigError

DEFAULT_TICK = 0.05
"""Seconds: at most 20 wake-ups per second, and a 5 s connect timeout is at most 1 % late."""

T = TypeVar("T")


class Timer(Generic[T]):
    """Handle of one scheduled timer."""

    __slots__ = ("_bucket", "_tick", "deadline_at", "token")

    def __init__(self, deadline_at: float, token: T, tick: int, bucket: dict[Timer[T], None]) -> None:
        self.deadline_at = deadline_at
        self.token = token
        self._tick = tick
        self._bucket = bucket

    @property
    def is_pending(self) -> bool:
        """False once it fired or was cancelled."""
        return self in self._bucket


class TimeoutWheel(Generic[T]):
    """Timers that carry a token, usually a callable, which the driver gets back when they expire.

    `now` and deadlines are seconds of one monotonic clock, not negative.
    """

    def __init__(self, now: float = 0.0, tick: float = DEFAULT_TICK) -> None:
        """Raises ConfigError unless `tick` is a positive number of seconds."""
        if not (isfinite(tick) and tick > 0):
            raise ConfigError(f"timeout wheel tick {tick} s: must be a positive number of seconds")
        self.tick = tick
        self._current = int(now / tick)
        """Ticks up to this one are due or gone."""
        self._buckets: dict[int, dict[Timer[T], None]] = {}
        self._due: deque[dict[Timer[T], None]] = deque()
        self._rests_before = 0
        """The driver rests, and wants to be woken for timers of earlier ticks; 0: it does not rest."""
        self._wake: Callable[[], None] | None = None

    @property
    def is_empty(self) -> bool:
        """No timer is pending: the driver may stop its tick."""
        return not self._buckets and not any(self._due)

    def schedule(self, deadline_at: float, token: T) -> Timer[T]:
        """A timer that expires after `deadline_at`; a deadline in the past expires at the next tick."""
        # The tick after the deadline's: with both divided by the same tick, rounding keeps their order, so
        # `now` in that tick implies `now > deadline_at` exactly.
        tick = int(deadline_at / self.tick) + 1
        if tick <= self._current:
            tick = self._current + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            if tick < self._rests_before:
                self._rouse()
        timer = Timer(deadline_at, token, tick, bucket)
        bucket[timer] = None
        return timer

    def cancel(self, timer: Timer[T]) -> None:
        """Forget `timer`; harmless when it fired or was cancelled already."""
        bucket = timer._bucket
        if bucket.pop(timer, timer) is None and not bucket and timer._tick > self._current:
            del self._buckets[timer._tick]

    def advance(self, now: float) -> Iterator[T]:
        """Tokens of the timers that expired by `now`, tick by tick in the order scheduled. Iterate it.

        Lazy on purpose: a timer cancelled while an earlier token is handled is not yielded. What is left
        when the caller stops (or its handler raises) is yielded by the next call.
        """
        self._collect(int(now / self.tick))
        while self._due:
            bucket = self._due[0]
            for timer in list(bucket):
                if bucket.pop(timer, timer) is None:
                    yield timer.token
            self._due.popleft()

    def next_deadline(self) -> float | None:
        """When `advance` has something to yield, at the earliest; None without timers. Linear in ticks in
        use.
        """
        if any(self._due):
            return self._current * self.tick
        return min(self._buckets) * self.tick if self._buckets else None

    def wake_with(self, wake: Callable[[], None]) -> None:
        """`wake` is called, once a rest, when a timer is scheduled for before its end."""
        self._wake = wake

    def rest(self, at_most: float) -> float:
        """Until when the driver may leave the wheel alone: the first timer's time, `at_most` at the latest.
        A timer that is scheduled for an earlier tick meanwhile wakes it.
        """
        first = self.next_deadline()
        until = min(at_most, inf if first is None else first)
        self._rests_before = int(until / self.tick) + 1
        return until

    def _rouse(self) -> None:
        self._rests_before = 0
        if self._wake is not None:
            self._wake()

    def _collect(self, current: int) -> None:
        """Move the buckets of the ticks up to `current` to the due ones."""
        if current <= self._current:
            return
        if current - self._current <= len(self._buckets):
            passed = [tick for tick in range(self._current + 1, current + 1) if tick in self._buckets]
        else:
            passed = sorted(tick for tick in self._buckets if tick <= current)
        self._due.extend(self._buckets.pop(tick) for tick in passed)
        self._current = current
