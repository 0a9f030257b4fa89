"""What a run measured, and its JSON (pure). The flat `ratios` and `figures` are what others read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Self, cast

SCHEMA = 1


class Side(Enum):
    """Who is measured. The value is the name that is printed."""

    MESHPROXY = "meshproxy"
    ENVOY = "envoy"
    HAPROXY = "haproxy"
    NGINX = "nginx"
    DIRECT = "direct"


MESHES = (Side.MESHPROXY, Side.ENVOY)
"""The sides that our control plane configures, in the order A B."""


class ResultError(Exception):
    """A result file is not one of this version."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure of one side in one case, sampled several times."""

    workload: str
    case: str
    """Request shape or condition, e.g. `get_64`, `1000rps`."""
    side: str
    metric: str
    """E.g. `requests/s`, `p99 added`."""
    unit: str
    samples: tuple[float, ...]


@dataclass(slots=True)
class Outcome:
    """What one workload hands in."""

    measurements: list[Measurement] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    """Ours divided by Envoy's."""
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What a reader must know to judge the figures, one sentence each."""

    def samples(self, case: str, side: Side, metric: str) -> tuple[float, ...]:
        """Raises KeyError when that was not measured."""
        for one in self.measurements:
            if (one.case, one.side, one.metric) == (case, side.value, metric):
                return one.samples
        raise KeyError(f"{metric} of {side.value} in {case}")


@dataclass(slots=True)
class Report:
    """A whole run."""

    conditions: dict[str, str]
    """Machine, kernel, versions, settings, commit, date: text by name."""
    measurements: list[Measurement] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Raises ValueError when two workloads hand in the same key."""
        for ours, theirs in ((self.ratios, outcome.ratios), (self.figures, outcome.figures)):
            if doubled := ours.keys() & theirs.keys():
                raise ValueError(
                    f"measured twice: {', '.join(sorted(doubled))}; name one of them differently"
                )
            ours.update(theirs)
        self.measurements.extend(outcome.measurements)
        self.notes.extend(outcome.notes)

    def to_json(self) -> str:
        """The file's text: stable order, figures rounded to what they are worth."""
        document = {
            "schema": SCHEMA,
            "conditions": self.conditions,
            "ratios": _rounded(self.ratios),
            "figures": _rounded(self.figures),
            "notes": self.notes,
            "measurements": [
                {**asdict(one), "samples": [_round(sample) for sample in one.samples]}
                for one in self.measurements
            ],
        }
        return json.dumps(document, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ResultError."""
        try:
            document = json.loads(text)
            if document["schema"] != SCHEMA:
                raise ResultError(
                    f"schema {document['schema']!r}, this program reads {SCHEMA}: measure again"
                )
            return cls(
                conditions=cast("dict[str, str]", document["conditions"]),
                measurements=[_measurement(item) for item in document["measurements"]],
                ratios=cast("dict[str, float]", document["ratios"]),
                figures=cast("dict[str, float]", document["figures"]),
                notes=cast("list[str]", document["notes"]),
            )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ResultError(f"not a result of bench: {error!r}") from error


def _measurement(item: Mapping[str, object]) -> Measurement:
    return Measurement(
        workload=str(item["workload"]),
        case=str(item["case"]),
        side=str(item["side"]),
        metric=str(item["metric"]),
        unit=str(item["unit"]),
        samples=tuple(float(sample) for sample in cast("Sequence[float]", item["samples"])),
    )


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: _round(value) for name, value in values.items()}


def _round(value: float) -> float:
    """Four significant digits: the noise is in the second."""
    return float(f"{value:.4g}")
