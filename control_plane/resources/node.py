"""core/v1 Node (pure): where Pods run; of interest for the zone its labels name."""

from typing import Literal

from pydantic import Field

from control_plane.resources.base import Condition, Model, ObjectMeta, Resource
from control_plane.resources.field import Items, Quantity, SubdomainName

REGION_LABEL = "topology.kubernetes.io/region"
ZONE_LABEL = "topology.kubernetes.io/zone"
"""Of Nodes; Kubernetes copies both to the Pods that run there."""


class NodeMeta(ObjectMeta):
    name: SubdomainName
    namespace: Literal[""] = ""


class Taint(Model):
    key: str
    value: str = ""
    effect: str
    time_added: str = ""


class NodeSpec(Model):
    """Read by nobody but kubectl: where Pods go is decided elsewhere."""

    pod_cidr: str = Field(default="", alias="podCIDR")
    pod_cidrs: Items[str] = Field(default=(), alias="podCIDRs")
    provider_id: str = Field(default="", alias="providerID")
    unschedulable: bool = False
    taints: Items[Taint] = ()


class NodeAddress(Model):
    type: str
    address: str


class NodeStatus(Model):
    addresses: Items[NodeAddress] = ()
    capacity: dict[str, Quantity] = Field(default_factory=dict)
    allocatable: dict[str, Quantity] = Field(default_factory=dict)
    conditions: Items[Condition] = ()
    node_info: dict[str, str] = Field(default_factory=dict)


class Node(Resource):
    API_VERSION = "v1"
    KIND = "Node"

    api_version: Literal["v1"]
    kind: Literal["Node"]
    metadata: NodeMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
