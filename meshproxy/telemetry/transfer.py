"""Metrics from one process to another (pure): what was counted since last time, and adding it up.

A worker process sends differences, never totals: the sums live with the receiver, so nothing that was
reported is lost or goes backwards when a worker dies or forgets an idle series. Gauges and readings of the
process are not sent: they are not sums of the past.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from meshproxy.telemetry.labels import RequestLabels, TcpLabels
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.telemetry.series import RequestSeries, TcpSeries

SERIES_PER_PART: Final = 200
"""Bounds how long making or adding one part takes: about 2 ms."""

Numbers = tuple[float, ...]
"""Flat: for requests the three sums and the count, then the three rows of buckets."""


@dataclass(frozen=True, slots=True)
class MetricsPart:
    """What series gained since the report before; series that gained nothing are not in it."""

    requests: tuple[tuple[RequestLabels, Numbers], ...] = ()
    tcp: tuple[tuple[TcpLabels, Numbers], ...] = ()
    counters: tuple[tuple[str, tuple[str, ...], int], ...] = ()
    """(family, label values in the family's order, gain)."""
    overflowed: int = 0


_T = TypeVar("_T")


class MetricsSender:
    """Remembers what was reported of each series."""

    def __init__(self, metrics: MeshMetrics) -> None:
        self._metrics = metrics
        self._reported: WeakKeyDictionary[object, Numbers] = WeakKeyDictionary()
        self._overflowed = 0

    def take(self) -> Iterator[MetricsPart]:
        """Everything since the last call, in parts; other work may run between two of them. Each part that
        was made must be delivered: it will not be made again."""
        for requests in _parts(self._request_gains()):
            yield MetricsPart(requests=requests)
        for tcp in _parts(self._tcp_gains()):
            yield MetricsPart(tcp=tcp)
        overflowed = self._metrics.overflowed - self._overflowed
        self._overflowed += overflowed
        yield MetricsPart(counters=tuple(self._counter_gains()), overflowed=overflowed)

    def _request_gains(self) -> Iterator[tuple[RequestLabels, Numbers]]:
        for series in self._metrics.all_requests():
            before = self._reported.get(series)
            if before is None or before[0] != series.requests:
                yield series.labels, self._gain(series, before, _request_numbers(series))

    def _tcp_gains(self) -> Iterator[tuple[TcpLabels, Numbers]]:
        for series in self._metrics.all_tcp():
            before, numbers = self._reported.get(series), _tcp_numbers(series)
            if before != numbers:
                yield series.labels, self._gain(series, before, numbers)

    def _counter_gains(self) -> Iterator[tuple[str, tuple[str, ...], int]]:
        for name, values, counter in self._metrics.all_counters():
            gain = self._gain(counter, self._reported.get(counter), (counter.value,))[0]
            if gain:
                yield name, values, int(gain)

    def _gain(self, series: object, before: Numbers | None, numbers: Numbers) -> Numbers:
        self._reported[series] = numbers
        if before is None:
            return numbers
        return tuple(now - then for now, then in zip(numbers, before, strict=True))


class MetricsReceiver:
    """Adds up what one other process counted."""

    def __init__(self, metrics: MeshMetrics) -> None:
        self._metrics = metrics
        self._open: dict[TcpLabels, int] = {}
        """TCP connections that the sender has open, where there are any."""
        self.overflowed = 0

    def add(self, part: MetricsPart) -> None:
        """Add `part` to the metrics, within their bounds on series."""
        metrics = self._metrics
        for labels, numbers in part.requests:
            _add_request(metrics.request_series(labels), numbers)
        for peers, gained in part.tcp:
            _add_tcp(metrics.tcp_series(peers), gained)
            self._note_open(peers, int(gained[0] - gained[1]))
        for name, values, gain in part.counters:
            metrics.counter_of(name, values).add(gain)
        self.overflowed += part.overflowed

    def end(self) -> None:
        """The sender is gone, and with it the connections that it had: count them as closed."""
        for peers, number in self._open.items():
            _add_tcp(self._metrics.tcp_series(peers), (0, number, 0, 0))
        self._open = {}

    def _note_open(self, peers: TcpLabels, gained: int) -> None:
        number = self._open.pop(peers, 0) + gained
        if number:
            self._open[peers] = number


def _parts(gains: Iterator[_T]) -> Iterator[tuple[_T, ...]]:
    while part := tuple(islice(gains, SERIES_PER_PART)):
        yield part


def _request_numbers(series: RequestSeries) -> Numbers:
    return (
        series.requests,
        series.duration_sum,
        series.request_bytes,
        series.response_bytes,
        series.request_messages,
        series.response_messages,
        *series.duration_buckets,
        *series.request_buckets,
        *series.response_buckets,
    )


def _add_request(series: RequestSeries, numbers: Numbers) -> None:
    if series.revive is not None:
        series.revive(series)
    series.requests += int(numbers[0])
    series.duration_sum += numbers[1]
    series.request_bytes += int(numbers[2])
    series.response_bytes += int(numbers[3])
    series.request_messages += int(numbers[4])
    series.response_messages += int(numbers[5])
    gains = iter(numbers[6:])
    for buckets in (series.duration_buckets, series.request_buckets, series.response_buckets):
        for index, gain in enumerate(islice(gains, len(buckets))):
            buckets[index] += int(gain)


def _tcp_numbers(series: TcpSeries) -> Numbers:
    return series.opened, series.closed, series.sent, series.received


def _add_tcp(series: TcpSeries, numbers: Numbers) -> None:
    if series.revive is not None:
        series.revive(series)
    opened, closed, sent, received = map(int, numbers)
    series.opened += opened
    series.closed += closed
    series.sent += sent
    series.received += received
