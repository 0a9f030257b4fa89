"""What joins the nodes of a lab: a namespace that is their switch, and routes or tunnels between them.

    node namespace                                  fabric namespace
    eth0   172.30.0.1  ── veth ──  node-0  ─┐
                                            ├─ bridge `switch`, 172.30.0.254: outside of the cluster
    eth0   172.30.0.2  ── veth ──  node-1  ─┘

With `routes` each node sends the pod network of another to that node's address, as Calico and `host-gw` of
flannel do. With `vxlan` it sends it into the tunnel `vxlan0` (id 42, UDP port 4789, RFC 7348), whose peers,
their MAC addresses and places are permanent entries: nothing is flooded or learnt, as flannel does it. The
fabric then carries packets of nodes only.

Which commands, is pure; `join_nodes` runs them. Blocking.
"""

from pathlib import Path

from lab import netns
from lab.addressing import FABRIC_NETWORK, FABRIC_NETWORK_6, OUTSIDE, NodeAddresses
from lab.lab_file import Join, LabPlan, NodePlan
from lab.pod_link import FIRST_INDEX

FABRIC_FILE = "fabric"
VXLAN_PORT = 4789  # assigned by IANA, RFC 7348 section 5
_VXLAN_ID = 42
_SWITCH = "switch"


def node_file(name: str) -> str:
    """The namespace file of a node: `node` for a node of this name, else `node-<name>`."""
    return name if name == "node" else f"node-{name}"


def fabric_commands(plan: LabPlan, folder: Path) -> list[str]:
    """For the fabric's namespace: the switch, and a link to each node."""
    commands = [
        "link set lo up",
        f"link add {_SWITCH} mtu {plan.mtu} type bridge mcast_snooping 0",
        f"address add {FABRIC_NETWORK[OUTSIDE]}/24 dev {_SWITCH}",
        f"link set {_SWITCH} up",
    ]
    if plan.is_dual_stack:
        commands.append(f"address add {FABRIC_NETWORK_6[OUTSIDE]}/64 dev {_SWITCH} nodad")
    for node in plan.nodes:
        port = f"node-{node.number}"
        commands += [
            f"link add {port} index {FIRST_INDEX + node.number} mtu {plan.mtu} type veth"
            f" peer name eth0 mtu {plan.mtu} netns {folder / node_file(node.name)}",
            f"link set {port} master {_SWITCH} up",
        ]
    return commands


def link_commands(node: NodePlan, plan: LabPlan) -> list[str]:
    """For a node's namespace: its addresses on the fabric, and the tunnel where there is one."""
    own = NodeAddresses(node.number)
    commands = [f"address add {own.fabric}/24 dev eth0", "link set eth0 up"]
    if plan.is_dual_stack:
        commands.append(f"address add {own.fabric_6}/64 dev eth0 nodad")
    if plan.join is Join.VXLAN:
        commands += [
            f"link add vxlan0 mtu {plan.pod_mtu} address {_tunnel_mac(node)} type vxlan id {_VXLAN_ID}"
            f" local {own.fabric} dev eth0 dstport {VXLAN_PORT} nolearning",
            "link set vxlan0 up",
        ]
    return commands


def peer_commands(node: NodePlan, peer: NodePlan, plan: LabPlan) -> list[str]:
    """For a node's namespace: the way to the pods of `peer`."""
    own, other = NodeAddresses(node.number), NodeAddresses(peer.number)
    if plan.join is Join.ROUTES:
        commands = [f"route add {other.pods} via {other.fabric} dev eth0 src {own.node}"]
        if plan.is_dual_stack:
            commands.append(f"route add {other.pods_6} via {other.fabric_6} dev eth0 src {own.node_6}")
        return commands
    first, tunnel = other.pods.network_address, _tunnel_mac(peer)
    commands = [
        f"neighbour add {first} lladdr {tunnel} dev vxlan0 nud permanent",
        f"route add {other.pods} via {first} dev vxlan0 onlink src {own.node}",
    ]
    if plan.is_dual_stack:
        commands += [
            f"neighbour add {other.node_6} lladdr {tunnel} dev vxlan0 nud permanent",
            f"route add {other.pods_6} via {other.node_6} dev vxlan0 onlink src {own.node_6}",
        ]
    return commands


def forwarding_entries(node: NodePlan, plan: LabPlan) -> list[str]:
    """For `bridge` in a node's namespace: at which node's address each other end of the tunnel is."""
    if plan.join is not Join.VXLAN:
        return []
    return [
        f"fdb append {_tunnel_mac(peer)} dev vxlan0 dst {NodeAddresses(peer.number).fabric}"
        for peer in plan.nodes
        if peer != node
    ]


def _tunnel_mac(node: NodePlan) -> str:
    return f"02:02:00:00:00:{node.number:02x}"


def join_nodes(root: Path, plan: LabPlan) -> None:
    """Join the nodes of a lab whose namespaces are there. A single node has nobody to be joined to; nodes
    that are joined already stay so. Raises NetworkError."""
    folder = root / "netns"
    fabric = folder / FABRIC_FILE
    if len(plan.nodes) == 1 or netns.identity(fabric) is not None:
        return
    netns.create(fabric)
    try:
        _join(fabric, folder, plan)
    except BaseException:
        netns.delete(fabric)  # its links go with it
        raise


def _join(fabric: Path, folder: Path, plan: LabPlan) -> None:
    netns.run(fabric, ["ip", "-batch", "-"], stdin="\n".join([*fabric_commands(plan, folder), ""]))
    for node in plan.nodes:
        namespace = folder / node_file(node.name)
        commands = link_commands(node, plan)
        for peer in plan.nodes:
            if peer != node:
                commands += peer_commands(node, peer, plan)
        netns.run(namespace, ["ip", "-batch", "-"], stdin="\n".join([*commands, ""]))
        if entries := forwarding_entries(node, plan):
            netns.run(namespace, ["bridge", "-batch", "-"], stdin="\n".join([*entries, ""]))
