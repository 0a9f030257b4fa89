"""From a cluster's settings and endpoints to its balancer (pure).

The order is Envoy's: session, subset, priority, locality, algorithm. What is not configured is left out: one
priority, no localities and no subsets are the algorithm alone, with nothing around it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Generic

from meshproxy.config.load_balancing import Algorithm, LoadBalancing, LocalCluster, Locality, LocalitySpread
from meshproxy.upstream.balancer import priority, slow_start, zone_aware
from meshproxy.upstream.balancer.api import Balancer, Fitness, H, Host
from meshproxy.upstream.balancer.bounded_load import BoundedLoad
from meshproxy.upstream.balancer.changing_turns import ChangingTurns
from meshproxy.upstream.balancer.group import ByChance, ByPercent, ByTurns
from meshproxy.upstream.balancer.least_request import LeastRequest, weight_when_busy
from meshproxy.upstream.balancer.maglev import Maglev
from meshproxy.upstream.balancer.peak_ewma import PeakEwma
from meshproxy.upstream.balancer.random_choice import RandomChoice
from meshproxy.upstream.balancer.ring_hash import RingHash
from meshproxy.upstream.balancer.round_robin import EqualTurns, round_robin
from meshproxy.upstream.balancer.sticky import Sticky
from meshproxy.upstream.balancer.subset import SubsetBalancer

_HASHING = (Algorithm.RING_HASH, Algorithm.MAGLEV)


@dataclass(frozen=True, slots=True)
class Assembled(Generic[H]):
    """What a cluster balances with until its endpoints, their fitness or its settings change."""

    balancer: Balancer[H]
    """For requests without a `PickContext`."""
    directed: Balancer[H]
    """For requests with one: it heeds sessions as well."""
    is_panicking: bool
    """Some requests go to any endpoint because too few are fit."""


def heeds_time(settings: LoadBalancing) -> bool:
    """Whether `pick` looks at `now`."""
    return settings.slow_start is not None or settings.algorithm is Algorithm.PEAK_EWMA


def assemble(
    settings: LoadBalancing,
    hosts: Sequence[H],
    rng: Random,
    now: float,
    panic_threshold: float = 50.0,
    local: LocalCluster | None = None,
) -> Assembled[H]:
    """`hosts`: all of the cluster's, whatever their fitness. Below `panic_threshold` percent of fit ones all
    are used; 0: never. `local` is for zone awareness.
    """
    builder = _Builder(settings, rng, now, panic_threshold, local)
    balancer, is_panicking = builder.by_priority(hosts)
    if settings.subsets is not None:
        balancer = SubsetBalancer(settings.subsets, hosts, lambda some: builder.by_priority(some)[0])
    return Assembled(balancer, Sticky(balancer, hosts), is_panicking)


@dataclass(frozen=True, slots=True)
class _Builder:
    settings: LoadBalancing
    rng: Random
    now: float
    panic_threshold: float
    local: LocalCluster | None

    def by_priority(self, hosts: Sequence[H]) -> tuple[Balancer[H], bool]:
        """(balancer, is any priority that gets requests in panic)."""
        levels: dict[int, list[H]] = {}
        for host in hosts:
            levels.setdefault(host.endpoint.priority, []).append(host)
        members = [levels[number] for number in sorted(levels)]
        plan = priority.plan(
            [_level(level) for level in members],
            self.panic_threshold,
            self.settings.overprovisioning_percent,
        )
        shares = [
            (share, self._of_level(number, level, Fitness.FIT, plan.in_panic[number]))
            for number, (share, level) in enumerate(zip(plan.fit, members, strict=True))
            if share
        ] + [
            (share, self._of_level(number, level, Fitness.DEGRADED, plan.in_panic[number]))
            for number, (share, level) in enumerate(zip(plan.degraded, members, strict=True))
            if share
        ]
        loads = zip(plan.fit, plan.degraded, plan.in_panic, strict=True)
        is_panicking = any(in_panic and fit + degraded for fit, degraded, in_panic in loads)
        if not shares:
            return EqualTurns((), self.rng), is_panicking
        return (shares[0][1] if len(shares) == 1 else ByPercent(shares, self.rng)), is_panicking

    def _of_level(self, number: int, level: Sequence[H], fitness: Fitness, in_panic: bool) -> Balancer[H]:
        if in_panic:
            return self._flat(() if self.settings.fail_on_panic else level)
        some = [host for host in level if host.fitness is fitness]
        if self.settings.algorithm in _HASHING:
            return self._flat(some)  # a locality's weight goes into its endpoints' weights
        if self.settings.locality is LocalitySpread.WEIGHTED:
            return self._by_locality_weight(some, level)
        if self.settings.locality is LocalitySpread.ZONE_AWARE and not number and fitness is Fitness.FIT:
            return self._by_zone(some)
        return self._flat(some)

    def _by_locality_weight(self, some: Sequence[H], level: Sequence[H]) -> Balancer[H]:
        """Each locality by its weight, less what its unfit endpoints cost beyond the overprovisioning."""
        total = Counter(host.endpoint.locality for host in level if host.fitness is not Fitness.EXCLUDED)
        shares = []
        for locality, members in _by_locality(some).items():
            worth = min(1.0, self.settings.overprovisioning_percent / 100 * len(members) / total[locality])
            weight = members[0].endpoint.locality_weight * worth
            if weight > 0:
                shares.append((weight, self._flat(members)))
        return shares[0][1] if len(shares) == 1 else ByTurns(shares, self.rng)

    def _by_zone(self, some: Sequence[H]) -> Balancer[H]:
        members = _by_locality(some)
        sizes = {locality: len(hosts) for locality, hosts in members.items()}
        plan = zone_aware.plan(sizes, self.local, self.settings.min_cluster_size) if self.local else None
        if plan is None or self.local is None:
            return self._flat(some)
        home = self._flat(members.pop(self.local.locality))
        shares = [(plan.local, home)]
        room = plan.room or tuple((locality, 1.0) for locality in members)
        total = sum(weight for _, weight in room)
        if plan.local < 1.0:
            shares += [
                ((1.0 - plan.local) * weight / total, self._flat(members[locality]))
                for locality, weight in room
            ]
        zoned = ByChance(shares, self.rng) if len(shares) > 1 else home
        heeding = self.settings.zone_routing_percent
        if heeding >= 100:
            return zoned
        return ByChance([(heeding, zoned), (100 - heeding, self._flat(some))], self.rng)

    def _flat(self, hosts: Sequence[H]) -> Balancer[H]:
        """The algorithm alone."""
        settings, rng = self.settings, self.rng
        match settings.algorithm:
            case Algorithm.ROUND_ROBIN:
                return self._growing(hosts, round_robin(hosts, rng), 0.0)
            case Algorithm.LEAST_REQUEST:
                return self._least_request(hosts)
            case Algorithm.RANDOM:
                return RandomChoice(hosts, rng)
            case Algorithm.PEAK_EWMA:
                return PeakEwma(hosts, rng, settings, self.now)
            case Algorithm.RING_HASH | Algorithm.MAGLEV:
                return self._hashing(hosts)

    def _least_request(self, hosts: Sequence[H]) -> Balancer[H]:
        settings = self.settings
        plain: Balancer[H]
        if len({host.endpoint.weight for host in hosts if host.endpoint.weight}) <= 1:
            plain = LeastRequest(hosts, self.rng, settings.choice_count)
        else:
            weigh = partial(_weight, settings=replace(settings, slow_start=None))
            plain = ChangingTurns(hosts, self.rng, weigh, self.now)
        return self._growing(hosts, plain, settings.active_request_bias)

    def _growing(self, hosts: Sequence[H], plain: Balancer[H], bias: float) -> Balancer[H]:
        """`plain`, once nobody is in slow start."""
        settings = self.settings
        if settings.slow_start is None:
            return plain
        until = slow_start.ends_at(settings.slow_start, hosts)
        if until <= self.now:
            return plain
        weigh = partial(_weight, settings=replace(settings, active_request_bias=bias))
        return slow_start.UntilGrown(ChangingTurns(hosts, self.rng, weigh, self.now), plain, until)

    def _hashing(self, hosts: Sequence[H]) -> Balancer[H]:
        settings, rng = self.settings, self.rng
        weights = self._hash_weights(hosts)
        table = RingHash if settings.algorithm is Algorithm.RING_HASH else Maglev
        balancer: Balancer[H] = table(hosts, weights, rng, settings)
        if not settings.hash_balance_percent:
            return balancer
        return BoundedLoad(balancer, hosts, weights, rng, settings.hash_balance_percent)

    def _hash_weights(self, hosts: Sequence[H]) -> list[float]:
        if self.settings.locality is not LocalitySpread.WEIGHTED:
            return [float(host.endpoint.weight) for host in hosts]
        sums: Counter[Locality] = Counter()
        for host in hosts:
            sums[host.endpoint.locality] += host.endpoint.weight
        return [
            host.endpoint.locality_weight * host.endpoint.weight / (sums[host.endpoint.locality] or 1)
            for host in hosts
        ]


def _weight(host: Host, now: float, settings: LoadBalancing) -> float:
    """Of `ChangingTurns`: for the requests under way, unless the bias is 0, and for its age."""
    bias = settings.active_request_bias
    weight = weight_when_busy(host, bias) if bias else float(host.endpoint.weight)
    if settings.slow_start is not None:
        weight *= slow_start.factor(settings.slow_start, host, now)
    return weight


def _level(hosts: Sequence[Host]) -> priority.Level:
    counts = Counter(host.fitness for host in hosts)
    total = len(hosts) - counts[Fitness.EXCLUDED]
    return priority.Level(total, counts[Fitness.FIT], counts[Fitness.DEGRADED])


def _by_locality(hosts: Sequence[H]) -> dict[Locality, list[H]]:
    members: dict[Locality, list[H]] = {}
    for host in hosts:
        members.setdefault(host.endpoint.locality, []).append(host)
    return members
