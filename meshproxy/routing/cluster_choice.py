"""Choosing a cluster by weight (pure). [5]"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from meshproxy.config.route import WeightedCluster


class ClusterChoice:
    """A weighted split with its cumulative weights. A cluster of weight 0 is never chosen."""

    __slots__ = ("_boundaries", "_names", "_total", "clusters")

    def __init__(self, clusters: Iterable[WeightedCluster]) -> None:
        self.clusters = tuple(cluster for cluster in clusters if cluster.weight > 0)
        """Those that `index` counts."""
        cumulative = tuple(accumulate(cluster.weight for cluster in self.clusters))
        self._names = tuple(cluster.name for cluster in self.clusters)
        self._total = cumulative[-1] if cumulative else 0
        self._boundaries = cumulative[:-1]
        """Without the last one, so that a product rounded up to the total still falls on the last cluster."""

    def pick(self, rng_value: float) -> str | None:
        """Name of the cluster at `rng_value` in [0, 1); None when no cluster has a weight (the answer is
        500).
        """
        if not self._boundaries:
            return self._names[0] if self._names else None
        return self._names[bisect_right(self._boundaries, rng_value * self._total)]

    def index(self, rng_value: float) -> int:
        """As `pick`, but the place among `clusters`, which must not be empty."""
        return bisect_right(self._boundaries, rng_value * self._total) if self._boundaries else 0
