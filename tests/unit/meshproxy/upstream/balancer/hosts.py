"""Endpoints' live twins as balancers see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from meshproxy.config.load_balancing import Locality
from meshproxy.config.model import Endpoint
from meshproxy.policy.latency import LatencyEstimate
from meshproxy.upstream.balancer.api import Balancer, Fitness, PickContext


class FakeHost:
    """A `Host` without connections."""

    def __init__(self, endpoint: Endpoint, fitness: Fitness = Fitness.FIT, added_at: float = -1e9) -> None:
        self.endpoint = endpoint
        self.fitness = fitness
        self.added_at = added_at
        self.active_requests = 0
        self.latency: LatencyEstimate | None = None

    def __repr__(self) -> str:
        return self.endpoint.address


def hosts(*weights: int) -> list[FakeHost]:
    """One host per weight, at 10.0.0.<index>:80."""
    return [FakeHost(Endpoint(f"10.0.0.{index}", 80, weight)) for index, weight in enumerate(weights)]


def placed(priority: int, zone: str, count: int, fit: int | None = None, weight: int = 1) -> list[FakeHost]:
    """`count` hosts of a priority and a zone, the first `fit` of them fit."""
    fit = count if fit is None else fit
    return [
        FakeHost(
            Endpoint(
                f"10.{priority}.{zone}.{number}",
                80,
                priority=priority,
                locality=Locality(zone=zone),
                locality_weight=weight,
            ),
            Fitness.FIT if number < fit else Fitness.UNFIT,
        )
        for number in range(count)
    ]


def shares(picks: Iterable[FakeHost | None]) -> Counter[str]:
    """How often each address was chosen."""
    return Counter(pick.endpoint.address if pick is not None else "none" for pick in picks)


def pick_many(
    balancer: Balancer[FakeHost], times: int, context: PickContext | None = None, now: float = 0.0
) -> Counter[str]:
    """Shares of so many picks."""
    return shares(balancer.pick(context, (), now) for _ in range(times))


def by_zone(counts: Counter[str]) -> Counter[str]:
    """Shares of zones, from those of `placed` hosts."""
    zones: Counter[str] = Counter()
    for address, count in counts.items():
        zones[address.split(".")[2] if "." in address else address] += count
    return zones
