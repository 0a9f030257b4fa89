"""Priorities, panic, localities, subsets, sessions: who gets what when some endpoints are unfit."""

from collections import Counter
from random import Random

import pytest

from meshproxy.config.load_balancing import (
    LoadBalancing,
    LocalCluster,
    Locality,
    LocalitySpread,
    SubsetFallback,
    Subsets,
    SubsetSelector,
)
from meshproxy.config.model import Endpoint
from meshproxy.upstream.balancer.api import Fitness, PickContext
from meshproxy.upstream.balancer.assembly import assemble
from meshproxy.upstream.balancer.group import ByTurns
from meshproxy.upstream.balancer.priority import Level, plan
from meshproxy.upstream.balancer.round_robin import EqualTurns
from tests.unit.meshproxy.upstream.balancer.hosts import FakeHost, by_zone, hosts, pick_many, placed

A, B = Locality(zone="a"), Locality(zone="b")


@pytest.mark.parametrize(
    ("levels", "fit", "degraded", "in_panic"),
    [
        ([Level(10, 10), Level(10, 10)], (100, 0), (0, 0), (False, False)),
        ([Level(100, 72), Level(100, 100)], (100, 0), (0, 0), (False, False)),
        ([Level(100, 71), Level(100, 100)], (99, 1), (0, 0), (False, False)),
        ([Level(100, 25), Level(100, 100)], (35, 65), (0, 0), (False, False)),
        ([Level(100, 0), Level(100, 100)], (0, 100), (0, 0), (False, False)),
        ([Level(100, 20), Level(100, 20)], (50, 50), (0, 0), (True, True)),
        ([Level(100, 20), Level(100, 50)], (29, 71), (0, 0), (True, False)),
        ([Level(100, 0), Level(300, 0)], (25, 75), (0, 0), (True, True)),
        ([Level(100, 0, 100)], (0,), (100,), (False,)),
        ([Level(100, 50, 50)], (70,), (30,), (False,)),
        ([Level(0, 0)], (0,), (0,), (True,)),
        ([], (), (), ()),
    ],
)
def test_priorities_share_as_envoy_documents(
    levels: list[Level], fit: tuple[int, ...], degraded: tuple[int, ...], in_panic: tuple[bool, ...]
) -> None:
    result = plan(levels, 50.0, 140)
    assert (result.fit, result.degraded, result.in_panic) == (fit, degraded, in_panic)


def test_without_panic_nobody_fit_is_nobody() -> None:
    assembled = assemble(LoadBalancing(), placed(0, "a", 4, fit=0), Random(1), 0.0, panic_threshold=0.0)
    assert (assembled.balancer.pick(), assembled.is_panicking) == (None, False)


def test_panic_uses_everybody_or_nobody_as_configured() -> None:
    targets = placed(0, "a", 5, fit=2)
    assembled = assemble(LoadBalancing(), targets, Random(1), 0.0)
    assert assembled.is_panicking
    assert len(pick_many(assembled.balancer, 50)) == 5
    failing = assemble(LoadBalancing(fail_on_panic=True), targets, Random(1), 0.0)
    assert failing.balancer.pick() is None


def test_excluded_endpoints_are_no_outage() -> None:
    targets = placed(0, "a", 4)
    for target in targets[:3]:
        target.fitness = Fitness.EXCLUDED
    assembled = assemble(LoadBalancing(), targets, Random(1), 0.0)
    assert not assembled.is_panicking
    assert set(pick_many(assembled.balancer, 10)) == {"10.0.a.3"}


def test_failover_by_priority_and_a_retry_that_crosses_over() -> None:
    targets = placed(0, "a", 4, fit=1) + placed(1, "b", 4)
    balancer = assemble(LoadBalancing(), targets, Random(1), 0.0).balancer
    zones = by_zone(pick_many(balancer, 4000))
    assert zones["a"] / 4000 == pytest.approx(0.35, abs=0.03)
    only = targets[0]
    assert all(balancer.pick(None, (id(only),)) is not only for _ in range(50))
    everybody = tuple(map(id, targets))
    assert balancer.pick(None, everybody) is not None


def test_a_hash_decides_the_priority_too() -> None:
    targets = placed(0, "a", 4, fit=1) + placed(1, "b", 4)
    directed = assemble(LoadBalancing(), targets, Random(1), 0.0).directed
    assert set(by_zone(pick_many(directed, 50, PickContext(34)))) == {"a"}
    assert set(by_zone(pick_many(directed, 50, PickContext(35)))) == {"b"}


def test_degraded_endpoints_take_what_the_fit_ones_cannot() -> None:
    targets = placed(0, "a", 4)
    for target in targets[:2]:
        target.fitness = Fitness.DEGRADED
    picks = pick_many(assemble(LoadBalancing(), targets, Random(1), 0.0).balancer, 4000)
    assert (picks["10.0.a.0"] + picks["10.0.a.1"]) / 4000 == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(("fit", "share"), [(10, 0.5), (8, 0.5), (5, 0.7 / 1.7), (0, 0.0)])
def test_a_localitys_weight_shrinks_with_its_unfit_endpoints(fit: int, share: float) -> None:
    targets = placed(0, "a", 10, fit=fit, weight=1) + placed(0, "b", 30, weight=1)
    settings = LoadBalancing(locality=LocalitySpread.WEIGHTED)
    zones = by_zone(pick_many(assemble(settings, targets, Random(1), 0.0).balancer, 3400))
    assert zones["a"] / 3400 == pytest.approx(share, abs=0.002)


def test_localities_without_weight_get_nothing() -> None:
    targets = placed(0, "a", 2, weight=0) + placed(0, "b", 2, weight=0)
    settings = LoadBalancing(locality=LocalitySpread.WEIGHTED)
    assert assemble(settings, targets, Random(1), 0.0).balancer.pick() is None


def test_an_empty_group_is_passed_over() -> None:
    nobody, somebody = EqualTurns[FakeHost]((), Random(1)), EqualTurns(hosts(1), Random(1))
    assert "none" not in pick_many(ByTurns([(5.0, nobody), (1.0, somebody)], Random(1)), 20)


@pytest.mark.parametrize(
    ("ours", "here", "there", "share"),
    [
        ({A: 1, B: 1}, 5, 5, 1.0),  # we are half, and half of them are here
        ({A: 1, B: 1}, 8, 2, 1.0),
        ({A: 1, B: 1}, 2, 8, 0.4),  # a fifth of them, half of us
        ({A: 1, B: 1}, 2, 3, 0.4),  # fewer than six: zones mean nothing
        ({A: 1}, 2, 8, 0.2),  # we are in one zone only
        ({B: 2, Locality(zone="c"): 1}, 2, 8, 0.2),  # none of us here
        ({A: 9, Locality(zone="c"): 1}, 3, 7, 1 / 3),  # the others are not where we are
    ],
)
def test_zone_aware_routing(ours: dict[Locality, int], here: int, there: int, share: float) -> None:
    targets = placed(0, "a", here) + placed(0, "b", there)
    settings = LoadBalancing(locality=LocalitySpread.ZONE_AWARE)
    local = LocalCluster(A, ours)
    zones = by_zone(pick_many(assemble(settings, targets, Random(1), 0.0, local=local).balancer, 4000))
    assert zones["a"] / 4000 == pytest.approx(share, abs=0.03)


def test_zones_can_be_heeded_in_part_and_need_to_know_where_we_are() -> None:
    targets = placed(0, "a", 5) + placed(0, "b", 5)
    settings = LoadBalancing(locality=LocalitySpread.ZONE_AWARE, zone_routing_percent=50.0)
    local = LocalCluster(A, {A: 1, B: 1})
    zones = by_zone(pick_many(assemble(settings, targets, Random(1), 0.0, local=local).balancer, 4000))
    assert zones["a"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert by_zone(pick_many(assemble(settings, targets, Random(1), 0.0).balancer, 100))["a"] == 50


def test_room_elsewhere_is_used_in_proportion() -> None:
    targets = placed(0, "a", 2) + placed(0, "b", 2) + placed(0, "c", 6)
    settings = LoadBalancing(locality=LocalitySpread.ZONE_AWARE)
    local = LocalCluster(A, {A: 4, B: 4, Locality(zone="c"): 2})
    zones = by_zone(pick_many(assemble(settings, targets, Random(1), 0.0, local=local).balancer, 4000))
    assert zones == Counter({"a": zones["a"], "c": 4000 - zones["a"]})  # b sends more than it can take
    assert zones["a"] / 4000 == pytest.approx(0.5, abs=0.03)


V1, V2 = (("version", "1"),), (("version", "2"),)


def _labelled() -> list[FakeHost]:
    labels = (V1, V2, V2, ())
    return [FakeHost(Endpoint(f"10.0.0.{index}", 80, labels=one)) for index, one in enumerate(labels)]


@pytest.mark.parametrize(
    ("fallback", "own", "labels", "expected"),
    [
        (SubsetFallback.NO_FALLBACK, None, V2, {1, 2}),
        (SubsetFallback.NO_FALLBACK, None, (("version", "3"),), set()),
        (SubsetFallback.NO_FALLBACK, None, (("stage", "x"),), set()),
        (SubsetFallback.NO_FALLBACK, SubsetFallback.ANY_ENDPOINT, (("version", "3"),), {0, 1, 2, 3}),
        (SubsetFallback.ANY_ENDPOINT, None, (), {0, 1, 2, 3}),
        (SubsetFallback.DEFAULT_SUBSET, None, (), {0}),
        (SubsetFallback.DEFAULT_SUBSET, SubsetFallback.NO_FALLBACK, (("version", "3"),), set()),
    ],
)
def test_subsets(
    fallback: SubsetFallback,
    own: SubsetFallback | None,
    labels: tuple[tuple[str, str], ...],
    expected: set[int],
) -> None:
    selectors = (SubsetSelector(frozenset({"version"}), own),)
    settings = LoadBalancing(subsets=Subsets(selectors, fallback, default_subset=V1))
    directed = assemble(settings, _labelled(), Random(1), 0.0).directed
    picks = pick_many(directed, 40, PickContext(labels=labels))
    assert set(picks) == ({f"10.0.0.{index}" for index in expected} or {"none"})


def test_a_session_stays_with_its_endpoint_while_it_serves() -> None:
    targets = hosts(1, 1, 1)
    directed = assemble(LoadBalancing(), targets, Random(1), 0.0).directed
    bound, strict = PickContext(override="10.0.0.1:80"), PickContext(override="10.0.0.1:80", is_strict=True)
    assert set(pick_many(directed, 10, bound)) == {"10.0.0.1"}
    tried = (id(targets[1]),)
    assert directed.pick(bound, tried) is not targets[1]
    assert directed.pick(strict, tried) is targets[1]
    targets[1].fitness = Fitness.UNFIT
    assert len(pick_many(directed, 30, bound)) == 3
    assert directed.pick(strict) is None
    assert directed.pick(PickContext(override="10.9.9.9:80")) is not None
