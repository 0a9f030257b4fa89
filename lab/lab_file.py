"""The lab file: which nodes a lab has, of which kind, and how they are joined (pure).

    apiVersion: lab.meshproxy.io/v1alpha1
    kind: Lab
    network: {join: vxlan, families: [IPv4, IPv6], mtu: 1500}
    nodes:
      - {name: one, region: eu, zone: a}
      - {name: two, region: eu, zone: b, kind: bridge, labels: {disk: ssd}}

Read once by `meshctl lab up`; the result lies in the lab's directory as JSON, for its processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.field import Items, LabelName, Labels, LabelValue
from control_plane.resources.invalid import causes_of
from control_plane.resources.node import REGION_LABEL, ZONE_LABEL

DEFAULT_NODE = "node"
HOSTNAME_LABEL = "kubernetes.io/hostname"
MOST_NODES = 32
"""Each has a kubelet, and a tunnel or a route to each of the others."""
VXLAN_OVERHEAD = 50
"""Bytes: outer IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348 section 5)."""
_LOWEST_MTU = 1280 + VXLAN_OVERHEAD
"""What is left of it for pods is the least IPv6 allows (RFC 8200 section 5)."""
_HIGHEST_MTU = 9000


class LabFileError(ValueError):
    """A lab file that makes no lab; the message names file and field."""


class NodeKind(Enum):
    """How pods are joined to their node."""

    ROUTED = "routed"
    """A /32 route a pod, no layer 2 between pods."""
    BRIDGE = "bridge"
    """One bridge for the pods of a node, as flannel's and Docker's."""


class Join(Enum):
    """How pod networks of different nodes reach each other."""

    ROUTES = "routes"
    VXLAN = "vxlan"


class _Network(Model):
    join: Literal["routes", "vxlan"] = "routes"
    families: Items[Literal["IPv4", "IPv6"]] = ("IPv4",)
    mtu: int = Field(default=1500, ge=_LOWEST_MTU, le=_HIGHEST_MTU)

    @model_validator(mode="after")
    def _check_families(self) -> Self:
        if self.families not in (("IPv4",), ("IPv4", "IPv6")):
            raise PydanticCustomError("invalid_value", "families: must be [IPv4] or [IPv4, IPv6]")
        return self


class _Node(Model):
    name: LabelName
    kind: Literal["routed", "bridge"] = "routed"
    region: LabelValue = ""
    zone: LabelValue = ""
    labels: Labels = Field(default_factory=dict)


class _LabFile(Model):
    api_version: Literal["lab.meshproxy.io/v1alpha1"]
    kind: Literal["Lab"]
    network: _Network = _Network()
    nodes: Items[_Node] = Field(min_length=1, max_length=MOST_NODES)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [node.name for node in self.nodes]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError(
                    "invalid_value", "nodes: {name} is there twice", {"name": repr(name)}
                )
        return self


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node."""

    name: str
    number: int
    """0 for the first of the file: where the control plane is, and which addresses are the node's."""
    kind: NodeKind = NodeKind.ROUTED
    region: str = ""
    zone: str = ""
    own_labels: tuple[tuple[str, str], ...] = ()

    @property
    def topology(self) -> dict[str, str]:
        """What Kubernetes copies to the Pods that run there."""
        places = {REGION_LABEL: self.region, ZONE_LABEL: self.zone}
        return {label: place for label, place in places.items() if place}

    @property
    def labels(self) -> dict[str, str]:
        """Of the Node object."""
        return {**dict(self.own_labels), HOSTNAME_LABEL: self.name, **self.topology}


@dataclass(frozen=True, slots=True)
class LabPlan:
    """What a lab is made of."""

    nodes: tuple[NodePlan, ...] = (NodePlan(DEFAULT_NODE, 0),)
    join: Join = Join.ROUTES
    is_dual_stack: bool = False
    mtu: int = 1500
    """Of the links between nodes."""

    @property
    def pod_mtu(self) -> int:
        """The largest packet of a pod, so that it fits into one between nodes."""
        return self.mtu - VXLAN_OVERHEAD if self.join is Join.VXLAN else self.mtu

    def node(self, name: str) -> NodePlan:
        """Raises LabFileError for a name that is nobody's."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise LabFileError(f"the lab has no node {name!r}; it has {known}")

    def to_document(self) -> dict[str, object]:
        """As a lab file that reads as the same plan."""
        families = ["IPv4", "IPv6"] if self.is_dual_stack else ["IPv4"]
        return {
            "apiVersion": "lab.meshproxy.io/v1alpha1",
            "kind": "Lab",
            "network": {"join": self.join.value, "families": families, "mtu": self.mtu},
            "nodes": [
                {
                    "name": node.name,
                    "kind": node.kind.value,
                    "region": node.region,
                    "zone": node.zone,
                    "labels": dict(node.own_labels),
                }
                for node in self.nodes
            ],
        }


def read_lab_file(text: str, path: PurePath) -> LabPlan:
    """The plan a lab file's text describes. Raises LabFileError."""
    try:
        documents = [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        raise LabFileError(f"{path}: not YAML: {error}") from error
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise LabFileError(f"{path}: must be one object with apiVersion, kind and nodes")
    try:
        return _plan(_LabFile.model_validate(documents[0]))
    except ValidationError as error:
        causes = (f"{cause.field}: {cause.message}".removeprefix(": ") for cause in causes_of(error))
        raise LabFileError(f"{path}: {'; '.join(causes)}") from error


def _plan(given: _LabFile) -> LabPlan:
    nodes = (
        NodePlan(
            node.name, number, NodeKind(node.kind), node.region, node.zone, tuple(sorted(node.labels.items()))
        )
        for number, node in enumerate(given.nodes)
    )
    network = given.network
    return LabPlan(tuple(nodes), Join(network.join), "IPv6" in network.families, network.mtu)


def plan_of_zones(zones: str) -> LabPlan:
    """From `zone,zone` or `region/zone,…`: a routed node each; empty: one node in no zone. Raises
    LabFileError."""
    places = [place for part in zones.split(",") if (place := part.strip())]
    if zones and not places:
        raise LabFileError(f"zones {zones!r} names none")
    return LabPlan(_nodes_of(places)) if places else LabPlan()


def _nodes_of(places: Sequence[str]) -> tuple[NodePlan, ...]:
    nodes = []
    for number, place in enumerate(places):
        region, _, zone = place.rpartition("/")
        if not all(part.replace("-", "").isalnum() and part.islower() for part in (zone, region or "x")):
            raise LabFileError(f"zone {place!r} is not made of lower-case letters, digits and -")
        name = f"{DEFAULT_NODE}-{'-'.join(filter(None, (region, zone)))}"
        nodes.append(NodePlan(name, number, region=region, zone=zone))
    if len({node.name for node in nodes}) < len(nodes):
        raise LabFileError(f"zones {', '.join(places)}: one is there twice")
    if len(nodes) > MOST_NODES:
        raise LabFileError(f"{len(nodes)} zones: at most {MOST_NODES} nodes")
    return tuple(nodes)
