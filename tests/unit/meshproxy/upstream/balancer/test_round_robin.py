"""Round robin with equal and with different weights: shares, spread."""

from random import Random

import pytest

from meshproxy.upstream.balancer.round_robin import EqualTurns, WeightedTurns, round_robin
from tests.unit.meshproxy.upstream.balancer.hosts import hosts, pick_many


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
    assert type(round_robin(hosts(*weights), Random(1))) is kind


def test_equal_weights_go_round_in_order() -> None:
    targets = hosts(1, 1, 1)
    balancer = round_robin(targets, Random(1))
    first = balancer.pick()
    assert first is not None
    start = targets.index(first)
    assert [balancer.pick() for _ in range(4)] == [targets[(start + step) % 3] for step in (1, 2, 3, 4)]


def test_different_weights_get_their_shares_exactly() -> None:
    picks = pick_many(round_robin(hosts(1, 2, 7), Random(1)), 1000)
    assert [picks[f"10.0.0.{index}"] for index in range(3)] == [100, 200, 700]


def test_turns_are_spread_not_bunched() -> None:
    light, heavy = hosts(1, 3)
    balancer = round_robin([light, heavy], Random(1))
    picks = [balancer.pick() for _ in range(400)]
    assert all(1 <= picks[start : start + 8].count(light) <= 3 for start in range(392))


def test_an_excluded_endpoint_keeps_its_turn() -> None:
    targets = hosts(1, 2, 3)
    first = WeightedTurns(targets, Random(1)).pick()
    due = WeightedTurns(targets, Random(1))
    assert due.pick(None, {id(first)}) is not first
    assert due.pick() is first
