"""`lb_policy` and what stands around it -> how a cluster balances."""

from collections.abc import Callable

import pytest

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster as Proto
from meshproxy.config.load_balancing import (
    Algorithm,
    LoadBalancing,
    LocalitySpread,
    SlowStart,
    SubsetFallback,
    Subsets,
    SubsetSelector,
)
from meshproxy.errors import ConfigError
from meshproxy.xds.clusters import translate_cluster
from meshproxy.xds.strict import check
from tests.unit.meshproxy.xds import xds_message as message

Change = Callable[[Proto], None]


def translated(change: Change) -> LoadBalancing:
    made = message.cluster()
    change(made)
    check(made, "c")
    return translate_cluster(made, "c").load_balancing


def refusal(change: Change) -> str:
    with pytest.raises(ConfigError) as refused:
        translated(change)
    return str(refused.value)


@pytest.mark.parametrize(
    ("policy", "algorithm"),
    [
        (Proto.ROUND_ROBIN, Algorithm.ROUND_ROBIN),
        (Proto.LEAST_REQUEST, Algorithm.LEAST_REQUEST),
        (Proto.RANDOM, Algorithm.RANDOM),
        (Proto.RING_HASH, Algorithm.RING_HASH),
        (Proto.MAGLEV, Algorithm.MAGLEV),
    ],
)
def test_policies_with_envoys_defaults(policy: Proto.LbPolicy, algorithm: Algorithm) -> None:
    def change(made: Proto) -> None:
        made.lb_policy = policy

    assert translated(change) == LoadBalancing(algorithm)


def test_least_request_with_slow_start() -> None:
    def change(made: Proto) -> None:
        made.lb_policy = Proto.LEAST_REQUEST
        config = made.least_request_lb_config
        config.choice_count.value = 3
        config.active_request_bias.default_value = 0.5
        config.active_request_bias.runtime_key = "any"
        config.slow_start_config.slow_start_window.seconds = 30
        config.slow_start_config.aggression.default_value = 2.0
        config.slow_start_config.min_weight_percent.value = 5

    expected = LoadBalancing(
        Algorithm.LEAST_REQUEST, SlowStart(30.0, 2.0, 5.0), choice_count=3, active_request_bias=0.5
    )
    assert translated(change) == expected


def test_round_robin_with_slow_start() -> None:
    def change(made: Proto) -> None:
        made.round_robin_lb_config.slow_start_config.slow_start_window.seconds = 30

    assert translated(change).slow_start == SlowStart(30.0)


def test_peak_ewma_is_a_word_of_ours() -> None:
    def change(made: Proto) -> None:
        made.lb_policy = Proto.LEAST_REQUEST
        made.metadata.filter_metadata["meshproxy.io"].update({"load_balancer": "peak_ewma"})

    assert translated(change) == LoadBalancing(Algorithm.PEAK_EWMA)


def test_hashing() -> None:
    def ring(made: Proto) -> None:
        made.lb_policy = Proto.RING_HASH
        made.ring_hash_lb_config.minimum_ring_size.value = 64
        made.ring_hash_lb_config.maximum_ring_size.value = 128
        made.common_lb_config.consistent_hashing_lb_config.hash_balance_factor.value = 150

    made = translated(ring)
    assert (made.min_ring_size, made.max_ring_size, made.hash_balance_percent) == (64, 128, 150)

    def maglev(made: Proto) -> None:
        made.lb_policy = Proto.MAGLEV
        made.maglev_lb_config.table_size.value = 251

    assert translated(maglev).table_size == 251


def test_localities_by_weight() -> None:
    made = translated(lambda made: made.common_lb_config.locality_weighted_lb_config.SetInParent())
    assert made.locality is LocalitySpread.WEIGHTED


def test_subsets() -> None:
    def change(made: Proto) -> None:
        made.lb_subset_config.fallback_policy = Proto.LbSubsetConfig.ANY_ENDPOINT
        none = Proto.LbSubsetConfig.LbSubsetSelector.NO_FALLBACK
        made.lb_subset_config.subset_selectors.add(keys=["version", "track"], fallback_policy=none)
        made.lb_subset_config.subset_selectors.add(keys=["version"])

    selectors = (
        SubsetSelector(frozenset({"version", "track"}), SubsetFallback.NO_FALLBACK),
        SubsetSelector(frozenset({"version"})),
    )
    assert translated(change).subsets == Subsets(selectors, SubsetFallback.ANY_ENDPOINT)


def _two_choices_for_all(made: Proto) -> None:
    made.least_request_lb_config.choice_count.value = 2


def _no_choice(made: Proto) -> None:
    made.lb_policy = Proto.LEAST_REQUEST
    made.least_request_lb_config.choice_count.value = 0


def _murmur(made: Proto) -> None:
    made.lb_policy = Proto.RING_HASH
    made.ring_hash_lb_config.hash_function = Proto.RingHashLbConfig.MURMUR_HASH_2


def _no_window(made: Proto) -> None:
    made.round_robin_lb_config.slow_start_config.SetInParent()


def _no_prime(made: Proto) -> None:
    made.lb_policy = Proto.MAGLEV
    made.maglev_lb_config.table_size.value = 100


def _zones(made: Proto) -> None:
    made.common_lb_config.zone_aware_lb_config.min_cluster_size.value = 6


def _keys_subset(made: Proto) -> None:
    keys_subset = Proto.LbSubsetConfig.LbSubsetSelector.KEYS_SUBSET
    made.lb_subset_config.subset_selectors.add(keys=["a"], fallback_policy=keys_subset)


def _no_selector(made: Proto) -> None:
    made.lb_subset_config.fallback_policy = Proto.LbSubsetConfig.ANY_ENDPOINT


def _own(value: object, policy: Proto.LbPolicy = Proto.LEAST_REQUEST) -> Change:
    def change(made: Proto) -> None:
        made.lb_policy = policy
        made.metadata.filter_metadata["meshproxy.io"].update({"load_balancer": value})

    return change


def _original_with_subsets(made: Proto) -> None:
    made.ClearField("eds_cluster_config")
    made.type, made.lb_policy = Proto.ORIGINAL_DST, Proto.CLUSTER_PROVIDED
    made.lb_subset_config.SetInParent()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_two_choices_for_all, "c.least_request_lb_config: does not go with lb_policy ROUND_ROBIN"),
        (_no_choice, "c.lb_policy: choice_count 0: must be at least 1"),
        (_murmur, "c.ring_hash_lb_config.hash_function: only XX_HASH is supported"),
        (_no_window, "c.round_robin_lb_config.slow_start_config: slow start window 0.0"),
        (_no_prime, "c.lb_policy: table_size 100: must be a prime"),
        (_zones, "c.common_lb_config.zone_aware_lb_config: this field of"),
        (_keys_subset, "subset_selectors[0].fallback_policy: KEYS_SUBSET is not supported"),
        (_no_selector, "c.lb_subset_config: subset selectors []"),
        (_own("other"), "['meshproxy.io'].load_balancer: 'other' is not known; use 'peak_ewma'"),
        (_own(1), "['meshproxy.io'].load_balancer: must be a string"),
        (_own("peak_ewma", Proto.RANDOM), ".load_balancer: goes with lb_policy LEAST_REQUEST only"),
        (_original_with_subsets, "c.lb_subset_config: not for clusters of type ORIGINAL_DST"),
    ],
)
def test_refused(change: Change, message: str) -> None:
    assert message in refusal(change)
