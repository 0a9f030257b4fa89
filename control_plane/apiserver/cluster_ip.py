"""Choosing the virtual address of a Service (pure).

Addresses in use are those in the Services themselves, so nothing has to be kept in step. The search goes on
from the last one given out, so that the address of a deleted Service is not given to another at once, while
clients still hold connections or DNS answers.
"""

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
DEFAULT_NETWORK = IPv4Network("10.96.0.0/16")
RESERVED = 10
"""The first addresses are given only to who asks: the API server's, DNS (10.96.0.10) and their like."""


class ClusterIpRefused(ValueError):
    """No address can be given; the message says why."""


class ClusterIpAllocator:
    """Hands out addresses of one network, never its first (the network's name) and last (broadcast)."""

    def __init__(self, network: Network = DEFAULT_NETWORK, *, reserved: int = RESERVED) -> None:
        """`network` needs more than `reserved` + 2 addresses."""
        self._network = network
        self._first = reserved + 1
        self._count = network.num_addresses - 1 - self._first
        if self._count < 1:
            raise ValueError(f"network {network} has no address besides the {reserved} reserved ones")
        self._next = 0

    def choose(self, used: Collection[str]) -> str:
        """A free address. Raises ClusterIpRefused when all are in use."""
        for step in range(self._count):
            offset = (self._next + step) % self._count
            address = str(self._network[self._first + offset])
            if address not in used:
                self._next = offset + 1
                return address
        raise ClusterIpRefused(f"every address of {self._network} is in use")

    def check(self, wanted: str, used: Collection[str]) -> None:
        """Whether somebody may have the address they ask for. Raises ClusterIpRefused."""
        try:
            address = ip_address(wanted)
        except ValueError:
            raise ClusterIpRefused(f"{wanted} is not an IP address") from None
        edges = (self._network.network_address, self._network.broadcast_address)
        if address.version != self._network.version:
            raise ClusterIpRefused(f"{wanted} is not an IPv{self._network.version} address")
        if address not in self._network or address in edges:
            raise ClusterIpRefused(f"{wanted} is not a usable address of {self._network}")
        if wanted in used:
            raise ClusterIpRefused(f"{wanted} is already allocated")
