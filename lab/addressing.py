"""Which addresses a lab uses (pure): for pods, nodes, the links between nodes, and Services.

    pods of node n      10.244.<n>.0/24    fd00:10:244:<n>::/64    .1 the node, .2 the control plane (node 0)
    links of nodes      172.30.0.<n+1>     fd00:172:30::<n+1>      .254 whoever is outside of the cluster
    Services            10.96.0.0/16       fd00:10:96::/112

A pod's IPv6 address follows from its IPv4 address, so that only one has to be kept.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

POD_NETWORK = IPv4Network("10.244.0.0/16")
POD_NETWORK_6 = IPv6Network("fd00:10:244::/48")
SERVICE_NETWORK = IPv4Network("10.96.0.0/16")
SERVICE_NETWORK_6 = IPv6Network("fd00:10:96::/112")
DNS_ADDRESS = IPv4Address("10.96.0.10")
FABRIC_NETWORK = IPv4Network("172.30.0.0/24")
FABRIC_NETWORK_6 = IPv6Network("fd00:172:30::/64")
OUTSIDE = 254
"""Host part, in the fabric's networks, of who stands outside of the cluster."""
_FIRST_POD = 3


class NoAddressLeft(Exception):
    """Every address of a node is in use."""


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """The addresses of the node with a number from 0 to 252."""

    number: int

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network((int(POD_NETWORK.network_address) + (self.number << 8), 24))

    @property
    def pods_6(self) -> IPv6Network:
        return IPv6Network((int(POD_NETWORK_6.network_address) + (self.number << 64), 64))

    @property
    def node(self) -> IPv4Address:
        """By which pods and other nodes know the node."""
        return self.pods[1]

    @property
    def node_6(self) -> IPv6Address:
        return self.pods_6[1]

    @property
    def control_plane(self) -> IPv4Address:
        return self.pods[2]

    @property
    def fabric(self) -> IPv4Address:
        """On the link to the other nodes."""
        return FABRIC_NETWORK[self.number + 1]

    @property
    def fabric_6(self) -> IPv6Address:
        return FABRIC_NETWORK_6[self.number + 1]

    def second(self, pod: IPv4Address) -> IPv6Address:
        """The IPv6 address of the pod at `pod`."""
        return self.pods_6[int(pod) & 0xFF]


class PodAddresses:
    """Next-fit allocator of one node's /24: a freed address is reused as late as possible, so that whoever
    still remembers the old pod does not reach the new one."""

    def __init__(self, network: IPv4Network) -> None:
        self._addresses = list(network.hosts())[_FIRST_POD - 1 :]
        self._taken: set[IPv4Address] = set()
        self._next = 0

    def take(self, address: IPv4Address) -> None:
        """Mark an address as used; it may lie outside the range (the control plane's)."""
        self._taken.add(address)

    def allocate(self) -> IPv4Address:
        """Raises NoAddressLeft when every address is in use."""
        for step in range(len(self._addresses)):
            index = (self._next + step) % len(self._addresses)
            if self._addresses[index] not in self._taken:
                self._next = index + 1
                self._taken.add(self._addresses[index])
                return self._addresses[index]
        raise NoAddressLeft(f"all {len(self._addresses)} pod addresses of the node are in use; delete pods")

    def release(self, address: IPv4Address) -> None:
        self._taken.discard(address)
