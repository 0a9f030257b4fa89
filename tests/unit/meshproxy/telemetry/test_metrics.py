"""The whole: what is counted is what prometheus_client's parser reads from a scrape."""

from collections.abc import Callable

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from meshproxy.config.model import Direction, ServiceIdentity, WorkloadIdentity
from meshproxy.telemetry import names
from meshproxy.telemetry.labels import RequestLabels, SecurityPolicy, TcpLabels, request_labels, tcp_labels
from meshproxy.telemetry.metrics import MeshMetrics

WEB = WorkloadIdentity("web", "shop", "web", "v1", "web", "east")
SERVICE = ServiceIdentity("catalog.shop.svc.cluster.local", "catalog", "shop")


def _peers(workload: str = "catalog-v1", protocol: str = "http") -> TcpLabels:
    peer = WorkloadIdentity(workload, "shop", "catalog", "v1", "catalog", "east")
    return tcp_labels(
        Direction.OUTBOUND,
        WEB,
        peer,
        service=SERVICE,
        security=SecurityPolicy.UNKNOWN,
        request_protocol=protocol,
    )


def _request(workload: str = "catalog-v1", code: int = 200) -> RequestLabels:
    return request_labels(_peers(workload), code)


def _scrape(metrics: MeshMetrics) -> dict[str, Metric]:
    text = "".join(metrics.exposition())
    assert text.endswith("\n")
    return {family.name: family for family in text_string_to_metric_families(text)}


def _values(family: Metric) -> dict[tuple[str, ...], float]:
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


def test_requests_are_exposed_with_istios_labels() -> None:
    metrics = MeshMetrics()
    metrics.request_series(_request()).observe(2.0, 10, 300)
    metrics.request_series(_request()).observe(3.0, 10, 300)
    metrics.request_series(_request(code=503)).observe(1.0, 0, 0)
    families = _scrape(metrics)
    ok, failed = families["istio_requests"].samples
    assert (ok.name, ok.value, failed.value) == ("istio_requests_total", 2, 1)
    assert tuple(ok.labels) == names.REQUEST_LABELS
    assert (
        ok.labels["destination_service_name"],
        ok.labels["response_code"],
        failed.labels["response_code"],
    ) == (
        "catalog",
        "200",
        "503",
    )
    for family, total in [
        ("istio_request_duration_milliseconds", 5.0),
        ("istio_request_bytes", 20),
        ("istio_response_bytes", 600),
    ]:
        samples = [entry for entry in families[family].samples if entry.labels["response_code"] == "200"]
        by_suffix = {
            entry.name.removeprefix(family): entry.value for entry in samples if "le" not in entry.labels
        }
        assert by_suffix == {"_sum": total, "_count": 2}
        assert len(samples) == len(names.HISTOGRAM_BOUNDS) + 3
        assert families[family].type == "histogram"


def test_tcp_is_exposed_with_istios_labels() -> None:
    metrics = MeshMetrics()
    series = metrics.tcp_series(_peers(protocol="tcp"))
    series.on_opened()
    series.on_opened()
    series.on_closed()
    series.add_bytes(100, 20)
    families = _scrape(metrics)
    expected = {
        "istio_tcp_connections_opened": 2,
        "istio_tcp_connections_closed": 1,
        "istio_tcp_sent_bytes": 100,
        "istio_tcp_received_bytes": 20,
    }
    for name, value in expected.items():
        (entry,) = families[name].samples
        assert (entry.value, tuple(entry.labels)) == (value, names.TCP_LABELS)


def test_the_same_labels_are_the_same_series() -> None:
    metrics = MeshMetrics()
    assert metrics.request_series(_request()) is metrics.request_series(_request())
    assert metrics.tcp_series(_peers()) is metrics.tcp_series(_peers())


def test_own_counters_and_gauges() -> None:
    metrics = MeshMetrics()
    metrics.counter("meshproxy_connections_refused_total", listener="virtualInbound", reason="strict").add(2)
    metrics.counter("meshproxy_connections_refused_total", reason="strict", listener="virtualInbound").add()
    metrics.gauge("meshproxy_downstream_connections_active", listener="a").set(4)
    metrics.gauge("meshproxy_downstream_connections_active", listener="a").add(-1)
    families = _scrape(metrics)
    assert _values(families["meshproxy_connections_refused"]) == {("virtualInbound", "strict"): 3}
    assert _values(families["meshproxy_downstream_connections_active"]) == {("a",): 3}


def test_values_kept_elsewhere_are_read_at_every_scrape() -> None:
    metrics, connected = MeshMetrics(), [1.0]
    metrics.read_from("meshproxy_xds_connected", lambda: connected[0])
    metrics.read_from("meshproxy_xds_update_rejected_total", lambda: 2, type="lds")
    metrics.read_from("meshproxy_xds_update_rejected_total", lambda: 1, type="rds")
    first = _scrape(metrics)
    connected[0] = 0.0
    assert _values(first["meshproxy_xds_connected"]) == {(): 1}
    assert _values(first["meshproxy_xds_update_rejected"]) == {("lds",): 2, ("rds",): 1}
    assert _values(_scrape(metrics)["meshproxy_xds_connected"]) == {(): 0}


def test_memory_and_cpu_of_the_process_are_always_there() -> None:
    families = _scrape(MeshMetrics())
    assert _values(families["meshproxy_resident_memory_bytes"])[()] > 1_000_000
    assert _values(families["meshproxy_cpu_seconds"])[()] > 0


def test_overflow_keeps_totals_by_reporter_and_code_and_is_counted() -> None:
    metrics = MeshMetrics(max_series=2)
    for number in range(5):
        metrics.request_series(_request(f"w{number}")).observe(1, 0, 0)
        metrics.request_series(_request(f"w{number}", 500)).observe(1, 0, 0)
        metrics.tcp_series(_peers(f"w{number}")).on_opened()
        metrics.counter("meshproxy_upstream_retries_total", cluster=f"c{number}", reason="reset").add()
        metrics.gauge("meshproxy_downstream_connections_active", listener=f"l{number}").add()
    families = _scrape(metrics)
    requests = families["istio_requests"].samples
    assert sum(entry.value for entry in requests if entry.labels["response_code"] == "500") == 5
    overflow = [entry for entry in requests if entry.labels["destination_workload"] == "overflow"]
    assert {(entry.labels["reporter"], entry.labels["response_code"]): entry.value for entry in overflow} == {
        ("source", "200"): 4,
        ("source", "500"): 4,
    }
    assert sum(entry.value for entry in families["istio_tcp_connections_opened"].samples) == 5
    assert _values(families["meshproxy_upstream_retries"])["overflow", "overflow"] == 3
    assert _values(families["meshproxy_downstream_connections_active"])[("overflow",)] == 3
    assert _values(families["meshproxy_metric_series_overflowed"]) == {(): 8 + 3 + 3 + 3}


def test_idle_series_of_peers_expire() -> None:
    metrics = MeshMetrics()
    metrics.request_series(_request()).observe(1, 0, 0)
    metrics.tcp_series(_peers())
    assert metrics.expire_idle(0.0) == 0
    assert metrics.expire_idle(600.0) == 2
    assert _scrape(metrics)["istio_requests"].samples == []


def test_a_large_scrape_comes_in_slices_and_counting_goes_on_between_them() -> None:
    metrics = MeshMetrics()
    for number in range(20):
        metrics.request_series(_request(f"w{number}")).observe(1, 0, 0)
    text = ""
    for count, piece in enumerate(metrics.exposition()):
        metrics.request_series(_request(f"new{count}")).observe(1, 0, 0)
        metrics.request_series(_request("w0")).observe(1, 0, 0)
        text += piece
    assert count > 10
    for family in text_string_to_metric_families(text):
        if family.type != "histogram":
            continue
        counts = {tuple(e.labels.values()): e.value for e in family.samples if e.name.endswith("_count")}
        infinite = {
            tuple(e.labels.values())[:-1]: e.value for e in family.samples if e.labels.get("le") == "+Inf"
        }
        assert counts == infinite


def test_stats_are_lines_of_name_and_value() -> None:
    metrics = MeshMetrics()
    metrics.counter("meshproxy_upstream_retries_total", cluster="c", reason="reset").add(7)
    metrics.read_from("meshproxy_xds_connected", lambda: 1)
    lines = "".join(metrics.stats()).splitlines()
    assert 'meshproxy_upstream_retries_total{cluster="c",reason="reset"}: 7' in lines
    assert "meshproxy_xds_connected: 1" in lines


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda m: m.counter("nonsense_total"), "not declared"),
        (lambda m: m.counter("meshproxy_xds_connected"), "is a gauge, not a counter"),
        (lambda m: m.gauge("meshproxy_certificate_renewals_total"), "is a counter, not a gauge"),
        (lambda m: m.counter("meshproxy_upstream_retries_total", cluster="a"), r"\['cluster', 'reason'\]"),
        (lambda m: m.read_from("meshproxy_xds_connected", lambda: 1, type="x"), r"labels \['type'\]"),
    ],
)
def test_undeclared_metrics_are_refused(use: Callable[[MeshMetrics], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use(MeshMetrics())
