"""Prometheus text as samples that can be summed and grouped (pure)."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one time."""

    name: str
    labels: dict[str, str]
    value: float


class Samples:
    """One scrape."""

    def __init__(self, text: str) -> None:
        """`text`: the Prometheus text format. Raises ValueError for a line that is none."""
        self._samples = [_sample(line) for line in text.splitlines() if line and not line.startswith("#")]

    def total(self, name: str, **labels: str) -> float:
        """Sum of the series of `name` that have these labels."""
        return sum(sample.value for sample in self._select(name, labels))

    def grouped(self, name: str, *by: str, **labels: str) -> Counter[tuple[str, ...]]:
        """As `total`, by the values of the labels `by`; groups of zero are left out."""
        groups: Counter[tuple[str, ...]] = Counter()
        for sample in self._select(name, labels):
            if sample.value:
                groups[tuple(sample.labels.get(label, "") for label in by)] += int(sample.value)
        return groups

    def _select(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        for sample in self._samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                yield sample


def _sample(line: str) -> Sample:
    match = _SAMPLE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a line of Prometheus text: {line[:120]!r}")
    labels = {name: _unescape(value) for name, value in _LABEL.findall(match[2] or "")}
    return Sample(match[1], labels, float(match[3]))


def _unescape(value: str) -> str:
    return re.sub(r'\\[n"\\]', lambda found: _ESCAPES[found[0]], value) if "\\" in value else value
