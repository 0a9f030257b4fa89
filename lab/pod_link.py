"""How a pod is joined to its node (pure): batches for `ip`, for either kind of node.

Routed: a /32 (and /128) route a pod through a veth pair; the pod's only neighbour is a link-local next hop
that nobody owns (the choice is Calico's), with a permanent entry on both sides: nothing waits for ARP. Two
pods never share a layer 2.

Bridge: the node's side of each pair is a port of the bridge `cni0`, which has the node's address; neighbours
are found by ARP and neighbour discovery, as on flannel's and Docker's bridges. Ports reflect (hairpin), so
that a pod that is translated to itself is answered.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from lab.addressing import NodeAddresses
from lab.lab_file import NodeKind

BRIDGE = "cni0"
NODE_MAC = "02:00:00:00:00:01"
INTERFACE_PREFIX = "lab"
FIRST_INDEX = 1000
"""Of our ends of veth pairs. Where both ends have the same index, which is easily so between namespaces, the
kernel takes the pair for one interface and waits up to a second before it lets packets through."""
_GATEWAY = "169.254.1.1"
_GATEWAY_6 = "fe80::1"


@dataclass(frozen=True, slots=True)
class PodLink:
    """One pod's pair of interfaces."""

    name: str
    """The pod's; kept as the alias of the node's side."""
    address: IPv4Address
    address_6: IPv6Address | None
    namespace: Path
    mtu: int

    @property
    def interface(self) -> str:
        return interface(self.address)


def interface(address: IPv4Address) -> str:
    """The node-side interface of a pod: the address in hexadecimal, 11 of the 15 characters a name may
    have."""
    return f"{INTERFACE_PREFIX}{int(address):08x}"


def mac(address: IPv4Address) -> str:
    """A locally administered MAC that carries the address."""
    return "02:01:" + ":".join(f"{octet:02x}" for octet in address.packed)


def bridge_commands(node: NodeAddresses, mtu: int, *, is_dual_stack: bool) -> list[str]:
    """To give a bridge node that has the empty bridge its addresses."""
    commands = [
        f"link set {BRIDGE} address {NODE_MAC} mtu {mtu} up",
        f"address replace {node.node}/24 dev {BRIDGE}",
    ]
    if is_dual_stack:
        commands.append(f"address replace {node.node_6}/64 dev {BRIDGE} nodad")
    return commands


def node_commands(link: PodLink, kind: NodeKind, node: NodeAddresses) -> list[str]:
    """For the node's namespace; makes the pair."""
    name, pod_mac = link.interface, mac(link.address)
    # On a bridge the node's side has no address of its own, and must not have the bridge's.
    own = f"address {NODE_MAC} " if kind is NodeKind.ROUTED else ""
    pair = (
        f"link add {name} index {FIRST_INDEX + (int(link.address) & 0xFF)} mtu {link.mtu} {own}type veth"
        f" peer name eth0 mtu {link.mtu} address {pod_mac} netns {link.namespace}"
    )
    if kind is NodeKind.BRIDGE:
        attach = f"link set {name} master {BRIDGE} up alias {link.name}"
        return [pair, attach, f"link set {name} type bridge_slave hairpin on"]
    commands = [
        pair,
        f"link set {name} up alias {link.name}",
        f"neighbour replace {link.address} lladdr {pod_mac} dev {name} nud permanent",
        f"route replace {link.address}/32 dev {name} src {node.node}",
    ]
    if link.address_6 is not None:
        commands += [
            f"neighbour replace {link.address_6} lladdr {pod_mac} dev {name} nud permanent",
            f"route replace {link.address_6}/128 dev {name} src {node.node_6}",
        ]
    return commands


def pod_commands(link: PodLink, kind: NodeKind, node: NodeAddresses) -> list[str]:
    """For the pod's namespace, where its side of the pair is `eth0`."""
    commands = ["link set lo up"]
    if kind is NodeKind.BRIDGE:
        commands += [
            f"address add {link.address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {node.node} dev eth0",
        ]
        if link.address_6 is not None:
            commands += [
                f"address add {link.address_6}/64 dev eth0 nodad",
                f"route add default via {node.node_6} dev eth0",
            ]
        return commands
    commands += [
        f"address add {link.address}/32 dev eth0",
        "link set eth0 up",
        f"neighbour replace {_GATEWAY} lladdr {NODE_MAC} dev eth0 nud permanent",
        f"route add default via {_GATEWAY} dev eth0 onlink src {link.address}",
    ]
    if link.address_6 is not None:
        commands += [
            f"address add {link.address_6}/128 dev eth0 nodad",
            f"neighbour replace {_GATEWAY_6} lladdr {NODE_MAC} dev eth0 nud permanent",
            f"route add default via {_GATEWAY_6} dev eth0 onlink src {link.address_6}",
        ]
    return commands
