"""A weighted split of any kind -> its alternatives (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from meshproxy.config.route import WeightedCluster
from meshproxy.xds.strict import require


def split(names: Sequence[str], weights: Sequence[int], path: str) -> tuple[WeightedCluster, ...]:
    """A weighted split with something to choose. Raises ConfigError."""
    require(sum(weights) > 0, path, "the weights add up to 0: nothing could be chosen")
    require(sum(weights) < 1 << 32, path, "the weights add up to more than 2^32-1")
    for index, name in enumerate(names):
        require(bool(name), f"{path}[{index}].name", "must not be empty")
    return tuple(WeightedCluster(name, weight) for name, weight in zip(names, weights, strict=True))
