"""Grafana's dashboards as files."""

import json
import re
from itertools import combinations

import pytest

from control_plane.cache import SnapshotCache
from control_plane.metrics import ControlPlaneMetrics
from deploy.grafana.build import DASHBOARDS, DIRECTORY, files
from deploy.grafana.expression import or_zero, rate
from deploy.grafana.grafana_json import json_of
from deploy.grafana.panel import Dashboard, Panel, Query, Row, Unit
from meshproxy.telemetry import names

_METRIC = re.compile(r"\b((?:istio|meshproxy|pilot|citadel|process)_[a-z_]+)\b(?!\s*=)")
_SUFFIXES = ("_bucket", "_sum", "_count")


def known_metrics() -> set[str]:
    """What sidecars and control plane show."""
    istio = [value.name for name, value in vars(names).items() if name.startswith("ISTIO_")]
    shown = ControlPlaneMetrics(SnapshotCache(), lambda: 0.0).exposition()
    return {*istio, *names.OWN_FAMILIES, *re.findall(r"# TYPE (\S+)", shown)}


def test_the_files_are_what_the_code_makes_of_it():
    assert {path.name for path in DIRECTORY.iterdir()} == {path.name for path in files()}
    for path, text in files().items():
        assert path.read_text() == text, "run: python -m deploy.grafana.build"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_every_metric_is_one_of_ours(dashboard: Dashboard):
    known = known_metrics()
    texts = [query.expression for panel in dashboard.panels for query in panel.queries]
    used = {name for text in texts for name in _METRIC.findall(re.sub(r'"[^"]*"', '""', text))}
    bare = {
        next((name.removesuffix(end) for end in _SUFFIXES if name.removesuffix(end) in known), name)
        for name in used
    }
    assert used
    assert bare <= known


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_panels_lie_beside_each_other(dashboard: Dashboard):
    panels = json.loads(json.dumps(json_of(dashboard)))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for place in (panel["gridPos"] for panel in panels):
        assert place["x"] + place["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_choices_in_queries_are_offered(dashboard: Dashboard):
    texts = [query.expression for panel in dashboard.panels for query in panel.queries]
    used = {name for text in texts for name in re.findall(r"\$([a-z]\w*)", text)}
    assert used == {variable.name for variable in dashboard.variables}


def test_two_panels_of_one_title_are_refused():
    panel = Panel("Requests", "", Unit.COUNT, (Query("1"),))
    with pytest.raises(ValueError, match="more than one panel is called Requests"):
        Dashboard("x", "X", (Row("one", (panel,)), Row("two", (panel,))))


def test_expressions():
    assert rate("m") == "sum(rate(m[$__rate_interval]))"
    assert rate("m", 'a="b"', by=("c", "d")) == 'sum by (c, d) (rate(m{a="b"}[$__rate_interval]))'
    assert or_zero("x") == "x or on() vector(0)"
