"""Writes `docs/traffic.md` from the cases: `python -m tests.parity.table`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.parity import document
from tests.parity.case import Case
from tests.parity.suite import ABSENT, CASES, ELSEWHERE, ROWS

PATH = Path(__file__).resolve().parents[2] / "docs" / "traffic.md"
_HEAD = """# Traffic features and their tests

Written by `python -m tests.parity.table` from the cases of `tests/parity`; do not edit. `make test-parity`
runs every case on two data planes that the same control plane configures: our sidecar and stock Envoy 1.40.
What a client and an upstream see must be as expected, and the same on both; where it is not,
[the page on differences](parity.md) says why.

| row | feature | resource and field | case | meshproxy | Envoy |
|---|---|---|---|---|---|
"""


def text() -> str:
    """The page."""
    lines = [line for row, feature in ROWS.items() for line in _lines(row, feature)]
    return _HEAD + "".join(f"{line}\n" for line in lines)


def _lines(row: str, feature: str) -> Iterator[str]:
    differing = document.allowed(document.PATH.read_text()).cases
    for case in (case for case in CASES if row in case.rows):
        envoy = "[differs](parity.md)" if case.name in differing else "same"
        yield f"| {row} | {feature} | {_settings(case)} | `{case.name}` | as expected | {envoy} |"
    if row in ELSEWHERE:
        yield f"| {row} | {feature} | | `{ELSEWHERE[row]}` | tested there | |"
    if row in ABSENT:
        yield f"| {row} | {feature} | {ABSENT[row]} | absent | | |"


def _settings(case: Case) -> str:
    kinds: dict[str, list[str]] = {}
    for setting in case.exercises:
        kind, path = setting.split(" ", 1)
        kinds.setdefault(kind, []).append(f"`{path}`")
    return (
        "; ".join(f"{kind} {', '.join(paths)}" for kind, paths in kinds.items()) or "Service, EndpointSlice"
    )


if __name__ == "__main__":
    PATH.write_text(text())
