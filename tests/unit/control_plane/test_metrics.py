"""The control plane's metrics."""

from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.cache import SnapshotCache
from control_plane.metrics import ControlPlaneMetrics
from control_plane.snapshot import Snapshot
from control_plane.subscription import SyncState, TypeStatus


class _Stream:
    """A stream that is as far as it is told to be."""

    connected_at = 0.0

    def __init__(self, node_id: str = "n") -> None:
        self.node = Node(id=node_id)
        self.states = [SyncState.SYNCED]

    def on_snapshot(self, snapshot: Snapshot) -> None: ...

    def statuses(self) -> Mapping[str, TypeStatus]:
        return {str(number): TypeStatus(state) for number, state in enumerate(self.states)}


class _Bench:
    def __init__(self) -> None:
        self.cache = SnapshotCache()
        self.now = 100.0
        self.metrics = ControlPlaneMetrics(self.cache, lambda: self.now)

    def read(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """By sample name and label values; the exposition is read by Prometheus' own parser."""
        families = text_string_to_metric_families(self.metrics.exposition())
        samples = [sample for family in families for sample in family.samples]
        return {(sample.name, tuple(sample.labels.values())): sample.value for sample in samples}


@pytest.fixture
def bench() -> _Bench:
    return _Bench()


def test_nothing_yet_is_readable(bench: _Bench) -> None:
    values = bench.read()
    assert values["pilot_xds", ()] == 0
    assert values["pilot_proxy_convergence_time_count", ()] == 0


def test_pushes_and_refusals_are_counted_by_type(bench: _Bench) -> None:
    for short_type in ("cds", "cds", "rds"):
        bench.metrics.on_response(short_type)
    bench.metrics.on_answer(_Stream(), "rds", is_refusal=True)
    bench.cache.attach(_Stream())
    values = bench.read()
    assert values["pilot_xds_pushes_total", ("cds",)] == 2
    assert values["pilot_xds_pushes_total", ("rds",)] == 1
    assert values["pilot_total_xds_rejects_total", ("rds",)] == 1
    assert values["pilot_xds", ()] == 1


def test_convergence_is_from_the_change_to_the_last_answer(bench: _Bench) -> None:
    stream = _Stream()
    bench.metrics.on_published("n", 99.0)
    bench.metrics.on_push("config")
    bench.metrics.on_published("n", 99.9)
    bench.metrics.on_push("config")
    stream.states = [SyncState.SYNCED, SyncState.STALE]
    bench.metrics.on_answer(stream, "cds", is_refusal=False)
    stream.states = [SyncState.SYNCED, SyncState.NOT_SENT]
    bench.metrics.on_answer(stream, "eds", is_refusal=False)
    bench.metrics.on_answer(stream, "eds", is_refusal=False)
    values = bench.read()
    assert values["pilot_proxy_convergence_time_count", ()] == 1
    assert values["pilot_proxy_convergence_time_sum", ()] == 1.0
    assert values["pilot_proxy_convergence_time_bucket", ("0.5",)] == 0
    assert values["pilot_proxy_convergence_time_bucket", ("1.0",)] == 1
    assert values["pilot_push_triggers_total", ("config",)] == 2


def test_a_refusal_or_a_departure_ends_the_wait(bench: _Bench) -> None:
    stream = _Stream()
    bench.metrics.on_published("n", 99.0)
    bench.metrics.on_published("gone", 99.0)
    stream.states = [SyncState.NACKED]
    bench.metrics.on_answer(stream, "cds", is_refusal=True)
    bench.metrics.forget("gone")
    stream.states = [SyncState.SYNCED]
    bench.metrics.on_answer(stream, "cds", is_refusal=False)
    bench.metrics.on_answer(_Stream("gone"), "cds", is_refusal=False)
    assert bench.read()["pilot_proxy_convergence_time_count", ()] == 0


def test_a_change_of_what_a_proxy_does_not_ask_for_is_no_wait(bench: _Bench) -> None:
    stream = _Stream()
    bench.metrics.on_published("n", 1.0)
    stream.states = [SyncState.SYNCED, SyncState.STALE]
    bench.metrics.on_nothing_to_send(stream)  # an answer to something before is due
    stream.states = [SyncState.SYNCED]
    bench.metrics.on_nothing_to_send(stream)
    bench.metrics.on_answer(stream, "rds", is_refusal=False)
    bench.metrics.on_published("n", 99.0)
    bench.metrics.on_answer(stream, "rds", is_refusal=False)
    assert bench.read()["pilot_proxy_convergence_time_sum", ()] == 1.0


def test_certificates_are_those_of_the_signing_services(bench: _Bench) -> None:
    bench.metrics.issued = lambda: 7
    bench.metrics.refused = lambda: {"replayed": 2}
    values = bench.read()
    assert values["citadel_server_success_cert_issuance_count_total", ()] == 7
    assert values["meshproxy_certificates_refused_total", ("replayed",)] == 2
