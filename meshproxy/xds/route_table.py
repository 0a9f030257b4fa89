"""RouteConfiguration -> a route table, compiled, in steps (pure). What stayed the same is not made again.

One table holds the virtual hosts of all services of a port, so it changes with each of them. Virtual hosts
whose bytes are those of the version before keep their objects, and with them what the router compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from meshproxy.config.route import RouteTable, VirtualHost
from meshproxy.routing.table import CompiledRouteTable
from meshproxy.steps import Steps
from meshproxy.xds.routes import route_table, virtual_host
from meshproxy.xds.strict import checking


@dataclass(frozen=True, slots=True)
class MadeTable:
    """A route table with what its next version is made from."""

    table: RouteTable
    compiled: CompiledRouteTable
    """Of `table`: compiled because only that tells whether the router takes it; the router then uses it."""
    hosts: Mapping[bytes, VirtualHost]
    """By serialised form."""


def making_table(config: RouteConfiguration, path: str, before: MadeTable | None) -> Steps[MadeTable]:
    """Check, translate and compile `config`, which was decoded only. Raises ConfigError."""
    yield from checking(config, path, apart_from="virtual_hosts")
    known = before.hosts if before is not None else {}
    hosts: dict[bytes, VirtualHost] = {}
    listed = []
    for index, message in enumerate(config.virtual_hosts):
        body = message.SerializeToString(deterministic=True)
        host = known.get(body)
        if host is None:
            where = f"{path}.virtual_hosts[{index}]"
            yield from checking(message, where)
            host = virtual_host(message, where, config.name)
        hosts[body] = host
        listed.append(host)
        yield
    table = route_table(config, tuple(listed), path)
    compiled = yield from CompiledRouteTable.in_steps(table, before.compiled if before is not None else None)
    return MadeTable(table, compiled, hosts)
