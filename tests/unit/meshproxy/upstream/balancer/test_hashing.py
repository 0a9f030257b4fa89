"""Affinity: the same key, the same endpoint; the load bound; the hash is Envoy's."""

from random import Random

import pytest

from meshproxy.config.load_balancing import Algorithm, LoadBalancing, LocalitySpread
from meshproxy.config.model import Endpoint
from meshproxy.upstream.balancer.api import Balancer, PickContext, key_of
from meshproxy.upstream.balancer.assembly import assemble
from meshproxy.upstream.balancer.consistent_hash import combine, hash_value
from meshproxy.upstream.balancer.maglev import fill
from meshproxy.upstream.balancer.ring_hash import points_per_host
from tests.unit.meshproxy.upstream.balancer.hosts import FakeHost, by_zone, hosts, placed, shares

HASHING = pytest.mark.parametrize("algorithm", [Algorithm.RING_HASH, Algorithm.MAGLEV])
KEYS = [hash_value(b"key-%d" % number) for number in range(6000)]


def _balancer(targets: list[FakeHost], **settings: object) -> Balancer[FakeHost]:
    return assemble(LoadBalancing(**settings), targets, Random(1), 0.0).directed  # type: ignore[arg-type]


def test_the_hash_is_xxhash64_and_policies_combine_by_rotation() -> None:
    assert hash_value(b"foo") == 0x33BF00A859C4BA3F  # published test value of xxHash64 with seed 0
    assert combine(None, 7) == 7
    assert combine(1 << 63, 4) == 1 ^ 4
    assert combine(3, 1) == 7


def test_keys_are_addresses_as_envoy_writes_them_or_what_metadata_says() -> None:
    assert key_of(Endpoint("10.0.0.1", 80)) == "10.0.0.1:80"
    assert key_of(Endpoint("::1", 80)) == "[::1]:80"
    assert key_of(Endpoint("10.0.0.1", 80, hash_key="shard-1")) == "shard-1"


@HASHING
def test_a_key_stays_with_its_endpoint_in_whatever_order_endpoints_come(algorithm: Algorithm) -> None:
    targets = hosts(1, 1, 1, 1)
    one, other = _balancer(targets, algorithm=algorithm), _balancer(targets[::-1], algorithm=algorithm)
    for key in KEYS[:500]:
        assert one.pick(PickContext(key)) is one.pick(PickContext(key)) is other.pick(PickContext(key))


@HASHING
def test_a_retry_goes_elsewhere_but_always_to_the_same(algorithm: Algorithm) -> None:
    balancer = _balancer(hosts(1, 1, 1), algorithm=algorithm)
    for key in KEYS[:100]:
        first = balancer.pick(PickContext(key))
        second = balancer.pick(PickContext(key), (id(first),))
        assert second is not first
        assert second is balancer.pick(PickContext(key), (id(first),))


@HASHING
def test_localities_weigh_in(algorithm: Algorithm) -> None:
    targets = placed(0, "a", 1, weight=1) + placed(0, "b", 3, weight=3)
    balancer = _balancer(targets, algorithm=algorithm, locality=LocalitySpread.WEIGHTED)
    zones = by_zone(shares(balancer.pick(PickContext(key)) for key in KEYS))
    assert zones["a"] / len(KEYS) == pytest.approx(0.25, abs=0.04)


@HASHING
def test_a_busy_endpoints_keys_overflow_to_the_same_others(algorithm: Algorithm) -> None:
    targets = hosts(1, 1, 1, 1)
    balancer = _balancer(targets, algorithm=algorithm, hash_balance_percent=125)
    free = [balancer.pick(PickContext(key)) for key in KEYS[:400]]
    targets[0].active_requests = 10
    full = [balancer.pick(PickContext(key)) for key in KEYS[:400]]
    assert targets[0] not in full
    assert all(new is old for new, old in zip(full, free, strict=True) if old is not targets[0])
    assert len({new for new, old in zip(full, free, strict=True) if old is targets[0]}) == 3
    assert full == [balancer.pick(PickContext(key)) for key in KEYS[:400]]


def test_when_all_that_are_left_are_above_their_bound_the_least_loaded_takes_it() -> None:
    targets = hosts(1, 1, 2)
    balancer = _balancer(targets, algorithm=Algorithm.RING_HASH, hash_balance_percent=100)
    for target, busy in zip(targets, (30, 29, 10), strict=True):
        target.active_requests = busy
    tried = (id(targets[2]),)
    assert {balancer.pick(PickContext(key), tried) for key in KEYS[:50]} == {targets[1]}


@pytest.mark.parametrize(
    ("weights", "least", "most", "points"),
    [
        ([], 1024, 8_388_608, []),
        ([5.0], 1024, 8_388_608, [1024]),
        ([1.0, 1.0], 1024, 8_388_608, [512, 512]),
        ([1.0, 3.0], 1024, 8_388_608, [512, 1536]),
        ([1.0] * 4, 1, 2, [1, 1, 1, 1]),
        ([1.0] * 4, 1024, 1024, [256] * 4),
        ([1.0, 1e6], 1024, 8_388_608, [1, 65536]),
    ],
)
def test_how_many_points_an_endpoint_has(
    weights: list[float], least: int, most: int, points: list[int]
) -> None:
    settings = LoadBalancing(min_ring_size=least, max_ring_size=most)
    assert points_per_host(weights, settings) == points


def test_a_large_cluster_keeps_the_ring_bounded() -> None:
    assert sum(points_per_host([1.0] * 1000, LoadBalancing())) <= 65536


def test_the_maglev_table_gives_every_endpoint_its_share() -> None:
    table = fill([b"a:1", b"b:1", b"c:1"], [1.0, 1.0, 2.0], 65537)
    counts = [table.count(index) for index in range(3)]
    assert max(abs(count - 65537 * share) for count, share in zip(counts, (0.25, 0.25, 0.5), strict=True)) < 3
    assert set(fill([b"a:1"], [1.0], 11)) == {0}
    assert len(fill([], [], 11)) == 0
