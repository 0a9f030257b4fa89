"""A bounded table of series (pure): one per label set, dropped when idle, overflow counted apart.

Labels partly come from peers, so their number must have a bound. Past it a family counts in an overflow
series, so that totals stay right. An idle series is dropped (row "metric expiry"); whoever still holds it
brings it back by using it, because dropping must never lose a count.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from meshproxy.errors import ConfigError
from meshproxy.telemetry.series import PeerSeries, Series

DEFAULT_MAX_SERIES = 2_000
"""Per table; a request series takes about 3 KB with its label text."""
DEFAULT_RETAIN_IDLE = 600.0
"""Seconds; Linkerd's default of 10 minutes."""

K = TypeVar("K", bound=Hashable)
S = TypeVar("S", bound=Series)
P = TypeVar("P", bound=PeerSeries)


class SeriesTable(Generic[K, S]):
    """Series by label set. `overflow` gives the key to count under when the table is full."""

    def __init__(
        self, make: Callable[[K], S], overflow: Callable[[K], K], max_series: int = DEFAULT_MAX_SERIES
    ) -> None:
        """Raises ConfigError unless at least one series may exist."""
        if max_series < 1:
            raise ConfigError(f"max_series {max_series}: must be at least 1")
        self._make = make
        self._overflow = overflow
        self._max_series = max_series
        self._series: dict[K, S] = {}
        self._overflow_series: dict[K, S] = {}
        """Not bounded here: `overflow` must map everything onto few keys."""
        self.overflowed = 0
        """Look-ups that were answered with an overflow series."""

    def __len__(self) -> int:
        return len(self._series) + len(self._overflow_series)

    def __iter__(self) -> Iterator[S]:
        """Every series that exists now, a copy: counting may go on meanwhile."""
        return iter([*self._series.values(), *self._overflow_series.values()])

    def items(self) -> Iterator[tuple[K, S]]:
        """As iteration, with the keys."""
        return iter([*self._series.items(), *self._overflow_series.items()])

    def get(self, key: K) -> S:
        """The series of `key`, made when new."""
        series = self._series.get(key)
        return series if series is not None else self._absent(key)

    def _absent(self, key: K) -> S:
        if len(self._series) < self._max_series:
            series = self._series[key] = self._make(key)
            return series
        self.overflowed += 1
        key = self._overflow(key)
        overflow = self._overflow_series.get(key)
        if overflow is None:
            overflow = self._overflow_series[key] = self._make(key)
        return overflow


class ExpiringTable(SeriesTable[K, P]):
    """A table whose series leave when idle, and come back with their totals when they are used again."""

    def __init__(
        self, make: Callable[[K], P], overflow: Callable[[K], K], max_series: int = DEFAULT_MAX_SERIES
    ) -> None:
        super().__init__(make, overflow, max_series)
        self._idle: WeakValueDictionary[K, P] = WeakValueDictionary()
        """Dropped series that somebody still holds: there is never a second one of the same labels."""

    def expire_idle(self, now: float, retain_idle: float = DEFAULT_RETAIN_IDLE) -> int:
        """Drop series not used for `retain_idle` seconds, as far as earlier calls saw; returns how many."""
        expired = 0
        for key, series in list(self._series.items()):
            activity = series.activity()
            if activity != series.last_activity or series.is_held():
                series.last_activity, series.last_used_at = activity, now
            elif now - series.last_used_at >= retain_idle:
                self._idle[key] = self._series.pop(key)
                series.revive = partial(self._revive, key)
                expired += 1
        return expired

    def _absent(self, key: K) -> P:
        series = self._idle.get(key)
        if series is None:
            return super()._absent(key)
        self._revive(key, series)
        return series

    def _revive(self, key: K, series: PeerSeries) -> None:
        """Put a dropped series back. It may exceed the bound: who kept it is bounded itself."""
        series.revive = None
        self._series[key] = self._idle.pop(key)
