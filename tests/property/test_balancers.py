"""What balancers promise for any endpoints: shares, exclusion, affinity through removals, percentages."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from meshproxy.config.load_balancing import Algorithm, LoadBalancing
from meshproxy.upstream.balancer.api import PickContext
from meshproxy.upstream.balancer.assembly import assemble
from meshproxy.upstream.balancer.consistent_hash import hash_value
from meshproxy.upstream.balancer.priority import Level, plan
from meshproxy.upstream.balancer.round_robin import round_robin
from tests.unit.meshproxy.upstream.balancer.hosts import FakeHost, hosts, pick_many

_weights = st.lists(st.integers(0, 20), min_size=1, max_size=8)
_seeds = st.integers(0, 2**32)
_algorithms = st.sampled_from(Algorithm)


def _settings(algorithm: Algorithm) -> LoadBalancing:
    return LoadBalancing(algorithm, min_ring_size=256, table_size=251)


@given(weights=_weights, seed=_seeds, turns=st.integers(1, 60))
def test_round_robin_never_strays_from_the_exact_share_by_more_than_the_number_of_endpoints(
    weights: list[int], seed: int, turns: int
) -> None:
    targets = hosts(*weights)
    balancer, total = round_robin(targets, Random(seed)), sum(weights)
    counts = dict.fromkeys(targets, 0)
    for made in range(1, turns + 1):
        target = balancer.pick()
        if target is None:
            assert total == 0
            return
        counts[target] += 1
        for host, count in counts.items():
            assert abs(count - made * host.endpoint.weight / total) <= len(weights)


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    seed=_seeds,
    algorithm=st.sampled_from([Algorithm.ROUND_ROBIN, Algorithm.RANDOM]),
)
def test_weights_converge(weights: list[int], seed: int, algorithm: Algorithm) -> None:
    balancer = assemble(_settings(algorithm), hosts(*weights), Random(seed), 0.0).balancer
    picks = pick_many(balancer, 4000)
    for index, weight in enumerate(weights):
        # five standard deviations of independent draws, at most
        assert abs(picks[f"10.0.0.{index}"] / 4000 - weight / sum(weights)) < 5 * 0.5 / 4000**0.5


@settings(max_examples=150, deadline=None)
@given(weights=_weights, seed=_seeds, excluded=st.sets(st.integers(0, 7)), algorithm=_algorithms, key=_seeds)
def test_a_tried_endpoint_is_used_only_when_no_other_is_left(
    weights: list[int], seed: int, excluded: set[int], algorithm: Algorithm, key: int
) -> None:
    targets = hosts(*weights)
    tried = {id(target) for index, target in enumerate(targets) if index in excluded}
    usable: set[FakeHost | None] = {target for target in targets if target.endpoint.weight}
    fresh = {target for target in usable if id(target) not in tried}
    balancer = assemble(_settings(algorithm), targets, Random(seed), 0.0).directed
    for turn in range(5):
        assert balancer.pick(PickContext(key + turn), tried) in (fresh or usable or {None})


_KEYS = [hash_value(b"user-%d" % number) for number in range(2000)]


def _owners(targets: list[FakeHost], algorithm: Algorithm) -> list[FakeHost | None]:
    balancer = assemble(LoadBalancing(algorithm), targets, Random(1), 0.0).directed
    return [balancer.pick(PickContext(key)) for key in _KEYS]


@settings(max_examples=15, deadline=None)
@given(size=st.integers(2, 12), gone=st.integers(0, 11), first=st.integers(0, 1000))
def test_a_removal_moves_the_ring_keys_of_the_removed_alone(size: int, gone: int, first: int) -> None:
    targets = hosts(*[1] * (first % 7 + size))[-size:]
    removed = targets[gone % size]
    before = _owners(targets, Algorithm.RING_HASH)
    after = _owners([target for target in targets if target is not removed], Algorithm.RING_HASH)
    moved = [old for old, new in zip(before, after, strict=True) if old is not new]
    assert set(moved) <= {removed}
    # its share is 1/n but for the spread of 512 points (and of 2000 keys): six standard deviations
    assert len(moved) / len(_KEYS) <= 1 / size * (1 + 6 * (1 / 512 + size / len(_KEYS)) ** 0.5)


@settings(max_examples=3, deadline=None)
@given(size=st.integers(3, 8), gone=st.integers(0, 7))
def test_a_removal_moves_few_maglev_keys_of_the_others(size: int, gone: int) -> None:
    targets = hosts(*[1] * size)
    removed = targets[gone % size]
    before = _owners(targets, Algorithm.MAGLEV)
    after = _owners([target for target in targets if target is not removed], Algorithm.MAGLEV)
    moved = [old for old, new in zip(before, after, strict=True) if old is not new]
    assert moved.count(removed) == before.count(removed)
    assert len(moved) - moved.count(removed) < 0.1 * len(_KEYS)


_levels = st.lists(
    st.integers(0, 12).flatmap(
        lambda total: st.integers(0, total).flatmap(
            lambda fit: st.integers(0, total - fit).map(lambda degraded: Level(total, fit, degraded))
        )
    ),
    max_size=5,
)


@given(
    levels=_levels, threshold=st.sampled_from([0.0, 25.0, 50.0, 80.0, 100.0]), factor=st.integers(100, 300)
)
def test_priorities_take_all_or_nothing_together(levels: list[Level], threshold: float, factor: int) -> None:
    result = plan(levels, threshold, factor)
    assert sum(result.fit) + sum(result.degraded) in (0, 100)
    assert min((*result.fit, *result.degraded, 0)) == 0
    if any(level.fit or level.degraded for level in levels):
        assert sum(result.fit) + sum(result.degraded) == 100
    for level, fit, degraded, in_panic in zip(
        levels, result.fit, result.degraded, result.in_panic, strict=True
    ):
        assert in_panic or level.fit or not fit
        assert in_panic or level.degraded or not degraded
        assert level.total or not fit
