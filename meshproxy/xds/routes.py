"""RouteConfiguration -> route tables of the model (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.wrappers_pb2 import UInt32Value

from control_plane.api.envoy.config.core.v3.base_pb2 import DataSource
from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import (
    PreviousHostsPredicate,
)
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import (
    DirectResponse,
    Route,
    RouteAction,
    RouteTable,
    VirtualHost,
    WeightedCluster,
)
from meshproxy.config.route_match import PathMatch, PathMatchKind, RouteMatch
from meshproxy.errors import ConfigError
from meshproxy.routing.table import CompiledRouteTable
from meshproxy.xds.strict import require, seconds, seconds_or, unpack

_DEFAULT_TIMEOUT = 15.0
_DEFAULT_BASE_INTERVAL = 0.025
_BACKOFF_FACTOR = 10
"""Envoy: the longest interval is ten times the base unless set."""

RETRY_ON = frozenset({"connect-failure", "refused-stream", "reset", "reset-before-request"})
"""Conditions that `RetryPolicy.retry_on` may name."""

_PATH_KINDS = {
    "path": PathMatchKind.EXACT,
    "prefix": PathMatchKind.PREFIX,
    "path_separated_prefix": PathMatchKind.PATH_SEPARATED_PREFIX,
    "safe_regex": PathMatchKind.REGEX,
}
_NOT_FOUND_STATUS = {
    components.RouteAction.SERVICE_UNAVAILABLE: 503,
    components.RouteAction.NOT_FOUND: 404,
    components.RouteAction.INTERNAL_SERVER_ERROR: 500,
}


def translate_routes(config: RouteConfiguration, path: str) -> RouteTable:
    """`config` has passed the strict check. Raises ConfigError, also for what the router refuses."""
    hosts = enumerate(config.virtual_hosts)
    listed = tuple(virtual_host(host, f"{path}.virtual_hosts[{index}]") for index, host in hosts)
    table = route_table(config, listed, path)
    CompiledRouteTable(table)  # refuses bad patterns and domains claimed twice
    return table


def route_table(config: RouteConfiguration, hosts: tuple[VirtualHost, ...], path: str) -> RouteTable:
    """The table of `hosts`, with what is said of all of them. Raises ConfigError."""
    return RouteTable(
        name=config.name,
        virtual_hosts=hosts,
        ignore_port_in_host_matching=config.ignore_port_in_host_matching,
    )


def split(names: Sequence[str], weights: Sequence[int], path: str) -> tuple[WeightedCluster, ...]:
    """A weighted split with something to choose. Raises ConfigError."""
    require(sum(weights) > 0, path, "the weights add up to 0: nothing could be chosen")
    require(sum(weights) < 1 << 32, path, "the weights add up to more than 2^32-1")
    for index, name in enumerate(names):
        require(bool(name), f"{path}[{index}].name", "must not be empty")
    return tuple(WeightedCluster(name, weight) for name, weight in zip(names, weights, strict=True))


def virtual_host(host: components.VirtualHost, path: str) -> VirtualHost:
    """`host` has passed the strict check. Raises ConfigError."""
    require(bool(host.name), f"{path}.name", "must not be empty")
    require(bool(host.domains), f"{path}.domains", "at least one is needed")
    return VirtualHost(
        name=host.name,
        domains=tuple(domain.lower() for domain in host.domains),
        routes=tuple(_route(route, f"{path}.routes[{index}]") for index, route in enumerate(host.routes)),
    )


def _route(route: components.Route, path: str) -> Route:
    kind = route.WhichOneof("action")
    require(kind is not None, path, "an action is needed: route or direct_response")
    action = (
        _route_action(route.route, f"{path}.route")
        if kind == "route"
        else _direct_response(route.direct_response, f"{path}.direct_response")
    )
    return Route(name=route.name, match=RouteMatch(_path_match(route.match, f"{path}.match")), action=action)


def _path_match(match: components.RouteMatch, path: str) -> PathMatch:
    field = match.WhichOneof("path_specifier")
    if field is None:
        raise ConfigError(f"{path}: one of {', '.join(_PATH_KINDS)} is needed")
    is_sensitive = not match.HasField("case_sensitive") or match.case_sensitive.value
    require(is_sensitive, f"{path}.case_sensitive", "false is not supported")
    value = match.safe_regex.regex if field == "safe_regex" else str(getattr(match, field))
    if field in ("path", "path_separated_prefix"):
        require(value.startswith("/"), f"{path}.{field}", f"{value!r} does not start with /")
        require("?" not in value and "#" not in value, f"{path}.{field}", f"{value!r} has ? or #")
    return PathMatch(_PATH_KINDS[field], value)


def _route_action(action: components.RouteAction, path: str) -> RouteAction:
    return RouteAction(
        clusters=_clusters(action, path),
        timeout=seconds_or(action, "timeout", _DEFAULT_TIMEOUT, path),
        retry=_retry(action.retry_policy, f"{path}.retry_policy")
        if action.HasField("retry_policy")
        else None,
        cluster_not_found_status=_NOT_FOUND_STATUS[action.cluster_not_found_response_code],
    )


def _clusters(action: components.RouteAction, path: str) -> tuple[WeightedCluster, ...]:
    kind = action.WhichOneof("cluster_specifier")
    require(kind is not None, path, "cluster or weighted_clusters is needed")
    if kind == "cluster":
        return split([action.cluster], [1], f"{path}.cluster")
    shares = action.weighted_clusters.clusters
    weights = [share.weight.value for share in shares]
    return split([share.name for share in shares], weights, f"{path}.weighted_clusters.clusters")


def _retry(policy: components.RetryPolicy, path: str) -> RetrySettings:
    conditions = frozenset(item.strip() for item in policy.retry_on.split(",") if item.strip())
    unknown = sorted(conditions - RETRY_ON)
    require(not unknown, f"{path}.retry_on", f"{', '.join(unknown)} is not supported")
    for index, predicate in enumerate(policy.retry_host_predicate):
        # Never choosing a tried endpoint again while another is left is what our retries do anyway.
        where = f"{path}.retry_host_predicate[{index}]"
        unpack(predicate.typed_config, PreviousHostsPredicate, where)
    base, longest = _back_off(policy, f"{path}.retry_back_off")
    return RetrySettings(
        conditions, _number(policy.num_retries, policy.HasField("num_retries")), base, longest
    )


def _number(wrapper: UInt32Value, is_set: bool) -> int:
    return wrapper.value if is_set else 1


def _back_off(policy: components.RetryPolicy, path: str) -> tuple[float, float]:
    if not policy.HasField("retry_back_off"):
        return _DEFAULT_BASE_INTERVAL, _DEFAULT_BASE_INTERVAL * _BACKOFF_FACTOR
    back_off = policy.retry_back_off
    base = seconds(back_off.base_interval, f"{path}.base_interval")
    require(base > 0, f"{path}.base_interval", "must be above 0")
    longest = seconds_or(back_off, "max_interval", base * _BACKOFF_FACTOR, path)
    require(longest >= base, f"{path}.max_interval", "must not be below base_interval")
    return base, longest


def _direct_response(response: components.DirectResponseAction, path: str) -> DirectResponse:
    require(200 <= response.status <= 599, f"{path}.status", f"{response.status} is not from 200 to 599")
    return DirectResponse(response.status, _body(response.body))


def _body(source: DataSource) -> bytes:
    return source.inline_bytes or source.inline_string.encode()
