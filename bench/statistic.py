"""Medians, percentiles and ratios (pure): what every printed figure is made with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """What repeated samples of one figure say."""

    median: float
    low: float
    high: float


def spread(samples: Sequence[float]) -> Spread:
    """Median, minimum and maximum. Raises ValueError for no samples."""
    if not samples:
        raise ValueError("no samples: the workload measured nothing")
    return Spread(statistics.median(samples), min(samples), max(samples))


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least `percent` % of `values` do not exceed (nearest rank).

    No interpolation: a printed latency is one that was seen. Raises ValueError for no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values: the workload measured nothing")
    if not 0.0 < percent <= 100.0:
        raise ValueError(f"percentile {percent}: must be above 0 and at most 100")
    rank = math.ceil(percent / 100.0 * len(ordered))
    return ordered[rank - 1]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of ours divided by the median of theirs.

    Raises ValueError when theirs is not positive: there is nothing to compare with.
    """
    divisor = spread(theirs).median
    if divisor <= 0.0:
        raise ValueError(f"a ratio to {divisor} says nothing: the other side did no work")
    return spread(ours).median / divisor


def harmonic_sum_rate(rates: Sequence[float]) -> float:
    """The rate at which all of several steps get done one after the other, from the rate of each."""
    return 1.0 / sum(1.0 / rate for rate in rates)
