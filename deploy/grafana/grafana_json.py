"""A dashboard as the JSON that Grafana (9 and later) imports (pure)."""

import json
from collections.abc import Mapping

from deploy.grafana.panel import Dashboard, Panel, Row, Shape, Variable

_SCHEMA_VERSION = 38
_WIDTH = 24
"""Grafana's grid."""
_SOURCE = {"type": "prometheus", "uid": "$datasource"}
_SIZES = {Shape.NUMBER: (4, 4), Shape.LINES: (8, 8)}
"""Width and height."""


def text_of(dashboard: Dashboard) -> str:
    """The file's content; the same for the same dashboard."""
    return json.dumps(json_of(dashboard), indent=2) + "\n"


def json_of(dashboard: Dashboard) -> Mapping[str, object]:
    """Of a dashboard that any Prometheus data source serves: which one is a choice at its top."""
    return {
        "uid": dashboard.uid,
        "title": f"meshproxy / {dashboard.title}",
        "tags": ["meshproxy"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "meshproxy",
                "tags": ["meshproxy"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": [_data_source(), *map(_variable, dashboard.variables)]},
        "panels": _panels(dashboard),
    }


def _data_source() -> Mapping[str, object]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> Mapping[str, object]:
    query = f"label_values({variable.metric}, {variable.label})"
    return {
        "name": variable.name,
        "label": variable.name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": variable.name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
    }


def _panels(dashboard: Dashboard) -> list[Mapping[str, object]]:
    made: list[Mapping[str, object]] = []
    top = 0
    for row in dashboard.rows:
        made.append(_heading(row, len(made) + 1, top))
        top += 1
        left = height = 0
        for panel in row.panels:
            width, tall = _SIZES[panel.shape]
            if left + width > _WIDTH:
                left, top, height = 0, top + height, 0
            made.append(_panel(panel, len(made) + 1, {"x": left, "y": top, "w": width, "h": tall}))
            left, height = left + width, max(height, tall)
        top += height
    return made


def _heading(row: Row, number: int, top: int) -> Mapping[str, object]:
    place = {"x": 0, "y": top, "w": _WIDTH, "h": 1}
    return {
        "id": number,
        "type": "row",
        "title": row.title,
        "collapsed": False,
        "gridPos": place,
        "panels": [],
    }


def _panel(panel: Panel, number: int, place: Mapping[str, int]) -> Mapping[str, object]:
    return {
        "id": number,
        "type": panel.shape.value,
        "title": panel.title,
        "description": panel.tells,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit.value, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend or "__auto",
            }
            for index, query in enumerate(panel.queries)
        ],
    }
