"""Reads `docs/parity.md`: what may differ between the data planes, with the reason for each (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).resolve().parents[2] / "docs" / "parity.md"
_ROW = re.compile(r"\| `([^`]+)` \| (.+) \|")
_CASE = re.compile(r"\| `([^`]+)` \| (`[^|]+`) \| (.+) \|")


@dataclass(frozen=True)
class Allowed:
    response_headers: frozenset[str]
    request_headers: frozenset[str]
    cases: Mapping[str, tuple[str, ...]]
    """Case -> what may differ in it: each difference must hold one of these words."""

    def explains(self, case: str, difference: str) -> bool:
        return any(word in difference for word in self.cases.get(case, ()))


def allowed(text: str) -> Allowed:
    """The first column of the tables under the three headings. Raises ValueError when one is missing."""
    return Allowed(
        _names(text, "Response headers that may differ"),
        _names(text, "Request headers that may differ"),
        {row[1]: tuple(re.findall("`([^`]+)`", row[2])) for row in _rows(text, "Cases that differ", _CASE)},
    )


def _names(text: str, heading: str) -> frozenset[str]:
    return frozenset(row[1] for row in _rows(text, heading, _ROW))


def _rows(text: str, heading: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    found = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{PATH}: there is no heading {heading!r}")
    return (row for line in found[1].splitlines() if (row := pattern.fullmatch(line)))
