"""Bounds, overflow, idle expiry and return of series."""

import pytest

from meshproxy.config.model import Direction, ServiceIdentity, WorkloadIdentity
from meshproxy.errors import ConfigError
from meshproxy.telemetry.labels import RequestLabels, SecurityPolicy, TcpLabels, request_labels, tcp_labels
from meshproxy.telemetry.registry import ExpiringTable, SeriesTable
from meshproxy.telemetry.series import Counter, RequestSeries, TcpSeries


def _counters(max_series: int) -> SeriesTable[str, Counter]:
    return SeriesTable(Counter, lambda key: "overflow", max_series)


def _labels(workload: str) -> TcpLabels:
    peer = WorkloadIdentity(workload=workload)
    return tcp_labels(
        Direction.INBOUND, WorkloadIdentity(), peer, service=ServiceIdentity(), security=SecurityPolicy.NONE
    )


def _tcp(max_series: int = 10) -> ExpiringTable[TcpLabels, TcpSeries]:
    return ExpiringTable(
        lambda labels: TcpSeries(labels, labels.source_workload), lambda _: _labels("overflow"), max_series
    )


def _names(table: ExpiringTable[TcpLabels, TcpSeries]) -> list[str]:
    return [series.label_text for series in table]


def test_the_same_labels_are_the_same_series() -> None:
    table = _counters(5)
    assert table.get("a") is table.get("a")
    assert table.get("a") is not table.get("b")
    assert len(table) == 2


def test_past_the_bound_everything_new_counts_in_the_overflow_series() -> None:
    table = _counters(2)
    for key in ("a", "b", "c", "d", "a"):
        table.get(key).add()
    assert {series.label_text: series.value for series in table} == {"a": 2, "b": 1, "overflow": 2}
    assert (len(table), table.overflowed) == (3, 2)


def test_a_bound_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_series 0"):
        _counters(0)


def test_series_may_be_added_while_the_table_is_read() -> None:
    table = _counters(5)
    table.get("a")
    for _ in table:
        table.get("b")
    assert len(table) == 2


def test_a_series_is_dropped_after_its_idle_time_and_not_before() -> None:
    table = _tcp()
    table.get(_labels("a"))
    assert table.expire_idle(now=0, retain_idle=600) == 0
    table.get(_labels("a")).add_bytes(1, 1)
    assert table.expire_idle(now=500, retain_idle=600) == 0
    assert table.expire_idle(now=1099, retain_idle=600) == 0
    assert table.expire_idle(now=1100, retain_idle=600) == 1
    assert len(table) == 0


def test_an_open_connection_keeps_its_series_however_quiet() -> None:
    table = _tcp()
    series = table.get(_labels("a"))
    series.on_opened()
    for now in (0, 1000, 2000):
        assert table.expire_idle(now, 600) == 0
    series.on_closed()
    assert table.expire_idle(2100, 600) == 0
    assert table.expire_idle(2700, 600) == 1


def test_a_dropped_series_comes_back_with_its_totals_when_its_holder_uses_it() -> None:
    table = _tcp()
    series = table.get(_labels("a"))
    series.add_bytes(5, 5)
    table.expire_idle(0, 600)
    table.expire_idle(600, 600)
    assert _names(table) == []
    series.on_opened()
    assert _names(table) == ["a"]
    assert (series.opened, series.sent) == (1, 5)
    table.expire_idle(700, 600)
    series.on_closed()
    assert _names(table) == ["a"]


def test_every_way_of_using_a_dropped_series_brings_it_back() -> None:
    tcp = _tcp()
    requests: ExpiringTable[RequestLabels, RequestSeries] = ExpiringTable(
        lambda labels: RequestSeries(labels, "a"), lambda labels: labels
    )
    relayed, asked = tcp.get(_labels("a")), requests.get(request_labels(_labels("a"), 200))
    for now in (0, 600):
        tcp.expire_idle(now)
        requests.expire_idle(now)
    assert len(tcp) == len(requests) == 0
    relayed.add_bytes(1, 1)
    asked.observe(1, 1, 1)
    assert len(tcp) == len(requests) == 1


def test_there_is_never_a_second_series_of_the_same_labels() -> None:
    table = _tcp()
    held = table.get(_labels("a"))
    table.expire_idle(0, 600)
    table.expire_idle(600, 600)
    assert table.get(_labels("a")) is held
    held.add_bytes(1, 1)
    assert _names(table) == ["a"]


def test_a_dropped_series_that_nobody_holds_is_freed_and_starts_anew() -> None:
    table = _tcp(max_series=1)
    table.get(_labels("a")).add_bytes(5, 5)
    table.expire_idle(0, 600)
    table.expire_idle(600, 600)
    table.get(_labels("b"))
    assert _names(table) == ["b"], "its place is free"
    table.expire_idle(700, 600)
    table.expire_idle(1300, 600)
    assert table.get(_labels("a")).sent == 0


def test_ten_thousand_peers_in_turn_leave_nothing_behind() -> None:
    table = _tcp(max_series=20_000)
    for number in range(10_000):
        table.get(_labels(f"w{number}")).add_bytes(1, 1)
    table.expire_idle(0, 600)
    assert table.expire_idle(600, 600) == 10_000
    assert len(table) == len(table._idle) == 0
