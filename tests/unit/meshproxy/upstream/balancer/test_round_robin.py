"""Round robin with equal and with different weights: conformance, shares, spread."""

from random import Random

import pytest

from meshproxy.config.model import Endpoint
from meshproxy.upstream.balancer.api import Balancer
from meshproxy.upstream.balancer.round_robin import EqualTurns, RoundRobin, WeightedTurns
from tests.unit.meshproxy.upstream.balancer.conformance import BalancerConformance, endpoints


class TestEqualTurnsConform(BalancerConformance):
    def make(self, targets: tuple[Endpoint, ...], rng: Random) -> Balancer:
        return EqualTurns(targets, rng)


class TestWeightedTurnsConform(BalancerConformance):
    def make(self, targets: tuple[Endpoint, ...], rng: Random) -> Balancer:
        return WeightedTurns(targets, rng)


class TestRoundRobinConforms(BalancerConformance):
    def make(self, targets: tuple[Endpoint, ...], rng: Random) -> Balancer:
        return RoundRobin(targets, rng)


@pytest.mark.parametrize(
    ("weights", "kind"),
    [
        ((), EqualTurns),
        ((3, 3), EqualTurns),
        ((3, 0, 3), EqualTurns),
        ((1, 2), WeightedTurns),
    ],
)
def test_the_cheap_cycle_is_used_when_usable_weights_are_equal(weights: tuple[int, ...], kind: type) -> None:
    assert type(RoundRobin(endpoints(*weights), Random(1))._turns) is kind


def test_equal_weights_go_round_in_order() -> None:
    balancer = RoundRobin(endpoints(1, 1, 1), Random(1))
    first = balancer.pick()
    assert first is not None
    assert [balancer.pick() for _ in range(4)] == [(first + step) % 3 for step in (1, 2, 3, 4)]


def test_different_weights_get_their_shares() -> None:
    balancer = RoundRobin(endpoints(1, 2, 7), Random(1))
    picks = [balancer.pick() for _ in range(1000)]
    assert [picks.count(index) for index in range(3)] == [100, 200, 700]


def test_turns_are_spread_not_bunched() -> None:
    balancer = RoundRobin(endpoints(1, 3), Random(1))
    picks = [balancer.pick() for _ in range(400)]
    assert all(1 <= picks[start : start + 8].count(0) <= 3 for start in range(392))


def test_an_excluded_endpoint_keeps_its_turn() -> None:
    targets = endpoints(1, 2, 3)
    balancer = WeightedTurns(targets, Random(1))
    first = balancer.pick()
    assert first is not None
    due = WeightedTurns(targets, Random(1))
    assert due.pick({first}) != first
    assert due.pick() == first
