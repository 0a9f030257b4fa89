"""RouteConfiguration -> route tables of the model (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from meshproxy.config.route import DirectResponse, Redirect, Route, RouteAction, RouteTable, VirtualHost
from meshproxy.routing.table import CompiledRouteTable
from meshproxy.xds.head_edit import translate_mutations
from meshproxy.xds.local_answer import translate_direct_response, translate_redirect
from meshproxy.xds.route_action import string_metadata, translate_route_action
from meshproxy.xds.route_filters import translate_filter_configs
from meshproxy.xds.route_match import translate_route_match
from meshproxy.xds.strict import require

_DESTINATION_COUNTS: Final = {"by_destination": "true"}
_ORIGIN: Final = "meshproxy.io"
"""Metadata namespace in which a control plane says what a route was made of."""


def translate_routes(config: RouteConfiguration, path: str) -> RouteTable:
    """`config` has passed the strict check. Raises ConfigError, also for what the router refuses."""
    hosts = enumerate(config.virtual_hosts)
    listed = tuple(virtual_host(host, f"{path}.virtual_hosts[{index}]", config.name) for index, host in hosts)
    table = route_table(config, listed, path)
    CompiledRouteTable(table)  # refuses bad patterns and domains claimed twice
    return table


def route_table(config: RouteConfiguration, hosts: tuple[VirtualHost, ...], path: str) -> RouteTable:
    """The table of `hosts`, with what is said of all of them. Raises ConfigError."""
    return RouteTable(
        name=config.name,
        virtual_hosts=hosts,
        ignore_port_in_host_matching=config.ignore_port_in_host_matching,
        mutations=translate_mutations(config, path),
        most_specific_mutations_win=config.most_specific_header_mutations_wins,
        filter_configs=translate_filter_configs(config.typed_per_filter_config, path, config.name),
        by_destination=_by_destination(config, f"{path}.metadata"),
    )


def _by_destination(config: RouteConfiguration, path: str) -> bool:
    said = string_metadata(config.metadata, _ORIGIN, path)
    is_known = said in ({}, _DESTINATION_COUNTS)
    require(is_known, f"{path}.filter_metadata", f"only {_DESTINATION_COUNTS} is known")
    return bool(said)


def virtual_host(host: components.VirtualHost, path: str, table: str) -> VirtualHost:
    """`host` of the table of this name has passed the strict check. Raises ConfigError."""
    require(bool(host.name), f"{path}.name", "must not be empty")
    require(bool(host.domains), f"{path}.domains", "at least one is needed")
    place = f"{table}|{host.name}"
    places = _places(host.routes, place)
    retry = host.retry_policy if host.HasField("retry_policy") else None
    return VirtualHost(
        name=host.name,
        domains=tuple(domain.lower() for domain in host.domains),
        routes=tuple(
            _route(route, f"{path}.routes[{index}]", retry, places[index])
            for index, route in enumerate(host.routes)
        ),
        mutations=translate_mutations(host, path),
        filter_configs=translate_filter_configs(host.typed_per_filter_config, path, place),
        attempt_count_in_request=host.include_request_attempt_count,
        attempt_count_in_response=host.include_attempt_count_in_response,
    )


def _places(routes: Sequence[components.Route], place: str) -> list[str]:
    """By name; routes of one name are told apart by their order."""
    seen: Counter[str] = Counter()
    places = []
    for route in routes:
        places.append(f"{place}|{route.name}|{seen[route.name]}")
        seen[route.name] += 1
    return places


def _route(route: components.Route, path: str, retry: components.RetryPolicy | None, place: str) -> Route:
    return Route(
        name=route.name,
        match=translate_route_match(route.match, f"{path}.match"),
        action=_action(route, path, retry, place),
        mutations=translate_mutations(route, path),
        filter_configs=translate_filter_configs(route.typed_per_filter_config, path, place),
        metadata=tuple(sorted(string_metadata(route.metadata, _ORIGIN, f"{path}.metadata").items())),
    )


def _action(
    route: components.Route, path: str, retry: components.RetryPolicy | None, place: str
) -> RouteAction | DirectResponse | Redirect:
    kind = route.WhichOneof("action")
    require(kind is not None, path, "an action is needed: route, redirect or direct_response")
    if kind == "route":
        return translate_route_action(route.route, f"{path}.route", retry, place)
    if kind == "redirect":
        return translate_redirect(route.redirect, f"{path}.redirect")
    return translate_direct_response(route.direct_response, f"{path}.direct_response")
