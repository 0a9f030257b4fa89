"""Counting on series."""

import pytest

from meshproxy.config.model import Direction, ServiceIdentity, WorkloadIdentity
from meshproxy.telemetry.labels import SecurityPolicy, request_labels, tcp_labels
from meshproxy.telemetry.names import HISTOGRAM_BOUNDS
from meshproxy.telemetry.series import Counter, Gauge, PeerSeries, RequestSeries, TcpSeries

PEERS = tcp_labels(
    Direction.OUTBOUND,
    WorkloadIdentity(),
    WorkloadIdentity(),
    service=ServiceIdentity(),
    security=SecurityPolicy.NONE,
)


def test_a_request_is_counted_in_every_histogram() -> None:
    series = RequestSeries(request_labels(PEERS, 200), "")
    series.observe(3.5, 0, 1000)
    series.observe(0.25, 70, 10)
    assert (series.requests, series.duration_sum, series.request_bytes, series.response_bytes) == (
        2,
        3.75,
        70,
        1010,
    )
    assert series.duration_buckets[:3] == [1, 0, 1]
    assert series.request_buckets[0] == 1
    assert sum(series.request_buckets) == sum(series.response_buckets) == 2


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.5, 0), (0.51, 1), (1.0, 1), (3_600_000, 18), (3_600_001, 19)]
)
def test_bounds_are_inclusive(value: float, bucket: int) -> None:
    series = RequestSeries(request_labels(PEERS, 200), "")
    series.observe(value, 0, 0)
    assert series.duration_buckets.index(1) == bucket
    assert len(series.duration_buckets) == len(HISTOGRAM_BOUNDS) + 1


def test_tcp_connections_and_bytes() -> None:
    series = TcpSeries(PEERS, "")
    series.on_opened()
    assert series.is_held()
    series.add_bytes(sent=10, received=3)
    series.add_bytes(sent=1, received=0)
    series.on_closed()
    assert (series.opened, series.closed, series.sent, series.received) == (1, 1, 11, 3)
    assert not series.is_held()


def test_counter_and_gauge() -> None:
    counter, gauge = Counter(""), Gauge("")
    counter.add()
    counter.add(4)
    gauge.set(2.5)
    gauge.add(-1)
    gauge.add()
    assert (counter.value, gauge.value) == (5, 2.5)


def test_a_series_must_say_what_its_activity_is() -> None:
    with pytest.raises(NotImplementedError):
        PeerSeries("").activity()
