"""Routes as the data plane knows them (pure, frozen): which requests, and what becomes of them.

They say what `envoy.config.route.v3` says, restricted to what this proxy acts on; `xds/routes.py` builds them
and refuses the rest by name. `meshproxy/routing` compiles them for the data path.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from meshproxy.config.head_edit import NO_MUTATIONS, HeadMutations, PathRewrite, RegexSubstitution
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route_match import RouteMatch

FilterConfigs = tuple[tuple[str, Hashable], ...]
"""`typed_per_filter_config`: (name of the filter, its translated settings), sorted by name."""


@dataclass(frozen=True, slots=True)
class WeightedCluster:
    """One alternative of a split. `weight` 0 receives nothing."""

    name: str
    weight: int
    mutations: HeadMutations = NO_MUTATIONS
    host_rewrite: str = ""
    """Instead of the route's; empty leaves it to the route."""
    metadata_match: tuple[tuple[str, str], ...] = ()
    """Endpoint metadata `envoy.lb` asked for, over the route's own; sorted."""
    filter_configs: FilterConfigs = ()


@dataclass(frozen=True, slots=True)
class HashHeader:
    """Hash the value of a request header; nothing where it is absent."""

    name: str
    """Lower case."""
    rewrite: RegexSubstitution | None = None
    terminal: bool = False
    """In every hash policy: once there is a hash, later policies are not asked."""


@dataclass(frozen=True, slots=True)
class HashCookie:
    """Hash the value of a cookie, which is made and set where `ttl` is given and it is absent."""

    name: str
    ttl: float | None = None
    """Seconds; 0 is a session cookie; None never makes one."""
    path: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    """Further attributes of a cookie that is made, e.g. `(("SameSite", "Lax"),)`."""
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class HashSourceIp:
    """Hash the client's address."""

    terminal: bool = False


@dataclass(frozen=True, slots=True)
class HashQuery:
    """Hash the first value of a query parameter; nothing where it is absent."""

    name: str
    terminal: bool = False


HashPolicy = HashHeader | HashCookie | HashSourceIp | HashQuery


@dataclass(frozen=True, slots=True)
class MirrorPolicy:
    """`RequestMirrorPolicy`: a copy of the request to another cluster, whose answer nobody waits for."""

    cluster: str
    fraction: float = 1.0
    """Of the requests, from 0 to 1."""
    append_shadow: bool = True
    """`-shadow` is put behind the host."""


@dataclass(frozen=True, slots=True)
class RouteAction:
    """Forward to one of `clusters`, chosen by weight."""

    clusters: tuple[WeightedCluster, ...]
    timeout: float = 15.0
    """Seconds for the whole exchange, retries included; 0 disables. Envoy's default is 15 s."""
    retry: RetrySettings | None = None
    cluster_not_found_status: int = 503
    """Answer when the chosen cluster does not exist; 500 for an invalid backend, as Gateway API says."""
    idle_timeout: float | None = None
    """Seconds without progress, instead of the connection manager's; 0 disables."""
    path_rewrite: PathRewrite | None = None
    host_rewrite: str = ""
    """`host_rewrite_literal`; empty keeps the host."""
    mirrors: tuple[MirrorPolicy, ...] = ()
    hash_policy: tuple[HashPolicy, ...] = ()
    metadata_match: tuple[tuple[str, str], ...] = ()
    """Endpoint metadata `envoy.lb` asked for; sorted."""
    max_stream_duration: float = 0.0
    """Seconds from the request's head to the end of the exchange; 0 disables."""
    grpc_timeout_max: float | None = None
    """Seconds that a call's `grpc-timeout` may be at most, as its `max_stream_duration`; 0 is no limit, None
    does not look at it."""
    grpc_timeout_offset: float = 0.0
    """Seconds that are taken off it."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """`RedirectAction`: where the client shall go instead. What is empty stays as the request has it."""

    status: int = 301
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    """The whole path; its own query, if it has one, takes the place of the request's."""
    rewrite: PathRewrite | None = None
    """Not beside `path`."""
    strip_query: bool = False


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """Answer without an upstream."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    match: RouteMatch
    action: RouteAction | DirectResponse | Redirect
    mutations: HeadMutations = NO_MUTATIONS
    filter_configs: FilterConfigs = ()
    metadata: tuple[tuple[str, str], ...] = ()
    """Metadata `meshproxy.io`, sorted: which resource and rule it comes from, for those who ask why."""


@dataclass(frozen=True, slots=True)
class VirtualHost:
    name: str
    domains: tuple[str, ...]
    """Lower case: exact `host` or `host:port`, `*.suffix`, or `*`."""
    routes: tuple[Route, ...]
    """First match wins; the control plane has ordered them."""
    mutations: HeadMutations = NO_MUTATIONS
    filter_configs: FilterConfigs = ()
    attempt_count_in_request: bool = False
    """`x-envoy-attempt-count`, from 1, in every attempt."""
    attempt_count_in_response: bool = False


@dataclass(frozen=True, slots=True)
class RouteTable:
    """`RouteConfiguration`."""

    name: str
    virtual_hosts: tuple[VirtualHost, ...]
    ignore_port_in_host_matching: bool = False
    mutations: HeadMutations = NO_MUTATIONS
    most_specific_mutations_win: bool = False
    """False applies route, virtual host, table in this order, True in the opposite. A cluster's come first
    either way, as in Envoy."""
    filter_configs: FilterConfigs = ()
    by_destination: bool = False
    """Metadata `meshproxy.io`: an authority that no domain but `*` names is looked up once more as the
    address and port that the request was sent to."""
