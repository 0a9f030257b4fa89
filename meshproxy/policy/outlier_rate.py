"""Whose success rate is out of line (pure): the statistics of outlier detection.

Success rate compares an endpoint with the others of its cluster: it is out of line when it lies more than so
many deviations below their mean, so a cluster that fails everywhere ejects nobody. Failure percentage
compares it with a fixed number. Both look at one interval and need volume: enough requests of an endpoint,
and enough such endpoints. Mirrors `envoy.config.cluster.v3.OutlierDetection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True, slots=True)
class Volume:
    """One endpoint's interval."""

    total: int
    successes: int

    @property
    def rate(self) -> float:
        """Percentage of successes; of at least one request."""
        return 100.0 * self.successes / self.total


def below_the_others(
    volumes: Sequence[Volume], minimum_hosts: int, request_volume: int, stdev_factor: int
) -> list[int]:
    """Indices whose rate is more than `stdev_factor` thousandths of a standard deviation below the mean."""
    judged = _with_volume(volumes, minimum_hosts, request_volume)
    if not judged:
        return []
    rates = [volumes[index].rate for index in judged]
    mean = sum(rates) / len(rates)
    deviation = sqrt(sum((rate - mean) ** 2 for rate in rates) / len(rates))
    threshold = mean - deviation * stdev_factor / 1000
    return [index for index, rate in zip(judged, rates, strict=True) if rate < threshold]


def failing_too_often(
    volumes: Sequence[Volume], minimum_hosts: int, request_volume: int, threshold: int
) -> list[int]:
    """Indices that fail in at least `threshold` percent."""
    judged = _with_volume(volumes, minimum_hosts, request_volume)
    return [index for index in judged if 100.0 - volumes[index].rate >= threshold]


def _with_volume(volumes: Sequence[Volume], minimum_hosts: int, request_volume: int) -> list[int]:
    """Indices of those that had enough requests; none when they are too few to judge."""
    found = [index for index, volume in enumerate(volumes) if volume.total >= max(request_volume, 1)]
    return found if len(found) >= minimum_hosts else []
