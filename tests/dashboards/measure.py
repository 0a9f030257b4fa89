"""What a panel should show, and whether what it shows is that (pure)."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshproxy.telemetry.names import HISTOGRAM_BOUNDS

Labels = frozenset[tuple[str, str]]
Series = Mapping[Labels, float]
"""What a query gave."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that is known within limits."""

    low: float
    high: float

    def agrees(self, value: float) -> bool:
        """Whether it may be this."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:.6g} to {self.high:.6g}"


Expected = Mapping[Labels, Measure]
NOTHING: Expected = {}
"""Whatever is shown is 0."""


def near(value: float, share: float, least: float = 0.0) -> Measure:
    """`value`, give or take a share of it, at least `least`."""
    slack = max(abs(value) * share, least)
    return Measure(value - slack, value + slack)


def exactly(value: float) -> Measure:
    """But for the last bits."""
    return near(value, 1e-9, 1e-9)


def only(measure: Measure) -> Expected:
    """One series without labels."""
    return {frozenset(): measure}


def labels(**values: str) -> Labels:
    """Of one series."""
    return frozenset(values.items())


def of_quantile(
    latencies: Sequence[float],
    fraction: float,
    bounds: Sequence[float] = HISTOGRAM_BOUNDS,
    *,
    least: bool = True,
) -> Measure:
    """Where a histogram's quantile lies whose observations are a little below `latencies`.

    A histogram only knows its buckets: up to the upper end of the one in which the quantile is, and from the
    lower end of the one in which a third of it is; from 0 where nothing is known from below. One latency in
    fifty may be long because who took it had to wait for the processor: nobody else saw that.
    """
    ordered = sorted(latencies)
    exact, surely = (ordered[max(0, math.ceil(at * len(ordered)) - 1)] for at in (fraction, fraction - 0.02))
    edges = (0.0, *bounds)
    low = edges[bisect_left(bounds, surely / 3)] if least else 0.0
    return Measure(low, edges[min(bisect_left(bounds, exact * 1.2) + 1, len(edges) - 1)])


@dataclass(frozen=True, slots=True)
class Verdict:
    """About one panel."""

    is_empty: bool = False
    wrong: tuple[str, ...] = ()


def compare(expected: Expected, shown: Series) -> Verdict:
    """Every series that is expected must be there; one that is not may only be 0, as what once was is."""
    numbers = {key: value for key, value in shown.items() if not math.isnan(value)}
    if not numbers:
        return Verdict(is_empty=True)
    wrong = [
        f"{_told(key)}: shows {numbers[key]:.6g}, should be {measure}"
        if key in numbers
        else f"{_told(key)}: is missing, should be {measure}"
        for key, measure in expected.items()
        if key not in numbers or not measure.agrees(numbers[key])
    ]
    wrong += [
        f"{_told(key)}: shows {value:.6g}, and should not be there"
        for key, value in numbers.items()
        if key not in expected and value
    ]
    return Verdict(wrong=tuple(wrong))


def _told(key: Labels) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(key)) or "the value"
