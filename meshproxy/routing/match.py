"""Matching a path and choosing a cluster (pure): what a route needs, compiled once per configuration. [5]

`RouteMatch` and `WeightedCluster` mean what `envoy.config.route.v3` says. Paths come without their query
(`RequestHead.path`). Headers and methods are not matched here.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate

from meshproxy.config.route import DirectResponse, Route, RouteAction, WeightedCluster
from meshproxy.config.route_match import PathMatch, PathMatchKind
from meshproxy.errors import ConfigError
from meshproxy.policy.retry import RetryPolicy

PathPredicate = Callable[[str], bool]


def compile_path_match(match: PathMatch) -> PathPredicate:
    """The predicate that `match` stands for. Raises ConfigError for a regular expression that does not
    compile.
    """
    return _COMPILERS[match.kind](match.value)


def _whole_elements_prefix(value: str) -> PathPredicate:
    """`/foo` and `/foo/` alike: Gateway API ignores a trailing slash of a PathPrefix."""
    element = value.rstrip("/")
    inside = element + "/"
    return lambda path: path == element or path.startswith(inside)


def _whole_path_regex(value: str) -> PathPredicate:
    """Envoy's `safe_regex` is RE2 and linear; Python's `re` may backtrack, so such a route costs what it
    says.
    """
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise ConfigError(
            f"route match safe_regex {value!r}: {error}; write a valid regular expression"
        ) from error
    return lambda path: pattern.fullmatch(path) is not None


_COMPILERS: dict[PathMatchKind, Callable[[str], PathPredicate]] = {
    PathMatchKind.EXACT: lambda value: lambda path: path == value,
    PathMatchKind.PREFIX: lambda value: lambda path: path.startswith(value),
    PathMatchKind.PATH_SEPARATED_PREFIX: _whole_elements_prefix,
    PathMatchKind.REGEX: _whole_path_regex,
}


def matches_every_path(match: PathMatch) -> bool:
    """True for the prefix `/` in either spelling: every path in origin form matches."""
    return match.kind in (PathMatchKind.PREFIX, PathMatchKind.PATH_SEPARATED_PREFIX) and match.value in (
        "",
        "/",
    )


class ClusterChoice:
    """A weighted split with its cumulative weights. A cluster of weight 0 is never chosen."""

    __slots__ = ("_boundaries", "_names", "_total")

    def __init__(self, clusters: Iterable[WeightedCluster]) -> None:
        weighted = [cluster for cluster in clusters if cluster.weight > 0]
        cumulative = tuple(accumulate(cluster.weight for cluster in weighted))
        self._names = tuple(cluster.name for cluster in weighted)
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


class CompiledRoute:
    """A route as the data path uses it: predicate, split and retry policy built once. Immutable by
    convention.
    """

    __slots__ = ("_choice", "action", "direct_response", "matches", "name", "retry", "route", "timeout")

    def __init__(self, route: Route) -> None:
        action = route.action
        self.route = route
        self.name = route.name
        self.matches = compile_path_match(route.match.path)
        self.direct_response = action if isinstance(action, DirectResponse) else None
        self.action = action if isinstance(action, RouteAction) else None
        """Exactly one of `action` and `direct_response` is set."""
        self.timeout = self.action.timeout if self.action else 0.0
        """Seconds for the whole exchange; 0 disables."""
        settings = self.action.retry if self.action else None
        self.retry = RetryPolicy(settings) if settings else None
        self._choice = ClusterChoice(self.action.clusters if self.action else ())

    def pick_cluster(self, rng_value: float) -> str | None:
        """Cluster for `rng_value` in [0, 1); None when there is none to choose: answer 500."""
        return self._choice.pick(rng_value)
