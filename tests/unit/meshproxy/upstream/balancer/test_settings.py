"""Settings that make no sense are refused by name."""

import pytest

from meshproxy.config.load_balancing import Algorithm, LoadBalancing, SlowStart, Subsets, SubsetSelector
from meshproxy.errors import ConfigError


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"choice_count": 0}, "choice_count 0"),
        ({"active_request_bias": -1.0}, "active_request_bias -1"),
        ({"min_ring_size": 10, "max_ring_size": 9}, "min_ring_size 10"),
        ({"max_ring_size": 9_000_000}, "max_ring_size 9000000"),
        ({"table_size": 65536}, "table_size 65536"),
        ({"table_size": 5_000_077}, "table_size 5000077"),
        ({"hash_balance_percent": 99}, "hash_balance_percent 99"),
        ({"latency_decay": 0.0}, "latency_decay 0"),
        ({"zone_routing_percent": 101.0}, "zone_routing_percent 101"),
        ({"overprovisioning_percent": 99}, "overprovisioning_percent 99"),
        ({"min_cluster_size": -1}, "min_cluster_size -1"),
        ({"algorithm": Algorithm.RANDOM, "slow_start": SlowStart(1.0)}, "slow start with random"),
    ],
)
def test_load_balancing(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LoadBalancing(**kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0.0,), "window 0"), ((1.0, 0.0), "aggression 0"), ((1.0, 1.0, 101.0), "min_weight_percent 101")],
)
def test_slow_start(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SlowStart(*arguments)


def test_subsets() -> None:
    with pytest.raises(ConfigError, match="keys"):
        SubsetSelector(frozenset())
    with pytest.raises(ConfigError, match="at least one"):
        Subsets(())
    with pytest.raises(ConfigError, match="different"):
        Subsets((SubsetSelector(frozenset({"a"})), SubsetSelector(frozenset({"a"}))))
