"""Which share of our requests stays in our own locality (pure), as Envoy's zone aware routing computes it.

Every locality of our own cluster sends evenly. When our locality's share of the upstream endpoints is at
least its share of ours, they can take all we send. Otherwise they take what fits, and the rest goes to the
localities that have room left, in proportion to the room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshproxy.config.load_balancing import LocalCluster, Locality


@dataclass(frozen=True, slots=True)
class ZonePlan:
    """Weights that need not add up to anything."""

    local: float
    """Share kept in our locality, from 0 to 1."""
    room: tuple[tuple[Locality, float], ...]
    """The other localities and how much the rest of the requests each gets in proportion."""


def plan(upstream: Mapping[Locality, int], local: LocalCluster, min_cluster_size: int) -> ZonePlan | None:
    """`upstream`: fit endpoints by locality. None: zones mean nothing here, all endpoints are alike.

    That is so with fewer than `min_cluster_size` fit ones, with only one locality here or there, and with
    none of them, or nobody of ours, in our own locality.
    """
    there = {locality: count for locality, count in upstream.items() if count}
    ours = {locality: count for locality, count in local.fit.items() if count}
    home = local.locality
    if len(there) < 2 or len(ours) < 2 or home not in there or home not in ours:
        return None
    if sum(there.values()) < min_cluster_size:
        return None
    has = {locality: count / sum(there.values()) for locality, count in there.items()}
    sends = {locality: count / sum(ours.values()) for locality, count in ours.items()}
    if has[home] >= sends[home]:
        return ZonePlan(1.0, ())
    room = [(one, share - sends.get(one, 0.0)) for one, share in has.items() if one != home]
    return ZonePlan(has[home] / sends[home], tuple((one, free) for one, free in room if free > 0))
