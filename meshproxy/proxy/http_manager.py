"""What all HTTP connections of one filter chain share: its settings, its routes, and their upkeep. [2]"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from meshproxy.config.model import HttpConnectionManager
from meshproxy.http.events import RequestHead
from meshproxy.http.h2.settings import H2Limits
from meshproxy.http.limits import HeadLimits
from meshproxy.proxy.edge import EdgeRules
from meshproxy.proxy.route_parts import RouteParts
from meshproxy.proxy.services import ConnectionFacts, ProxyServices
from meshproxy.routing.table import CompiledRouteTable

if TYPE_CHECKING:
    from meshproxy.proxy.h2_connection import H2ServerConnection
    from meshproxy.proxy.http_connection import HttpServerConnection


class HttpManager:
    """The live twin of an `HttpConnectionManager`."""

    def __init__(self, config: HttpConnectionManager, services: ProxyServices) -> None:
        self.config = config
        self.services = services
        limits = HeadLimits(
            max_head_bytes=config.max_request_headers_kb * 1024, max_fields=config.max_headers_count
        )
        self.request_reader = services.codec(limits).request_reader
        """Makes the reader of one connection."""
        self.messages = services.messages(limits)
        """Reads and writes heads over HTTP/2."""
        self.h2_limits = H2Limits(max_head_bytes=limits.max_head_bytes)
        self.edge = EdgeRules(config.edge) if config.edge is not None else None
        self.is_retired = False
        """It is no longer in the configuration: every response ends its connection."""
        self.connections: set[HttpServerConnection | H2ServerConnection] = set()
        self._upgrades = frozenset(name.encode() for name in config.upgrade_types)
        self._own_table = CompiledRouteTable(config.route_table) if config.route_table is not None else None
        self._table = self._own_table
        self.has_filters = bool(config.http_filters)
        self.parts = RouteParts(partial(services.make_filters, config.http_filters))

    def routes(self) -> CompiledRouteTable | None:
        """The table in force now; None while RDS has not delivered it."""
        if self._own_table is not None:
            return self._own_table
        assert self.config.rds_name is not None
        table = self.services.route_table(self.config.rds_name)
        if table is not self._table:
            self._table = table
            self.parts.forget()
        return table

    def may_upgrade(self, head: RequestHead) -> bool:
        """Whether the request may ask its upstream for another protocol. RFC 6455 section 4.1 wants GET,
        which has no body. A list of protocols is not passed on: one of them may not be allowed."""
        return head.upgrade.lower() in self._upgrades and head.method == b"GET" and head.end_stream

    def forwarded_client_cert(self, facts: ConnectionFacts) -> bytes:
        """`x-forwarded-client-cert` line for the app (SANITIZE_SET), or nothing (SANITIZE)."""
        if not self.config.forward_client_cert:
            return b""
        if facts.client is not None:
            value = facts.client.forwarded(self.config.client_cert_details)
            return b"x-forwarded-client-cert: %b\r\n" % value.encode("ascii")
        if not facts.peer_principal:
            return b""
        return f"x-forwarded-client-cert: By={facts.local_principal};URI={facts.peer_principal}\r\n".encode()

    def sweep(self, now: float) -> None:
        """Close connections that idled or stalled too long; called about once a second."""
        for connection in list(self.connections):
            connection.check_idle(now)
