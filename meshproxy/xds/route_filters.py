"""HTTP filters: those in a connection manager's chain, and what a route says to one (pure).

`_CHAIN` names every message that may stand in `http_filters`, `_PER_ROUTE` every one that may stand in
`typed_per_filter_config`, each with the filter it belongs to and its translation. Anything else is refused by
name, unless its sender calls it optional. A filter goes by Envoy's own name for it: routes find it by that
name, and two of a kind are not supported.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage

from control_plane.api.envoy.config.route.v3.route_components_pb2 import FilterConfig
from control_plane.api.envoy.extensions.filters.http.cors.v3.cors_pb2 import Cors, CorsPolicy
from control_plane.api.envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from control_plane.api.envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2 import (
    LocalRateLimit,
)
from control_plane.api.envoy.extensions.filters.http.router.v3.router_pb2 import Router
from control_plane.api.envoy.extensions.filters.http.stateful_session.v3.stateful_session_pb2 import (
    StatefulSession,
    StatefulSessionPerRoute,
)
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from meshproxy.config.route import FilterConfigs
from meshproxy.errors import ConfigError
from meshproxy.xds.filter_cors import translate_cors
from meshproxy.xds.filter_fault import translate_fault
from meshproxy.xds.filter_rate_limit import translate_chain_rate_limit, translate_rate_limit
from meshproxy.xds.filter_session import translate_route_session, translate_session
from meshproxy.xds.strict import M, require, type_name, unpack

_Translation = Callable[[AnyMessage, str, str], Hashable]
"""(what is packed, its field path, its place by names) -> its value; None: the filter does nothing there."""
_Known = tuple[str, tuple[str, _Translation]]

_CORS: Final = "envoy.filters.http.cors"
_FAULT: Final = "envoy.filters.http.fault"
_RATE_LIMIT: Final = "envoy.filters.http.local_ratelimit"
_SESSION: Final = "envoy.filters.http.stateful_session"
_ROUTER: Final = Router.DESCRIPTOR.full_name
_WRAPPER: Final = FilterConfig.DESCRIPTOR.full_name


def _known(name: str, message_type: type[M], translate: Callable[[M, str, str], Hashable]) -> _Known:
    """Full name of the message -> (name of its filter, its translation)."""

    def unpacked(packed: AnyMessage, path: str, place: str) -> Hashable:
        return translate(unpack(packed, message_type, path), path, place)

    return message_type.DESCRIPTOR.full_name, (name, unpacked)


def _nothing(message: Cors, path: str, place: str) -> None:
    """The message has no fields."""


_CHAIN: Final[Mapping[str, tuple[str, _Translation]]] = dict(
    (
        _known(_CORS, Cors, _nothing),
        _known(_FAULT, HTTPFault, translate_fault),
        _known(_RATE_LIMIT, LocalRateLimit, translate_chain_rate_limit),
        _known(_SESSION, StatefulSession, translate_session),
    )
)
_PER_ROUTE: Final[Mapping[str, tuple[str, _Translation]]] = dict(
    (
        _known(_CORS, CorsPolicy, translate_cors),
        _known(_FAULT, HTTPFault, translate_fault),
        _known(_RATE_LIMIT, LocalRateLimit, translate_rate_limit),
        _known(_SESSION, StatefulSessionPerRoute, translate_route_session),
    )
)


def translate_http_filters(filters: Sequence[hcm_pb2.HttpFilter], path: str) -> FilterConfigs:
    """The filters before the router, in order; the router is last, and once. Raises ConfigError."""
    chain: list[tuple[str, Hashable]] = []
    for index, item in enumerate(filters):
        where, message = f"{path}[{index}]", type_name(item.typed_config)
        if message == _ROUTER:
            require(index == len(filters) - 1, where, "the router must be the last filter")
            continue
        known = _CHAIN.get(message)
        if known is None:
            if item.is_optional:
                continue
            raise ConfigError(f"{where}: HTTP filter {message or item.name!r} is not supported")
        name, translate = known
        require(item.name == name, f"{where}.name", f"{item.name!r} must be {name}: routes find it by that")
        require(all(other != name for other, _ in chain), where, f"{name} stands in the chain twice")
        chain.append((name, translate(item.typed_config, where, where)))
    has_router = bool(filters) and type_name(filters[-1].typed_config) == _ROUTER
    require(has_router, path, "the last filter must be the router")
    unpack(filters[-1].typed_config, Router, f"{path}[{len(filters) - 1}]")
    return tuple(chain)


def translate_filter_configs(configs: Mapping[str, AnyMessage], path: str, place: str) -> FilterConfigs:
    """What a level says to filters; None for a filter switches it off there. `place` tells the level from
    all others by names, which stay when others come and go. Raises ConfigError."""
    return tuple(_translated(configs, path, place)) if configs else ()


def _translated(configs: Mapping[str, AnyMessage], path: str, place: str) -> Iterator[tuple[str, Hashable]]:
    for name in sorted(configs):
        where, packed = f"{path}.typed_per_filter_config[{name!r}]", configs[name]
        if type_name(packed) == _WRAPPER:
            wrapper = unpack(packed, FilterConfig, where)
            if wrapper.disabled:
                yield name, None
                continue
            require(wrapper.HasField("config"), where, "config or disabled is needed")
            packed, where = wrapper.config, f"{where}.config"
            if wrapper.is_optional and type_name(packed) not in _PER_ROUTE:
                continue
        known = _PER_ROUTE.get(type_name(packed))
        if known is None:
            raise ConfigError(f"{where}: {type_name(packed)!r} is not supported in a route")
        require(name == known[0], where, f"{type_name(packed)} belongs to {known[0]}")
        yield name, known[1](packed, where, place)
