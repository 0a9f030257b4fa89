"""One suite over every balancer, alone and as a cluster's settings assemble it."""

from random import Random

from meshproxy.config.load_balancing import (
    Algorithm,
    LoadBalancing,
    LocalCluster,
    Locality,
    LocalitySpread,
    SlowStart,
    SubsetFallback,
    Subsets,
    SubsetSelector,
)
from meshproxy.upstream.balancer.api import Balancer
from meshproxy.upstream.balancer.assembly import assemble
from meshproxy.upstream.balancer.round_robin import WeightedTurns
from tests.unit.meshproxy.upstream.balancer.conformance import BalancerConformance
from tests.unit.meshproxy.upstream.balancer.hosts import FakeHost


class _Assembled(BalancerConformance):
    settings = LoadBalancing()

    def make(self, targets: list[FakeHost], rng: Random) -> Balancer[FakeHost]:
        return assemble(self.settings, targets, rng, 0.0).balancer


class TestRoundRobin(_Assembled):
    pass


class TestWeightedTurns(BalancerConformance):
    def make(self, targets: list[FakeHost], rng: Random) -> Balancer[FakeHost]:
        return WeightedTurns(targets, rng)


class TestSessions(_Assembled):
    """The balancer of requests that may be bound to an endpoint."""

    def make(self, targets: list[FakeHost], rng: Random) -> Balancer[FakeHost]:
        return assemble(self.settings, targets, rng, 0.0).directed


class TestRoundRobinInSlowStart(_Assembled):
    settings = LoadBalancing(slow_start=SlowStart(60.0))

    def make(self, targets: list[FakeHost], rng: Random) -> Balancer[FakeHost]:
        for target in targets:
            target.added_at = 0.0
        return assemble(self.settings, targets, rng, 0.0).balancer


class TestLeastRequest(_Assembled):
    settings = LoadBalancing(Algorithm.LEAST_REQUEST)
    share_tolerance = 0.03


class TestLeastRequestInSlowStart(TestRoundRobinInSlowStart):
    settings = LoadBalancing(Algorithm.LEAST_REQUEST, slow_start=SlowStart(60.0))


class TestRandom(_Assembled):
    settings = LoadBalancing(Algorithm.RANDOM)
    share_tolerance = 0.03


class TestPeakEwma(_Assembled):
    settings = LoadBalancing(Algorithm.PEAK_EWMA)
    share_tolerance = 0.03


class TestRingHash(_Assembled):
    settings = LoadBalancing(Algorithm.RING_HASH)
    share_tolerance = 0.06


class TestMaglev(_Assembled):
    settings = LoadBalancing(Algorithm.MAGLEV, table_size=2039)
    share_tolerance = 0.03


class TestRingHashWithBoundedLoad(_Assembled):
    settings = LoadBalancing(Algorithm.RING_HASH, hash_balance_percent=150)
    share_tolerance = 0.06


class TestMaglevWithBoundedLoad(_Assembled):
    settings = LoadBalancing(Algorithm.MAGLEV, table_size=2039, hash_balance_percent=150)
    share_tolerance = 0.03


class TestLocalityWeightedInOneLocality(_Assembled):
    settings = LoadBalancing(locality=LocalitySpread.WEIGHTED)


class TestZoneAwareWithTooFewEndpoints(BalancerConformance):
    def make(self, targets: list[FakeHost], rng: Random) -> Balancer[FakeHost]:
        settings = LoadBalancing(locality=LocalitySpread.ZONE_AWARE)
        local = LocalCluster(Locality(), {Locality(): 3})
        return assemble(settings, targets, rng, 0.0, local=local).balancer


class TestSubsetsAskedForNothing(_Assembled):
    settings = LoadBalancing(
        subsets=Subsets((SubsetSelector(frozenset({"version"})),), SubsetFallback.ANY_ENDPOINT)
    )
