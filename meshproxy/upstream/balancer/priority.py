"""Which priority takes how much (pure), to the percent as Envoy computes it.

A priority has all its traffic while its fit share times the overprovisioning factor is 100 %; what it cannot
take goes to the next; degraded endpoints come after the fit ones of every priority. When all together are
worth less than 100 % their shares are scaled up. A priority whose fit share is below the panic threshold is
in panic, unless all of them together are worth 100 %: then traffic has somewhere to go. With all of them in
panic each takes its share of the endpoints. Mirrors `Cluster.CommonLbConfig.healthy_panic_threshold` and
`ClusterLoadAssignment.Policy.overprovisioning_factor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """How many endpoints one priority has, the excluded ones not counted."""

    total: int
    fit: int
    degraded: int = 0


@dataclass(frozen=True, slots=True)
class PriorityPlan:
    """Whole percentages; `fit` and `degraded` add up to 100 together (all 0: nobody can take anything)."""

    fit: tuple[int, ...]
    degraded: tuple[int, ...]
    in_panic: tuple[bool, ...]
    """Of each priority: use every endpoint, fit or not."""


def plan(levels: Sequence[Level], panic_threshold: float, overprovisioning_percent: int) -> PriorityPlan:
    """What each of `levels`, from priority 0, takes."""
    fit_worth = [_worth(level.fit, level.total, overprovisioning_percent) for level in levels]
    degraded_worth = [_worth(level.degraded, level.total, overprovisioning_percent) for level in levels]
    worth = min(100, sum(fit_worth) + sum(degraded_worth))
    in_panic = tuple(worth < 100 and _is_in_panic(level, panic_threshold) for level in levels)
    nothing = (0,) * len(levels)
    if in_panic and all(in_panic):
        return PriorityPlan(_by_size(levels), nothing, in_panic)
    if not worth:
        return PriorityPlan(nothing, nothing, in_panic)
    loads = _distribute([*fit_worth, *degraded_worth], worth)
    return PriorityPlan(loads[: len(levels)], loads[len(levels) :], in_panic)


def _worth(count: int, total: int, overprovisioning_percent: int) -> int:
    return min(100, overprovisioning_percent * count // total) if total else 0


def _is_in_panic(level: Level, threshold: float) -> bool:
    share = 100.0 * (level.fit + level.degraded) / level.total if level.total else 0.0
    return share < threshold


def _distribute(worth: Sequence[int], total: int) -> tuple[int, ...]:
    """100 % in order of `worth`, each at most its own; the first worth anything gets what rounding leaves."""
    left, loads = 100, []
    for one in worth:
        load = min(left, one * 100 // total)
        loads.append(load)
        left -= load
    loads[next(index for index, one in enumerate(worth) if one)] += left
    return tuple(loads)


def _by_size(levels: Sequence[Level]) -> tuple[int, ...]:
    """Total panic: by number of endpoints; the first that has any takes what rounding leaves."""
    sizes = [level.total for level in levels]
    return _distribute(sizes, sum(sizes)) if any(sizes) else (0,) * len(levels)
