"""A run as text (pure): the terminal's table and RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.result import MESHES, Measurement, Report
from bench.statistic import ratio, spread

_NOT_COMPARED = ("share", "count")
"""Units of which a ratio would say nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the project set itself."""

    key: str
    what: str
    must: float | None
    """None: only an aim."""
    aim: float
    at_least: bool
    """Else at most."""


RATIO_TARGETS = (
    Target("http1_one_hop", "one hop, worst small shape", 1.5, 2.2, True),
    Target("http1_one_hop_get_1m", "one hop, 1 MiB", 1.0, 1.0, True),
    Target("http1_two_hops_mtls", "two hops mTLS, worst small shape", 1.5, 2.0, True),
    Target("http1_two_hops_mtls_get_1m", "two hops mTLS, 1 MiB", 1.0, 1.0, True),
    Target("http1_one_hop_routes", "one hop, 50 rules, header matches, edited heads", 1.3, 1.3, True),
    Target("http1_two_hops_mtls_routes", "two hops mTLS, 50 rules, likewise", 1.3, 1.3, True),
    Target("http2_one_hop", "HTTP/2 and gRPC, one hop, the worse", 0.5, 1.0, True),
    Target("http2_two_hops_mtls", "HTTP/2 and gRPC, two hops mTLS, the worse", 0.5, 1.0, True),
    Target("grpc_stream_1g", "gRPC server streaming of 1 GiB, two hops mTLS", 0.5, 1.0, True),
    Target("grpc_p99_1000rps", "gRPC p99 at 1,000 rps, two hops mTLS", 1.0, 1.0, False),
    Target("new_mtls_connections", "new mTLS connections, full handshake", 0.35, 0.7, True),
    Target("resumed_mtls_connections", "new mTLS connections, resumed", 0.7, 1.0, True),
    Target("added_p99_two_hops_mtls", "added p99 at 1,000 rps, two hops mTLS", 1.0, 1.0, False),
    Target("cpu_ms_per_request_1000rps", "CPU per request at 1,000 rps", 1.0, 0.6, False),
    Target("l4_mtls_cpu_per_gb", "CPU per GB relayed through mTLS", 1.5, 1.0, False),
)
FIGURE_TARGETS = (
    Target("added_p99_ms_two_hops_mtls", "added p99 at 1,000 rps, two hops mTLS (ms)", None, 1.0, False),
    Target("rss_mb_100_services", "memory after load, 100 services (MB)", 60.0, 45.0, False),
    Target("loop_stall_max_ms", "longest stall of the event loop (ms)", 50.0, 10.0, False),
    Target("start_to_ready_s_500m", "start to ready with 500m CPU (s)", 3.0, 1.5, False),
    Target(
        "put_to_effect_p99_ms_100_sidecars", "PUT to effect at the last of 100, p99 (ms)", 500, 150, False
    ),
    Target("concurrency_2_to_1", "two workers to one, both cores free", 1.6, 1.6, True),
)


def terminal(report: Report) -> str:
    """Everything that was measured, and where it stands against the targets."""
    parts = []
    for workload in _workloads(report.measurements):
        parts.append(f"{workload}\n{_aligned(_pivot(report.measurements, workload))}")
    if rows := list(_target_rows(report)):
        parts.append("against the targets\n" + _aligned([_TARGET_HEAD, *rows]))
    parts.extend(f"note: {note}" for note in report.notes)
    return "\n\n".join(parts)


def markdown(report: Report) -> str:
    """RESULTS.md."""
    lines = ["# Results", "", "Written by `make bench`; ratios are ours ÷ Envoy's in the same run.", ""]
    lines += ["## Against the targets", "", *_table(_TARGET_HEAD, _target_rows(report)), ""]
    for workload in _workloads(report.measurements):
        head, *rows = _pivot(report.measurements, workload)
        lines += [f"## {workload}", "", *_table(head, rows), ""]
    lines += ["## Ratios and figures", ""]
    values = [*report.ratios.items(), *report.figures.items()]
    lines += [*_table(("key", "value"), [(f"`{key}`", f"{value:.4g}") for key, value in values]), ""]
    if report.notes:
        lines += ["## Notes", "", *(f"- {note}" for note in report.notes), ""]
    lines += ["## Conditions", "", *_table(("what", "value"), report.conditions.items()), ""]
    return "\n".join(lines)


# --- rows ---------------------------------------------------------------------------------------------------

_TARGET_HEAD = ("what", "measured", "must", "aim", "")


def _target_rows(report: Report) -> Iterable[tuple[str, ...]]:
    for targets, values, times in ((RATIO_TARGETS, report.ratios, "×"), (FIGURE_TARGETS, report.figures, "")):
        for target in targets:
            if target.key in values:
                yield _target_row(target, values[target.key], times)


def _target_row(target: Target, value: float, times: str) -> tuple[str, ...]:
    sign = "≥" if target.at_least else "≤"
    must = "" if target.must is None else f"{sign} {target.must:g}{times}"
    return (
        target.what,
        f"{value:.3g}{times}",
        must,
        f"{sign} {target.aim:g}{times}",
        _verdict(target, value),
    )


def _verdict(target: Target, value: float) -> str:
    """A missed aim where there is no must says nothing."""
    if _reaches(value, target.aim, target.at_least):
        return "aim reached"
    if target.must is None:
        return ""
    return "must reached" if _reaches(value, target.must, target.at_least) else "missed"


def _reaches(value: float, bound: float, at_least: bool) -> bool:
    return value >= bound if at_least else value <= bound


def _workloads(measurements: Iterable[Measurement]) -> Sequence[str]:
    return list(dict.fromkeys(one.workload for one in measurements))


def _pivot(measurements: Iterable[Measurement], workload: str) -> list[tuple[str, ...]]:
    """Head and rows: a row for each case and metric, a column for each side: median (min – max)."""
    mine = [one for one in measurements if one.workload == workload]
    sides = list(dict.fromkeys(one.side for one in mine))
    cells: dict[tuple[str, str, str], dict[str, Measurement]] = {}
    for one in mine:
        cells.setdefault((one.case, one.metric, one.unit), {})[one.side] = one
    rows = [("case", "what", "unit", *sides, "ours ÷ Envoy")]
    for (case, metric, unit), row in cells.items():
        shown = (_cell(row[side]) if side in row else "" for side in sides)
        rows.append((case, metric, unit, *shown, "" if unit in _NOT_COMPARED else _to_envoy(row)))
    return rows


def _cell(one: Measurement) -> str:
    seen = spread(one.samples)
    if len(one.samples) == 1:
        return _number(seen.median)
    return f"{_number(seen.median)} ({_number(seen.low)} – {_number(seen.high)})"


def _to_envoy(row: Mapping[str, Measurement]) -> str:
    ours, theirs = (row.get(side.value) for side in MESHES)
    if ours is None or theirs is None or spread(theirs.samples).median <= 0.0:
        return ""
    return f"{ratio(ours.samples, theirs.samples):.2f}×"


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_line(head), _line(["---"] * len(head)), *(_line(row) for row in rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
