"""The lab's nodes (pure): one, or one for each zone it is told to have, all of them this machine.

Zones differ in nothing but their names: what they are for is to see requests prefer one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from control_plane.resources.manifest import Manifest
from control_plane.resources.node import REGION_LABEL, ZONE_LABEL

NODE_NAME = "node"
"""Of a lab without zones."""
_HOSTNAME_LABEL = "kubernetes.io/hostname"


@dataclass(frozen=True, slots=True)
class LabNode:
    """A node as far as there is one."""

    name: str
    labels: Mapping[str, str]

    @property
    def topology(self) -> dict[str, str]:
        """What Kubernetes copies to the Pods that run there."""
        return {key: self.labels[key] for key in (REGION_LABEL, ZONE_LABEL) if key in self.labels}

    @property
    def manifest(self) -> Manifest:
        labels = dict(self.labels)
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels}}


def nodes_of(zones: str) -> tuple[LabNode, ...]:
    """From `zone,zone` or `region/zone,…`; empty: one node in no zone. Raises ValueError."""
    found = []
    for place in filter(None, (part.strip() for part in zones.split(","))):
        region, _, zone = place.rpartition("/")
        if not all(part.replace("-", "").isalnum() and part.islower() for part in (zone, region or "x")):
            raise ValueError(f"zone {place!r} is not made of lower-case letters, digits and -")
        name = f"{NODE_NAME}-{'-'.join(filter(None, (region, zone)))}"
        labels = {_HOSTNAME_LABEL: name, ZONE_LABEL: zone}
        found.append(LabNode(name, {**labels, REGION_LABEL: region} if region else labels))
    if len({node.name for node in found}) < len(found):
        raise ValueError(f"zones {zones!r}: one is there twice")
    return tuple(found) or (LabNode(NODE_NAME, {_HOSTNAME_LABEL: NODE_NAME}),)


def is_node(name: str) -> bool:
    """Whether Pods bound to `name` run on this machine."""
    return name == NODE_NAME or name.startswith(f"{NODE_NAME}-")


def node_for(selector: Mapping[str, str], nodes: Iterable[LabNode], bound: Iterable[str]) -> LabNode | None:
    """Of the nodes that fit `selector` the one with the fewest Pods, of which `bound` are the nodes."""
    counts = Counter(bound)
    fitting = [node for node in nodes if selector.items() <= node.labels.items()]
    return min(fitting, key=lambda node: counts[node.name], default=None)
