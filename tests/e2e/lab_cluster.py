"""Two joined nodes on the real kernel, of each kind and join, and connections between places on them."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import netns
from lab.addressing import Address
from lab.destruction import destroy_lab
from lab.fabric import join_nodes
from lab.lab_file import Join, LabPlan, NodeKind, NodePlan
from lab.network import Node, PodNetwork

_ROUTED, _BRIDGE = NodeKind.ROUTED, NodeKind.BRIDGE
PLANS = {
    "routes": (Join.ROUTES, _ROUTED, _ROUTED),
    "routes to a bridge": (Join.ROUTES, _ROUTED, _BRIDGE),
    "vxlan": (Join.VXLAN, _ROUTED, _ROUTED),
    "vxlan between bridges": (Join.VXLAN, _BRIDGE, _BRIDGE),
}


@dataclass
class Cluster:
    """Two nodes that are joined."""

    root: Path
    plan: LabPlan
    nodes: tuple[Node, Node]


@contextmanager
def running_cluster(kind: str) -> Iterator[Cluster]:
    """One of `PLANS`, of both families; nothing of it is left."""
    join, *kinds = PLANS[kind]
    nodes = tuple(NodePlan(f"n{number}", number, each) for number, each in enumerate(kinds))
    plan = LabPlan(nodes, join, is_dual_stack=True)
    root = Path(f"/run/meshproxy/test-nodes-{os.getpid()}")
    try:
        one, two = (Node(root, plan, node.name) for node in plan.nodes)
        join_nodes(root, plan)
        join_nodes(root, plan)  # joined already
        yield Cluster(root, plan, (one, two))
    finally:
        destroy_lab(root)


def pod_on(node: Node, name: str = "a") -> PodNetwork:
    """Names are unique in the lab."""
    return node.add_pod(f"{name}-{node.name}")


def listen(namespace: Path, address: Address, port: int = 0) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return netns.inside(
        namespace, lambda: socket.create_server((str(address), port), family=family, backlog=512)
    )


def connect(namespace: Path, address: Address, port: int) -> socket.socket:
    """A refusal is raised at once, silence after 5 s."""
    return netns.inside(namespace, lambda: socket.create_connection((str(address), port), timeout=30))
