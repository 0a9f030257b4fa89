"""Metrics between processes: what workers report adds up to what one process would have counted."""

import random

import pytest

from meshproxy.config.model import Direction, ServiceIdentity, WorkloadIdentity
from meshproxy.telemetry import names, transfer
from meshproxy.telemetry.labels import SecurityPolicy, TcpLabels, request_labels, tcp_labels
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.telemetry.transfer import MetricsReceiver, MetricsSender

REFUSED = "meshproxy_connections_refused_total"


def _peers(workload: str = "catalog") -> TcpLabels:
    return tcp_labels(
        Direction.OUTBOUND,
        WorkloadIdentity("web"),
        WorkloadIdentity(workload),
        service=ServiceIdentity(),
        security=SecurityPolicy.NONE,
    )


def _counts(metrics: MeshMetrics) -> list[str]:
    """Every line of the exposition that is no reading of the process, in one order."""
    readings = names.CPU_SECONDS.name, names.RESIDENT_MEMORY.name, "meshproxy_metric_series"
    lines = "".join(metrics.exposition()).splitlines()
    return sorted(line for line in lines if not line.startswith(("process_", "#", *readings)))


def _report(sender: MetricsSender, receiver: MetricsReceiver) -> int:
    parts = list(sender.take())
    for part in parts:
        receiver.add(part)
    return sum(len(part.requests) + len(part.tcp) + len(part.counters) for part in parts)


def _count_something(rng: random.Random, *targets: MeshMetrics) -> None:
    labels, what = _peers(f"w{rng.randrange(4)}"), rng.randrange(4)
    # halves of milliseconds: sums of them are exact in any order
    numbers = rng.randrange(4_000) / 2, rng.randrange(10_000), rng.randrange(10_000)
    for metrics in targets:
        if what == 0:
            metrics.request_series(request_labels(labels, 200)).observe(*numbers)
        elif what == 1:
            metrics.tcp_series(labels).on_opened()
        elif what == 2:
            metrics.tcp_series(labels).add_bytes(numbers[1], numbers[2])
        else:
            metrics.counter(REFUSED, listener="a", reason=labels.destination_workload).add()


@pytest.mark.parametrize("seed", range(5))
def test_two_workers_add_up_to_what_one_process_counts(seed: int) -> None:
    rng = random.Random(seed)
    alone, total = MeshMetrics(), MeshMetrics()
    workers = [MeshMetrics(), MeshMetrics()]
    ways = [(MetricsSender(worker), MetricsReceiver(total)) for worker in workers]
    for _ in range(300):
        _count_something(rng, alone, rng.choice(workers))
        if rng.random() < 0.1:
            _report(*rng.choice(ways))
    for way in ways:
        _report(*way)
    assert _counts(total) == _counts(alone)


def test_what_did_not_change_is_not_sent_again() -> None:
    worker = MeshMetrics()
    sender, receiver = MetricsSender(worker), MetricsReceiver(MeshMetrics())
    worker.request_series(request_labels(_peers(), 200)).observe(1.0, 0, 0)
    worker.tcp_series(_peers()).on_opened()
    worker.counter(REFUSED, listener="a", reason="b").add()
    assert _report(sender, receiver) == 3
    assert _report(sender, receiver) == 0


def test_parts_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SERIES_PER_PART", 2)
    worker = MeshMetrics()
    for number in range(5):
        worker.request_series(request_labels(_peers(f"w{number}"), 200)).observe(1.0, 0, 0)
    assert [len(part.requests) for part in MetricsSender(worker).take()] == [2, 2, 1, 0]


def test_an_idle_series_may_go_on_either_side_and_come_back() -> None:
    worker, total = MeshMetrics(), MeshMetrics()
    sender, receiver = MetricsSender(worker), MetricsReceiver(total)
    kept, tcp = worker.request_series(request_labels(_peers(), 200)), worker.tcp_series(_peers())
    tcp.add_bytes(1, 1)
    held = total.request_series(request_labels(_peers(), 200)), total.tcp_series(_peers())
    kept.observe(1.0, 0, 0)
    _report(sender, receiver)
    for metrics in (worker, total):
        metrics.expire_idle(0.0)
        assert metrics.expire_idle(1_000.0) == 2
    kept.observe(1.0, 0, 0)
    tcp.add_bytes(1, 1)
    _report(sender, receiver)
    assert (held[0].requests, held[1].sent) == (2, 2)


def test_connections_of_a_worker_that_died_are_closed() -> None:
    worker, total = MeshMetrics(), MeshMetrics()
    sender, receiver = MetricsSender(worker), MetricsReceiver(total)
    series = worker.tcp_series(_peers())
    for _ in range(3):
        series.on_opened()
    series.on_closed()
    _report(sender, receiver)
    sums = total.tcp_series(_peers())
    assert (sums.opened, sums.closed) == (3, 1)
    receiver.end()
    receiver.end()
    assert (sums.opened, sums.closed) == (3, 3)
    assert not sums.is_held()


def test_overflows_are_reported_once() -> None:
    worker = MeshMetrics(max_series=1)
    sender, receiver = MetricsSender(worker), MetricsReceiver(MeshMetrics())
    for number in range(3):
        worker.request_series(request_labels(_peers(f"w{number}"), 200)).observe(1.0, 0, 0)
    for _ in range(2):
        _report(sender, receiver)
    assert receiver.overflowed == 2


def test_what_clusters_refused_is_the_sum_of_the_workers_by_cluster_and_limit() -> None:
    sums = MeshMetrics()
    for refused in (1, 2):
        worker = MeshMetrics()
        for limit in ("connections", "pending", "requests"):
            worker.counter("meshproxy_upstream_overflowed_total", cluster="a", limit=limit).add(refused)
        worker.counter("meshproxy_upstream_retries_overflowed_total", cluster="a").add(refused)
        _report(MetricsSender(worker), MetricsReceiver(sums))
    assert [line for line in _counts(sums) if "overflowed" in line] == [
        *(
            f'meshproxy_upstream_overflowed_total{{cluster="a",limit="{limit}"}} 3'
            for limit in ("connections", "pending", "requests")
        ),
        'meshproxy_upstream_retries_overflowed_total{cluster="a"} 3',
    ]
