"""Routes as the data plane knows them (pure, frozen): which requests, and what becomes of them.

They say what `envoy.config.route.v3` says, restricted to what this proxy acts on; `xds/routes.py` builds them
and refuses the rest by name. `meshproxy/routing` compiles them for the data path.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class WeightedCluster:
    """One alternative of a split. `weight` 0 receives nothing."""

    name: str
    weight: int


class PathMatchKind(Enum):
    """Which `RouteMatch.path_specifier` is set."""

    EXACT = "path"
    PREFIX = "prefix"
    """A plain string prefix (`/` matches all)."""
    PATH_SEPARATED_PREFIX = "path_separated_prefix"
    """A prefix of whole path elements: `/foo` matches `/foo` and `/foo/bar`, not `/foobar`."""
    REGEX = "safe_regex"
    """Must match the whole path (without query)."""


@dataclass(frozen=True, slots=True)
class PathMatch:
    kind: PathMatchKind
    value: str


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """`RetryPolicy`. A retry goes to an endpoint that was not tried yet where one is left."""

    retry_on: frozenset[str] = frozenset()
    """Of `connect-failure`, `refused-stream`, `reset` (before any response byte), `reset-before-request`."""
    num_retries: int = 1
    base_interval: float = 0.025
    """Seconds; full-jitter exponential backoff. Envoy's default 25 ms."""
    max_interval: float = 0.25
    """Seconds; Envoy's default is ten times the base."""


@dataclass(frozen=True, slots=True)
class RouteAction:
    """Forward to one of `clusters`, chosen by weight."""

    clusters: tuple[WeightedCluster, ...]
    timeout: float = 15.0
    """Seconds for the whole exchange, retries included; 0 disables. Envoy's default is 15 s."""
    retry: RetrySettings | None = None
    cluster_not_found_status: int = 503
    """Answer when the chosen cluster does not exist; 500 for an invalid backend, as Gateway API says."""


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """Answer without an upstream."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    match: PathMatch
    action: RouteAction | DirectResponse


@dataclass(frozen=True, slots=True)
class VirtualHost:
    name: str
    domains: tuple[str, ...]
    """Lower case: exact `host` or `host:port`, `*.suffix`, or `*`."""
    routes: tuple[Route, ...]
    """First match wins; the control plane has ordered them."""


@dataclass(frozen=True, slots=True)
class RouteTable:
    """`RouteConfiguration`."""

    name: str
    virtual_hosts: tuple[VirtualHost, ...]
    ignore_port_in_host_matching: bool = False
