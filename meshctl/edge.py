"""Who talks to whom, and what protects it, from the metrics of sidecars (pure).

The called sidecar knows for certain (`connection_security_policy`). The calling one knows whose certificate
it has verified, if any (`destination_principal`), and is asked where the called pod has no sidecar.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from meshctl.demo.samples import Samples

COUNTERS = {
    "istio_requests_total": "requests",
    "istio_tcp_connections_opened_total": "connections",
    "istio_tcp_sent_bytes_total": "bytes",
    "istio_tcp_received_bytes_total": "bytes",
}
"""What is counted, by metric. Long connections are seen by their bytes."""
MUTUAL_TLS, PLAINTEXT = "mutual_tls", "none"
UNKNOWN = "unknown"
_LABELS = (
    "reporter",
    "source_workload_namespace",
    "source_workload",
    "source_principal",
    "destination_workload_namespace",
    "destination_workload",
    "destination_principal",
    "destination_service",
    "connection_security_policy",
)
_ANONYMOUS = "(no sidecar)"


class Edge(NamedTuple):
    """One direction between two workloads, `namespace/name`, as far as something protects it or not."""

    source: str
    destination: str
    secured: str
    """`mutual_tls` or `none`."""


class _Series(NamedTuple):
    """Values of `_LABELS`, and the unit."""

    reporter: str
    source_namespace: str
    source: str
    source_principal: str
    destination_namespace: str
    destination: str
    destination_principal: str
    service: str
    policy: str
    unit: str


Readings = Mapping[_Series, int]


def readings(samples: Samples) -> Readings:
    """The counters of one sidecar."""
    found: Counter[_Series] = Counter()
    for metric, unit in COUNTERS.items():
        for labels, value in samples.grouped(metric, *_LABELS).items():
            found[_Series._make((*labels, unit))] += value
    return found


def since(before: Readings, after: Readings) -> Readings:
    """What was counted in between; of a sidecar that started again meanwhile, all of it."""
    grown = {
        series: value - (before.get(series, 0) if value >= before.get(series, 0) else 0)
        for series, value in after.items()
    }
    return {series: value for series, value in grown.items() if value}


def edges(sidecars: Iterable[Readings]) -> dict[Edge, Counter[str]]:
    """Every edge with what was counted of it, by unit. What both ends have counted is taken from the called
    one."""
    told: dict[str, dict[Edge, Counter[str]]] = {"source": {}, "destination": {}}
    for one in sidecars:
        for series, value in one.items():
            of_edge = told.setdefault(series.reporter, {}).setdefault(_edge(series), Counter())
            of_edge[series.unit] += value
    called = told["destination"]
    pairs = {(edge.source, edge.destination) for edge in called}
    more = {e: count for e, count in told["source"].items() if (e.source, e.destination) not in pairs}
    return dict(sorted({**called, **more}.items()))


def _edge(series: _Series) -> Edge:
    source = _name(series.source_namespace, series.source, series.source_principal)
    destination = _name(series.destination_namespace, series.destination, series.destination_principal)
    if destination == _ANONYMOUS and series.service not in ("", UNKNOWN):
        destination = series.service
    if series.reporter == "source":
        is_proved = series.destination_principal not in ("", UNKNOWN)
        return Edge(source, destination, MUTUAL_TLS if is_proved else PLAINTEXT)
    return Edge(source, destination, series.policy)


def _name(namespace: str, workload: str, principal: str) -> str:
    if workload not in ("", UNKNOWN):
        return f"{namespace}/{workload}"
    return principal if principal not in ("", UNKNOWN) else _ANONYMOUS


def edge_rows(found: Mapping[Edge, Counter[str]]) -> list[list[str]]:
    """Under titles; without what nothing was counted of."""
    rows = [["SRC", "DST", "SECURED", "SEEN"]]
    for edge, count in found.items():
        seen = ", ".join(f"{number} {unit}" for unit, number in sorted(count.items(), reverse=True) if number)
        rows.append([edge.source, edge.destination, edge.secured, seen])
    return rows
