"""core/v1 Node (pure): where Pods run; of interest for the zone its labels name."""

from typing import Literal

from pydantic import Field

from control_plane.resources.base import Model, ObjectMeta, Resource
from control_plane.resources.field import Count, Items, Quantity, SubdomainName

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


class NodeCondition(Model):
    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str = ""
    message: str = ""
    last_heartbeat_time: str = ""
    """RFC 3339, UTC."""
    last_transition_time: str = ""


class DaemonEndpoint(Model):
    port: int = Field(alias="Port", ge=0, le=65_535)
    """0: no kubelet has said it yet."""


class NodeDaemonEndpoints(Model):
    kubelet_endpoint: DaemonEndpoint | None = None
    """Where the API server finds logs and exec."""


class NodeSwapStatus(Model):
    capacity: int | None = None


class NodeSystemInfo(Model):
    architecture: str = ""
    boot_id: str = ""
    container_runtime_version: str = ""
    kernel_version: str = ""
    kube_proxy_version: str = ""
    kubelet_version: str = ""
    machine_id: str = ""
    operating_system: str = ""
    os_image: str = ""
    running_in_user_namespace: bool | None = None
    swap: NodeSwapStatus | None = None
    system_uuid: str = Field(default="", alias="systemUUID")


class ContainerImage(Model):
    names: Items[str] = ()
    size_bytes: Count = 0


class AttachedVolume(Model):
    name: str
    device_path: str = ""


class NodeRuntimeHandlerFeatures(Model):
    recursive_read_only_mounts: bool | None = None
    user_namespaces: bool | None = None


class NodeRuntimeHandler(Model):
    name: str = ""
    features: NodeRuntimeHandlerFeatures | None = None


class NodeFeatures(Model):
    supplemental_groups_policy: bool | None = None


class NodeStatus(Model):
    phase: str = ""
    addresses: Items[NodeAddress] = ()
    capacity: dict[str, Quantity] = Field(default_factory=dict)
    allocatable: dict[str, Quantity] = Field(default_factory=dict)
    conditions: Items[NodeCondition] = ()
    daemon_endpoints: NodeDaemonEndpoints = NodeDaemonEndpoints()
    node_info: NodeSystemInfo = NodeSystemInfo()
    images: Items[ContainerImage] = ()
    volumes_attached: Items[AttachedVolume] = ()
    volumes_in_use: Items[str] = ()
    runtime_handlers: Items[NodeRuntimeHandler] = ()
    features: NodeFeatures | None = None
    declared_features: Items[str] = ()

    @property
    def is_ready(self) -> bool:
        """Condition `Ready` is `True`."""
        return any(one.type == "Ready" and one.status == "True" for one in self.conditions)


class Node(Resource):
    """A machine that Pods run on."""

    API_VERSION = "v1"
    KIND = "Node"

    api_version: Literal["v1"]
    kind: Literal["Node"]
    metadata: NodeMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
