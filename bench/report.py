"""A run as text (pure): the terminal's table and RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.result import Measurement, Report, Side
from bench.statistic import ratio, spread

_HEAD = ("case", "what", "side", "median", "min – max", "unit", "to Envoy")


@dataclass(frozen=True, slots=True)
class Target:
    """What the project set itself."""

    key: str
    what: str
    must: float
    aim: float
    at_least: bool
    """Else at most."""


RATIO_TARGETS = (
    Target("http1_one_hop", "one hop, worst small shape", 1.5, 2.2, True),
    Target("http1_one_hop_get_1m", "one hop, 1 MiB", 1.0, 1.0, True),
    Target("http1_two_hops_mtls", "two hops mTLS, worst small shape", 1.5, 2.0, True),
    Target("http1_two_hops_mtls_get_1m", "two hops mTLS, 1 MiB", 1.0, 1.0, True),
    Target("new_mtls_connections", "new mTLS connections, full handshake", 0.35, 0.7, True),
    Target("resumed_mtls_connections", "new mTLS connections, resumed", 0.7, 1.0, True),
    Target("added_p99_two_hops_mtls", "added p99 at 1,000 rps, two hops mTLS", 1.0, 1.0, False),
    Target("cpu_ms_per_request_1000rps", "CPU per request at 1,000 rps", 1.0, 0.6, False),
    Target("l4_mtls_cpu_per_gb", "CPU per GB relayed through mTLS", 1.5, 1.0, False),
)
FIGURE_TARGETS = (
    Target("added_p99_ms_two_hops_mtls", "added p99 at 1,000 rps, two hops mTLS (ms)", 1.5, 1.0, False),
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
        rows = list(_rows([one for one in report.measurements if one.workload == workload]))
        parts.append(f"{workload}\n{_aligned([_HEAD, *rows])}")
    parts.append("against the targets\n" + _aligned([_TARGET_HEAD, *_target_rows(report)]))
    parts.extend(f"note: {note}" for note in report.notes)
    return "\n\n".join(parts)


def markdown(report: Report) -> str:
    """RESULTS.md."""
    lines = ["# Results", "", "Written by `make bench`; ratios are ours ÷ Envoy's in the same run.", ""]
    lines += ["## Against the targets", "", *_table(_TARGET_HEAD, _target_rows(report)), ""]
    for workload in _workloads(report.measurements):
        rows = _rows([one for one in report.measurements if one.workload == workload])
        lines += [f"## {workload}", "", *_table(_HEAD, rows), ""]
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
    verdict = "missed"
    if _reaches(value, target.must, target.at_least):
        verdict = "aim reached" if _reaches(value, target.aim, target.at_least) else "must reached"
    return (
        target.what,
        f"{value:.3g}{times}",
        f"{sign} {target.must:g}{times}",
        f"{sign} {target.aim:g}{times}",
        verdict,
    )


def _reaches(value: float, bound: float, at_least: bool) -> bool:
    return value >= bound if at_least else value <= bound


def _workloads(measurements: Iterable[Measurement]) -> Sequence[str]:
    return list(dict.fromkeys(one.workload for one in measurements))


def _rows(measurements: Sequence[Measurement]) -> Iterable[tuple[str, ...]]:
    envoy = {(one.case, one.metric): one for one in measurements if one.side == Side.ENVOY.value}
    for one in measurements:
        seen = spread(one.samples)
        yield (
            one.case,
            one.metric,
            one.side,
            _number(seen.median),
            f"{_number(seen.low)} – {_number(seen.high)}",
            one.unit,
            _to_envoy(one, envoy),
        )


def _to_envoy(one: Measurement, envoy: Mapping[tuple[str, str], Measurement]) -> str:
    other = envoy.get((one.case, one.metric))
    if other is None or other is one or one.unit == "share" or spread(other.samples).median <= 0.0:
        return ""
    return f"{ratio(one.samples, other.samples):.2f}×"


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
