"""How large the ReplicaSets of a Deployment shall be now (pure): a step of a rollout, or a new size shared.

The arithmetic of Kubernetes' deployment controller. Answers are sizes by name of ReplicaSet, only of those
that change; the next step is worked out when these have happened.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from control_plane.resources.deployment import Deployment, RollingUpdate
from control_plane.resources.replica_set import ReplicaSet
from lab.controllers.revision import MOST, by_age, desired_of

Sizes = Mapping[str, int]


class Limits(NamedTuple):
    """How far a rollout may leave the wanted number of Pods."""

    surge: int
    """Above it."""
    unavailable: int
    """Below it, counting those that are available."""


def limits(deployment: Deployment) -> Limits:
    """As numbers; at least one is positive, else nothing could ever move. None for `Recreate`."""
    if deployment.spec.strategy.type == "Recreate":
        return Limits(0, 0)
    rolling, wanted = deployment.spec.strategy.rolling_update or RollingUpdate(), deployment.spec.replicas
    surge = _amount(rolling.max_surge, wanted, math.ceil)
    unavailable = _amount(rolling.max_unavailable, wanted, math.floor)
    if not surge and not unavailable:
        unavailable = 1
    return Limits(surge, min(unavailable, wanted))


def most(deployment: Deployment) -> int:
    """Pods that there may be in all."""
    return deployment.spec.replicas + limits(deployment).surge


def _amount(value: int | str, of: int, rounded: Callable[[float], int]) -> int:
    return value if isinstance(value, int) else rounded(of * int(value.removesuffix("%")) / 100)


def total(sets: Sequence[ReplicaSet]) -> int:
    """Pods that they ask for."""
    return sum(one.spec.replicas for one in sets)


def new_size(deployment: Deployment, current: int, all_pods: int) -> int:
    """Of the new ReplicaSet, which asks for `current` of the `all_pods` Pods."""
    wanted = deployment.spec.replicas
    if deployment.spec.strategy.type == "Recreate" or current >= wanted:
        return wanted
    room = most(deployment) - all_pods
    return current + max(0, min(room, wanted - current))


def rolling_step(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> Sizes:
    """First up, as far as there is room; then down, as far as enough stay available."""
    size = new_size(deployment, new.spec.replicas, total([new, *old]))
    if size != new.spec.replicas:
        return {new.metadata.name: size}
    return _scale_down(deployment, new, old)


def _scale_down(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> Sizes:
    least = deployment.spec.replicas - limits(deployment).unavailable
    new_missing = new.spec.replicas - new.status.available_replicas
    spare = total([new, *old]) - least - new_missing
    if spare <= 0:
        return {}
    sizes = {one.metadata.name: one.spec.replicas for one in by_age(old) if one.spec.replicas}
    useful = {one.metadata.name: one.status.available_replicas for one in old}
    _take(sizes, {name: size - useful[name] for name, size in sizes.items()}, spare)  # who serve nobody
    available = sum(one.status.available_replicas for one in (new, *old))
    _take(sizes, dict(sizes), available - least)
    before = {one.metadata.name: one.spec.replicas for one in old}
    return {name: size for name, size in sizes.items() if size != before[name]}


def _take(sizes: dict[str, int], dispensable: Mapping[str, int], amount: int) -> None:
    """Reduce `sizes` in their order by `amount` in all, each by no more than is dispensable."""
    for name, most_of_it in dispensable.items():
        taken = max(0, min(amount, most_of_it, sizes[name]))
        sizes[name] -= taken
        amount -= taken


def recreate_step(old: Sequence[ReplicaSet]) -> Sizes:
    """All that is old goes first."""
    return {one.metadata.name: 0 for one in old if one.spec.replicas}


def is_scaling(deployment: Deployment, sets: Sequence[ReplicaSet]) -> bool:
    """The Deployment's size was changed since its ReplicaSets were scaled last."""
    active = (one for one in sets if one.spec.replicas)
    return any(desired_of(one) not in (None, deployment.spec.replicas) for one in active)


def is_saturated(deployment: Deployment, new: ReplicaSet | None) -> bool:
    """The new ReplicaSet alone is all that is wanted."""
    wanted = deployment.spec.replicas
    return (
        new is not None
        and new.spec.replicas == wanted == new.status.available_replicas
        and desired_of(new) == wanted
    )


def shared(deployment: Deployment, new: ReplicaSet | None, sets: Sequence[ReplicaSet]) -> Sizes:
    """The Deployment's size, spread over its ReplicaSets in proportion when it is changed mid-rollout."""
    active = [one for one in by_age(sets) if one.spec.replicas]
    if len(active) <= 1:
        only = active[0] if active else new or (by_age(sets)[-1] if sets else None)
        wanted = deployment.spec.replicas
        return {only.metadata.name: wanted} if only is not None and only.spec.replicas != wanted else {}
    if is_saturated(deployment, new):
        return {one.metadata.name: 0 for one in active if one is not new}
    if deployment.spec.strategy.type == "Recreate":
        return {}
    return _in_proportion(deployment, active)


def _in_proportion(deployment: Deployment, active: Sequence[ReplicaSet]) -> Sizes:
    allowed = most(deployment) if deployment.spec.replicas else 0
    present = total(active)
    left = allowed - present
    # The largest first; of equal ones the newest grows and the oldest shrinks.
    aged = list(reversed(active)) if left > 0 else list(active)
    ordered = sorted(aged, key=lambda one: -one.spec.replicas)
    sizes = {}
    for one in ordered:
        share = _share(one, deployment, allowed, left)
        sizes[one.metadata.name] = one.spec.replicas + share
        left -= share
    first = ordered[0].metadata.name
    sizes[first] = max(0, sizes[first] + left)
    return sizes


def _share(one: ReplicaSet, deployment: Deployment, allowed: int, left: int) -> int:
    """What of `left` (negative: to be taken away) falls to one ReplicaSet."""
    if not left or not one.spec.replicas:
        return 0
    if not deployment.spec.replicas:
        return -one.spec.replicas
    annotated = one.metadata.annotations.get(MOST, "")
    before = int(annotated) if annotated.isdecimal() and int(annotated) else total([one])
    fair = math.floor(one.spec.replicas * allowed / before + 0.5) - one.spec.replicas
    return min(fair, left) if left > 0 else max(fair, left)
