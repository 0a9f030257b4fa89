"""Where the app's metrics are, from Prometheus' annotations to the sidecar's own reader."""

import pytest

from injector.manifest import Manifest
from injector.metrics import app_metrics, turned_to_sidecar
from injector.patch import judge
from meshproxy.local_app.metrics import MetricsPlace, parse_metrics

ENABLED: Manifest = {"metadata": {"labels": {"meshproxy.io/injection": "enabled"}}}
SPEC: Manifest = {
    "containers": [
        {"name": "a", "ports": [{"containerPort": 53, "protocol": "UDP"}]},
        {"name": "b", "ports": [{"containerPort": 8080}, {"containerPort": 9000}]},
    ]
}


def said(**annotations: str) -> dict[str, str]:
    return {f"prometheus.io/{name}": text for name, text in annotations.items()}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, None),
        (said(scrape="false", port="80"), None),
        (said(port="80"), None),
        (said(scrape="true"), MetricsPlace(8080)),
        (said(scrape="true", port="9102", path="/m$x"), MetricsPlace(9102, "/m$x")),
        (said(scrape="true", port="80", scheme="https"), MetricsPlace(80, "/metrics", True)),
        (said(scrape="true", port="15020"), None),
    ],
)
def test_the_sidecar_learns_where_to_ask(annotations: dict[str, str], expected: MetricsPlace | None) -> None:
    found = app_metrics(annotations, SPEC)
    text = found.variable
    assert found.warnings == ()
    assert parse_metrics(text) == expected
    assert "$" not in text


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        (said(scrape="true", port="http"), "prometheus.io/port: 'http' is not a port"),
        (said(scrape="true", port="70000"), "is not a port"),
        (said(scrape="true", scheme="ftp"), "prometheus.io/scheme: 'ftp' is neither http nor https; use"),
    ],
)
def test_what_is_wrong_is_a_warning_and_the_pod_runs(annotations: dict[str, str], message: str) -> None:
    found = app_metrics(annotations, SPEC)
    assert found.variable == ""
    assert message in found.warnings[0]
    injection = judge({"metadata": {"annotations": annotations}, "spec": SPEC}, ENABLED)
    assert injection.warnings == found.warnings
    assert injection.patch


def test_without_any_port_there_is_nowhere_to_ask() -> None:
    assert "'' is not a port" in app_metrics(said(scrape="true"), {"containers": [{"name": "a"}]}).warnings[0]


def test_prometheus_is_sent_to_the_sidecar_unless_the_pod_is_not_scraped() -> None:
    ours = said(scrape="true", port="15020", path="/stats/prometheus")
    assert turned_to_sidecar({}) == turned_to_sidecar(said(scrape="true", port="80")) == ours
    assert turned_to_sidecar(said(scheme="https")) == {**ours, **said(scheme="http")}
    assert turned_to_sidecar(said(scrape="false")) == {}
