"""The resolver of one sidecar, put together. Nothing else of `dns` is loaded where DNS is not captured."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from meshproxy.clock import Clock
from meshproxy.config.name_table import NameTable
from meshproxy.config.resolv_conf import nameservers
from meshproxy.dns.resolver import Resolver
from meshproxy.dns.server import DnsServer
from meshproxy.dns.upstream import Upstream
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.telemetry.names import DNS_UPSTREAM_FAILURES, DNS_UPSTREAM_QUERIES

_log = logging.getLogger(__name__)
_PORT: Final = 53


class PodDns:
    """Server, resolver and its upstream: made, started and closed as one."""

    def __init__(
        self, resolv_conf: Path, metrics: MeshMetrics, *, is_current: Callable[[], bool], clock: Clock
    ) -> None:
        self._upstream = upstream = Upstream(_servers(resolv_conf), clock=clock)
        self._resolver = Resolver(upstream, metrics, is_current=is_current, clock=clock)
        self._server = DnsServer(self._resolver)
        metrics.read_from(DNS_UPSTREAM_QUERIES.name, lambda: float(upstream.queries))
        metrics.read_from(DNS_UPSTREAM_FAILURES.name, lambda: float(upstream.failures))

    def use_names(self, table: NameTable) -> None:
        """Answer from `table` from here on."""
        self._resolver.table = table

    async def start(self, port: int) -> int:
        """Serve; returns the port. Raises OSError."""
        return await self._server.start(port)

    async def close(self) -> None:
        """Stop serving, and asking."""
        await self._server.close()
        await self._upstream.close()


def _servers(path: Path) -> list[tuple[str, int]]:
    """Read once: a pod keeps its resolv.conf for life. Without one only the names of the mesh are known."""
    try:
        servers = nameservers(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        _log.warning("dns: %s cannot be read: %s", path, error)
        return []
    return [(server, _PORT) for server in servers]
