"""All metrics of one worker (pure but for /proc): where series are found, and how they are written out.

Counting is integer addition on a series that its user keeps; building label text and Prometheus lines
happens once per series and per scrape. Values that live elsewhere (certificate expiry, the xDS stream) are
read by a callable at scrape time instead of being pushed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import TypeVar

from meshproxy.telemetry import names
from meshproxy.telemetry.exposition import header, histogram, label_text, number, sample, slices
from meshproxy.telemetry.labels import RequestLabels, TcpLabels
from meshproxy.telemetry.names import OVERFLOW, OWN_FAMILIES, MetricFamily, MetricKind
from meshproxy.telemetry.process import own_cpu_seconds, own_resident_bytes
from meshproxy.telemetry.registry import DEFAULT_MAX_SERIES, DEFAULT_RETAIN_IDLE, ExpiringTable, SeriesTable
from meshproxy.telemetry.series import Counter, Gauge, RequestSeries, TcpSeries

_Values = tuple[str, ...]
_RequestHistogram = tuple[
    MetricFamily, Callable[[RequestSeries], list[int]], Callable[[RequestSeries], float]
]

_REQUEST_HISTOGRAMS: tuple[_RequestHistogram, ...] = (
    (names.ISTIO_REQUEST_DURATION, attrgetter("duration_buckets"), attrgetter("duration_sum")),
    (names.ISTIO_REQUEST_BYTES, attrgetter("request_buckets"), attrgetter("request_bytes")),
    (names.ISTIO_RESPONSE_BYTES, attrgetter("response_buckets"), attrgetter("response_bytes")),
)
_MESSAGE_COUNTERS: tuple[tuple[MetricFamily, Callable[[RequestSeries], int]], ...] = (
    (names.ISTIO_REQUEST_MESSAGES, attrgetter("request_messages")),
    (names.ISTIO_RESPONSE_MESSAGES, attrgetter("response_messages")),
)
_TCP_COUNTERS: tuple[tuple[MetricFamily, Callable[[TcpSeries], int]], ...] = (
    (names.ISTIO_TCP_OPENED, attrgetter("opened")),
    (names.ISTIO_TCP_CLOSED, attrgetter("closed")),
    (names.ISTIO_TCP_SENT, attrgetter("sent")),
    (names.ISTIO_TCP_RECEIVED, attrgetter("received")),
)


def _overflow_peers(labels: TcpLabels) -> TcpLabels:
    """Every name replaced; the reporter stays, so that sums by reporter remain right."""
    return TcpLabels(labels.reporter, *([OVERFLOW] * (len(labels) - 1)))


def _overflow_request(labels: RequestLabels) -> RequestLabels:
    """The response code stays too, so that error rates remain right."""
    return RequestLabels(_overflow_peers(labels.peers), labels.response_code, OVERFLOW)


class MeshMetrics:
    """Istio's request and TCP metrics, and our own counters and gauges by their name in `names`."""

    def __init__(self, max_series: int = DEFAULT_MAX_SERIES) -> None:
        """`max_series` bounds each family of own metrics, and the request and the TCP series."""
        self._max_series = max_series
        self._requests = ExpiringTable(_new_request_series, _overflow_request, max_series)
        self._tcp = ExpiringTable(_new_tcp_series, _overflow_peers, max_series)
        self._counters: dict[str, SeriesTable[_Values, Counter]] = {}
        self._gauges: dict[str, SeriesTable[_Values, Gauge]] = {}
        self._readings: dict[str, dict[_Values, Callable[[], float]]] = {}
        self.read_from(names.RESIDENT_MEMORY.name, own_resident_bytes)
        self.read_from(names.CPU_SECONDS.name, own_cpu_seconds)
        self.read_from(names.SERIES_OVERFLOWED.name, lambda: float(self.overflowed))

    # --- finding series ---

    def request_series(self, labels: RequestLabels) -> RequestSeries:
        """The series of `labels`. Keep it with the endpoint or connection it belongs to."""
        return self._requests.get(labels)

    def tcp_series(self, labels: TcpLabels) -> TcpSeries:
        """The series of `labels`. Keep it with the endpoint or connection it belongs to."""
        return self._tcp.get(labels)

    def counter(self, name: str, **labels: str) -> Counter:
        """One label set of an own counter. Raises ValueError for a name or labels that `names` does not
        know.
        """
        _, values = _checked(name, MetricKind.COUNTER, labels)
        return self.counter_of(name, values)

    def counter_of(self, name: str, values: tuple[str, ...]) -> Counter:
        """As `counter`, with label values in the family's order, from whoever has them checked already."""
        table = self._counters.get(name)
        if table is None:
            table = self._counters[name] = SeriesTable(
                _maker(OWN_FAMILIES[name], Counter), _overflow_values, self._max_series
            )
        return table.get(values)

    def gauge(self, name: str, **labels: str) -> Gauge:
        """One label set of an own gauge. Raises as `counter` does."""
        family, values = _checked(name, MetricKind.GAUGE, labels)
        table = self._gauges.get(name)
        if table is None:
            table = self._gauges[name] = SeriesTable(
                _maker(family, Gauge), _overflow_values, self._max_series
            )
        return table.get(values)

    def read_from(self, name: str, read: Callable[[], float], **labels: str) -> None:
        """Let `read` give the value of an own counter or gauge at every scrape. Raises as `counter` does."""
        _, values = _checked(name, None, labels)
        self._readings.setdefault(name, {})[values] = read

    def expire_idle(self, now: float, retain_idle: float = DEFAULT_RETAIN_IDLE) -> int:
        """Drop request and TCP series idle for `retain_idle` seconds; call it every minute or so. Returns
        how many.

        Own counters and gauges stay: configuration, not peers, decides how many they are.
        """
        return self._requests.expire_idle(now, retain_idle) + self._tcp.expire_idle(now, retain_idle)

    # --- reading ---

    def all_requests(self) -> Iterator[RequestSeries]:
        """Every request series that exists now."""
        return iter(self._requests)

    def all_tcp(self) -> Iterator[TcpSeries]:
        """Every TCP series that exists now."""
        return iter(self._tcp)

    def all_counters(self) -> Iterator[tuple[str, tuple[str, ...], Counter]]:
        """(family, label values, counter) of every own counter that exists now."""
        for name, table in list(self._counters.items()):
            for values, counter in table.items():
                yield name, values, counter

    @property
    def overflowed(self) -> int:
        """Look-ups that were answered with an overflow series."""
        total = self._requests.overflowed + self._tcp.overflowed
        total += sum(table.overflowed for table in self._counters.values())
        return total + sum(table.overflowed for table in self._gauges.values())

    # --- writing out ---

    def exposition(self) -> Iterator[str]:
        """Everything in Prometheus' text format, in slices: send one, let requests run, take the next."""
        return slices(self._pieces())

    def stats(self) -> Iterator[str]:
        """Own counters and gauges as `name{labels}: value` lines, for people; in slices as `exposition`."""
        return slices(
            f"{family.name}{{{labels}}}: {number(value)}\n" if labels else f"{family.name}: {number(value)}\n"
            for family in OWN_FAMILIES.values()
            for labels, value in self._own_samples(family)
        )

    def _pieces(self) -> Iterator[str]:
        yield from self._request_pieces()
        yield from self._tcp_pieces()
        for family in OWN_FAMILIES.values():
            yield header(family)
            for labels, value in self._own_samples(family):
                yield sample(family.name, labels, value)

    def _request_pieces(self) -> Iterator[str]:
        yield header(names.ISTIO_REQUESTS)
        for series in self._requests:
            yield sample(names.ISTIO_REQUESTS.name, series.label_text, series.requests)
        for family, buckets, total in _REQUEST_HISTOGRAMS:
            yield header(family)
            for series in self._requests:
                yield histogram(family.name, series.label_text, buckets(series), total(series))

        for family, messages in _MESSAGE_COUNTERS:
            yield header(family)
            for series in self._requests:
                if series.labels.peers.request_protocol == names.GRPC:
                    yield sample(family.name, series.label_text, messages(series))

    def _tcp_pieces(self) -> Iterator[str]:
        for family, value in _TCP_COUNTERS:
            yield header(family)
            for series in self._tcp:
                yield sample(family.name, series.label_text, value(series))

    def _own_samples(self, family: MetricFamily) -> Iterator[tuple[str, float]]:
        for table in (self._counters.get(family.name), self._gauges.get(family.name)):
            for series in table or ():
                yield series.label_text, series.value
        for values, read in self._readings.get(family.name, {}).items():
            yield label_text(family.labels, values), read()


def _new_request_series(labels: RequestLabels) -> RequestSeries:
    values = (*labels.peers, labels.response_code, labels.grpc_response_status)
    return RequestSeries(labels, label_text(names.REQUEST_LABELS, values))


def _new_tcp_series(labels: TcpLabels) -> TcpSeries:
    return TcpSeries(labels, label_text(names.TCP_LABELS, labels))


_V = TypeVar("_V", Counter, Gauge)


def _maker(family: MetricFamily, kind: type[_V]) -> Callable[[_Values], _V]:
    return lambda values: kind(label_text(family.labels, values))


def _overflow_values(values: _Values) -> _Values:
    return (OVERFLOW,) * len(values)


def _checked(name: str, kind: MetricKind | None, labels: dict[str, str]) -> tuple[MetricFamily, _Values]:
    """The family of `name` and the label values in its order. Raises ValueError."""
    family = OWN_FAMILIES.get(name)
    if family is None:
        raise ValueError(f"metric {name!r}: not declared in telemetry/names.py")
    if kind is not None and family.kind is not kind:
        raise ValueError(f"metric {name!r}: is a {family.kind.value}, not a {kind.value}")
    if labels.keys() != set(family.labels):
        raise ValueError(
            f"metric {name!r}: labels {sorted(labels)}, but it is declared with {list(family.labels)}"
        )
    return family, tuple(labels[label] for label in family.labels)
