"""HTTP filters of outbound listeners (pure): those that some route has settings for, and the router.

Each stands there without settings and does nothing until a route's `typed_per_filter_config` says what to do.
A listener without such routes has the router alone, and its requests pass nothing else.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from google.protobuf.message import Message

from control_plane.api.envoy.extensions.filters.http.cors.v3.cors_pb2 import Cors
from control_plane.api.envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from control_plane.api.envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2 import (
    LocalRateLimit,
)
from control_plane.api.envoy.extensions.filters.http.router.v3.router_pb2 import Router
from control_plane.api.envoy.extensions.filters.http.stateful_session.v3.stateful_session_pb2 import (
    StatefulSession,
)
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from control_plane.translate.rate_limit import RATE_LIMIT_FILTER, STAT_PREFIX
from control_plane.translate.tls import packed

CORS = "envoy.filters.http.cors"
FAULT = "envoy.filters.http.fault"
STATEFUL_SESSION = "envoy.filters.http.stateful_session"
ROUTER = "envoy.filters.http.router"

_IDLE: Mapping[str, Message] = MappingProxyType(
    {
        # A preflight is answered before anything can fail it, and a failure made on purpose binds no session.
        CORS: Cors(),
        RATE_LIMIT_FILTER: LocalRateLimit(stat_prefix=STAT_PREFIX),
        FAULT: HTTPFault(),
        STATEFUL_SESSION: StatefulSession(),
        ROUTER: Router(),
    }
)


def http_filters(used: Collection[str] = ()) -> list[hcm.HttpFilter]:
    """The filters named in `used`, in the order in which requests pass them, and the router at the end.

    Raises KeyError for a name that no filter here has: its settings would be ignored.
    """
    for name in used:
        _IDLE[name]
    return [
        hcm.HttpFilter(name=name, typed_config=packed(settings))
        for name, settings in _IDLE.items()
        if name in used or name == ROUTER
    ]
