"""A route as the data path uses it (pure): what it takes and what it does, compiled once. [5]

`RouteMatch` and the actions mean what `envoy.config.route.v3` says. Which routes a path may take at all is
`path_index`'s business; a compiled route judges the rest of a request.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshproxy.config.head_edit import HeadMutations
from meshproxy.config.http_filter import CorsSettings
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import (
    DirectResponse,
    FilterConfigs,
    Redirect,
    Route,
    RouteAction,
    WeightedCluster,
)
from meshproxy.config.route_match import (
    PathMatch,
    PathMatchKind,
    RouteMatch,
    StringMatch,
    StringMatchKind,
)
from meshproxy.http.events import RequestHead
from meshproxy.policy.retry import RetryPolicy
from meshproxy.routing.cluster_choice import ClusterChoice
from meshproxy.routing.head_edit import EditMemory, compile_edit
from meshproxy.routing.path_rewrite import TargetRewrite, compile_path_rewrite
from meshproxy.routing.redirect import CompiledRedirect
from meshproxy.routing.regex import Regex
from meshproxy.routing.value_match import compile_field_match, compile_header_match, compile_query_match


def matches_every_path(match: PathMatch) -> bool:
    """True for the prefix `/` in either spelling: every path in origin form matches."""
    return match.kind in (PathMatchKind.PREFIX, PathMatchKind.PATH_SEPARATED_PREFIX) and match.value in (
        "",
        "/",
    )


class HostSettings:
    """What the levels above a route say: its virtual host and its table."""

    __slots__ = (
        "attempt_count_in_request",
        "attempt_count_in_response",
        "filter_configs",
        "is_outermost_first",
        "levels",
        "memory",
    )

    def __init__(
        self,
        levels: Sequence[HeadMutations] = (),
        filter_configs: FilterConfigs = (),
        *,
        is_outermost_first: bool = False,
        attempt_count_in_request: bool = False,
        attempt_count_in_response: bool = False,
        memory: EditMemory | None = None,
    ) -> None:
        self.levels = tuple(levels)
        """Mutations of the virtual host, then of the table."""
        self.filter_configs = filter_configs
        """Those of the virtual host over those of the table."""
        self.is_outermost_first = is_outermost_first
        self.attempt_count_in_request = attempt_count_in_request
        self.attempt_count_in_response = attempt_count_in_response
        self.memory = memory if memory is not None else EditMemory()

    def ordered(self, route: HeadMutations) -> tuple[HeadMutations, ...]:
        """The route's level among the others, in the order of application."""
        levels = (route, *self.levels)
        return levels[::-1] if self.is_outermost_first else levels


class Target:
    """One cluster of a route, and what is changed when it is chosen."""

    __slots__ = ("cluster", "filter_configs", "metadata_match", "name", "request_edit", "response_edit")

    def __init__(
        self,
        cluster: WeightedCluster,
        action: RouteAction,
        levels: Sequence[HeadMutations],
        memory: EditMemory,
        rewrite: TargetRewrite | None,
    ) -> None:
        self.cluster = cluster
        self.name = cluster.name
        every = (cluster.mutations, *levels)
        self.request_edit = compile_edit(
            [level.request for level in every],
            memory,
            rewrite=rewrite,
            host=cluster.host_rewrite or action.host_rewrite,
        )
        """None sends the head on as it is."""
        self.response_edit = compile_edit([level.response for level in every], memory)
        self.metadata_match = (
            tuple(sorted((dict(action.metadata_match) | dict(cluster.metadata_match)).items()))
            if cluster.metadata_match
            else action.metadata_match
        )
        """Endpoint metadata asked for; sorted."""
        self.filter_configs: FilterConfigs = ()


class CompiledRoute:
    """A route with everything built once. Immutable by convention."""

    __slots__ = (
        "_choice",
        "_constraints",
        "_regex",
        "action",
        "attempt_count_in_request",
        "attempt_count_in_response",
        "attempt_limits",
        "direct_response",
        "exact_headers",
        "filter_configs",
        "has_stream_limit",
        "is_directed",
        "is_unconditional",
        "name",
        "path_start",
        "position",
        "redirect",
        "response_edit",
        "retry",
        "route",
        "targets",
        "timeout",
    )

    def __init__(self, route: Route, position: int = 0, host: HostSettings | None = None) -> None:
        """`position` is the place in its virtual host. Raises ConfigError for what cannot be compiled."""
        match, action = route.match, route.action
        host = host if host is not None else HostSettings()
        self.route = route
        self.name = route.name
        self.position = position
        self._regex = Regex(match.path.value) if match.path.kind is PathMatchKind.REGEX else None
        self.path_start = self._regex.literal_start.decode("latin-1") if self._regex else ""
        """What every path starts with that the route's regular expression takes."""
        self._constraints = (
            *(compile_header_match(header) for header in match.headers),
            *(compile_query_match(query) for query in match.query),
        )
        self.is_unconditional = not self._constraints
        """True when the path alone decides."""
        self.exact_headers = _exact_headers(match)
        self.direct_response = action if isinstance(action, DirectResponse) else None
        self.redirect = CompiledRedirect(action, match.path) if isinstance(action, Redirect) else None
        self.action = action if isinstance(action, RouteAction) else None
        """Exactly one of `action`, `direct_response` and `redirect` is set."""
        self.attempt_count_in_request = host.attempt_count_in_request
        self.attempt_count_in_response = host.attempt_count_in_response
        self.timeout = self.action.timeout if self.action else 0.0
        """Seconds for the whole exchange; 0 disables."""
        settings = self.action.retry if self.action else None
        self.retry = _retry_policy(settings) if settings else None
        is_timed = settings and (settings.per_try_timeout or settings.per_try_idle_timeout)
        self.attempt_limits = settings if is_timed else None
        """Set where single attempts are timed."""
        self._choice = ClusterChoice(self.action.clusters if self.action else ())
        levels = host.ordered(route.mutations)
        self.response_edit = compile_edit([level.response for level in levels], host.memory)
        """For answers made here: redirects and direct responses."""
        self.filter_configs = merged_filter_configs(host.filter_configs, route.filter_configs)
        self.targets = _targets(self._choice, self.action, levels, host.memory, match.path)
        for target in self.targets:
            target.filter_configs = merged_filter_configs(self.filter_configs, target.cluster.filter_configs)
        self.has_stream_limit = bool(
            self.action and (self.action.max_stream_duration or self.action.grpc_timeout_max is not None)
        )
        self.is_directed = bool(self.action and self.action.hash_policy) or any(
            target.metadata_match for target in self.targets
        )
        """It says where in its cluster a request goes."""

    def accepts_path(self, path: str) -> bool:
        """The part of the path match that an index cannot answer: the regular expression."""
        return self._regex is None or self._regex.matches(path.encode())

    def accepts(self, head: RequestHead) -> bool:
        """Whether headers and query match."""
        for holds in self._constraints:  # noqa: SIM110 - `all` of a generator costs twice as much
            if not holds(head):
                return False
        return True

    def pick_cluster(self, rng_value: float) -> str | None:
        """Cluster for `rng_value` in [0, 1); None when there is none to choose: answer 500."""
        return self._choice.pick(rng_value)

    def pick_target(self, rng_value: float) -> Target | None:
        """As `pick_cluster`, with what is changed for it."""
        return self.targets[self._choice.index(rng_value)] if self.targets else None


def _retry_policy(settings: RetrySettings) -> RetryPolicy:
    return RetryPolicy(
        settings,
        response_matches=[compile_field_match(match) for match in settings.retriable_headers],
        request_matches=[compile_field_match(match) for match in settings.retriable_request_headers],
    )


def _targets(
    choice: ClusterChoice,
    action: RouteAction | None,
    levels: Sequence[HeadMutations],
    memory: EditMemory,
    match: PathMatch,
) -> tuple[Target, ...]:
    if action is None:
        return ()
    rewrite = compile_path_rewrite(action.path_rewrite, match) if action.path_rewrite else None
    return tuple(Target(cluster, action, levels, memory, rewrite) for cluster in choice.clusters)


def merged_filter_configs(outer: FilterConfigs, inner: FilterConfigs) -> FilterConfigs:
    """The inner settings of a filter replace the outer ones, except that CORS policies say field by field
    what they replace."""
    if not inner:
        return outer
    merged = dict(outer)
    for name, settings in inner:
        under = merged.get(name)
        if isinstance(settings, CorsSettings) and isinstance(under, CorsSettings):
            merged[name] = settings.over(under)
        else:
            merged[name] = settings
    return tuple(sorted(merged.items(), key=lambda item: item[0]))


def _exact_headers(match: RouteMatch) -> dict[bytes, bytes]:
    """Headers without one value of which the route takes nothing."""
    exact = {}
    for header in match.headers:
        value = header.value
        if not isinstance(value, StringMatch) or value.kind is not StringMatchKind.EXACT:
            continue
        if not (value.ignore_case or header.invert or header.missing_is_empty):
            exact[header.name.encode()] = value.value.encode()
    return exact
