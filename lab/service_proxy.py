"""A node's Services: keeps its packet filter and its DNS equal to the API's Services and EndpointSlices.

What kube-proxy is to a node; the rules are made by `service_vip.py`, the names by `dns_zone.py`.
"""

import asyncio
import logging

from control_plane.client import WatchEvent
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import key_of
from control_plane.resources.service import Service
from lab import dns
from lab.addressing import DNS_ADDRESS, SERVICE_NETWORK, SERVICE_NETWORK_6, Network
from lab.dns_zone import cluster_zone
from lab.netns import NetworkError
from lab.network import Node
from lab.service_table import vip_ports
from lab.service_vip import LocalPort, ServicePort, TransportProtocol, ruleset

_log = logging.getLogger(__name__)

DNS_PORT = 53
_SETTLE = 0.02
"""Seconds that changes of Services are collected before the packet filter is rewritten."""
_RETRY = 1.0
"""Seconds before a ruleset that was refused is tried again."""
_NETWORKS: dict[int, Network] = {4: SERVICE_NETWORK, 6: SERVICE_NETWORK_6}


class ServiceProxy:
    """Of one node."""

    def __init__(self, node: Node, server: dns.DnsServer) -> None:
        self._node = node
        self._server = server
        self._services: dict[str, Service] = {}
        self._slices: dict[str, EndpointSlice] = {}
        self._dirty = asyncio.Event()

    def on_service(self, event: WatchEvent) -> None:
        """A Service was added, changed or deleted."""
        key = str(key_of(event.object))
        self._services.pop(key, None)
        if event.type != "DELETED":
            try:
                self._services[key] = Service.read(event.object)
            except InvalidResource as error:
                _log.warning("%s is not served by this node: %s", key, error)
        self._dirty.set()

    def on_slice(self, event: WatchEvent) -> None:
        """An EndpointSlice was added, changed or deleted."""
        key = str(key_of(event.object))
        self._slices.pop(key, None)
        if event.type != "DELETED":
            try:
                self._slices[key] = EndpointSlice.read(event.object)
            except InvalidResource as error:
                _log.warning("%s is not used by this node: %s", key, error)
        self._dirty.set()

    async def run(self) -> None:
        """Write the tables after each change, for ever."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(_SETTLE)
            self._dirty.clear()
            try:
                await self._write()
            except NetworkError as error:
                _log.error("Service VIPs were not written, trying again: %s", error)
                await asyncio.sleep(_RETRY)
                self._dirty.set()

    async def _write(self) -> None:
        services, slices = list(self._services.values()), list(self._slices.values())
        self._server.table = cluster_zone(services, slices)
        ports = vip_ports(services, slices, self._node.name)
        await asyncio.to_thread(write_rules, self._node, ports)


def write_rules(node: Node, ports: list[ServicePort]) -> None:
    """The node's rules for each family it has an address of. Blocking; raises NetworkError."""
    local = [LocalPort(DNS_ADDRESS, DNS_PORT, protocol) for protocol in TransportProtocol]
    for address in node.addresses:
        rules = ruleset(
            [port for port in ports if port.address.version == address.version],
            service_network=_NETWORKS[address.version],
            node_address=address,
            local_ports=[port for port in local if port.address.version == address.version],
        )
        node.restore_firewall(rules, address.version)
