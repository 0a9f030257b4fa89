"""core/v1 Pod, and the template a Deployment makes pods from (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Condition, Model, Resource
from control_plane.resources.container import Container, ResourceRequirements
from control_plane.resources.container_probe import Positive
from control_plane.resources.container_security import PodSecurityContext
from control_plane.resources.container_status import ContainerStatus, IpHolder
from control_plane.resources.field import (
    Annotations,
    Count,
    IpAddress,
    Items,
    LabelKey,
    LabelName,
    Labels,
    NotSupported,
    Quantity,
    SubdomainName,
)
from control_plane.resources.pod_placement import Affinity, Toleration, TopologySpreadConstraint
from control_plane.resources.service_account import LocalObjectReference
from control_plane.resources.volume import Volume


class PodDnsConfigOption(Model):
    """An option of resolv.conf."""

    name: str = ""
    value: str | None = None


class PodDnsConfig(Model):
    """Added to what `dnsPolicy` gives."""

    nameservers: Annotated[Items[IpAddress], Field(max_length=3)] = ()
    searches: Annotated[Items[str], Field(max_length=32)] = ()
    options: Items[PodDnsConfigOption] = ()


class HostAlias(Model):
    ip: IpAddress
    hostnames: Items[SubdomainName] = ()


class PodReadinessGate(Model):
    condition_type: LabelKey


class PodOs(Model):
    name: Literal["linux", "windows"]


class PodSchedulingGate(Model):
    name: LabelKey


class PodResourceClaim(Model):
    name: LabelName
    resource_claim_name: str = ""
    resource_claim_template_name: str = ""


class PodResourceClaimStatus(Model):
    name: str
    resource_claim_name: str = ""


class PodSpec(Model):
    containers: Annotated[Items[Container], Field(min_length=1)]
    init_containers: Items[Container] = ()
    volumes: Items[Volume] = ()
    service_account_name: SubdomainName = "default"
    service_account: SubdomainName | None = None
    """Deprecated alias of `serviceAccountName`: Kubernetes writes both, so it may only say the same."""
    automount_service_account_token: bool | None = None
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    termination_grace_period_seconds: Count = 30
    node_name: str = ""
    host_network: bool = False
    dns_policy: Literal["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"] = "ClusterFirst"
    dns_config: PodDnsConfig | None = None
    security_context: PodSecurityContext = PodSecurityContext()
    hostname: LabelName | None = None
    hostname_override: SubdomainName | None = None
    subdomain: LabelName | None = None
    set_hostname_as_fqdn: bool = Field(default=False, alias="setHostnameAsFQDN")
    share_process_namespace: bool = False
    enable_service_links: bool = True
    host_aliases: Items[HostAlias] = ()
    host_pid: bool = Field(default=False, alias="hostPID")
    host_ipc: bool = Field(default=False, alias="hostIPC")
    host_users: bool = True
    image_pull_secrets: Items[LocalObjectReference] = ()
    node_selector: Labels = Field(default_factory=dict)
    """Labels of the node it is bound to."""
    affinity: Affinity | None = None
    tolerations: Items[Toleration] = ()
    topology_spread_constraints: Items[TopologySpreadConstraint] = ()
    scheduler_name: str = "default-scheduler"
    scheduling_gates: Items[PodSchedulingGate] = ()
    priority: int | None = None
    priority_class_name: str = ""
    preemption_policy: Literal["PreemptLowerPriority", "Never"] | None = None
    readiness_gates: Items[PodReadinessGate] = ()
    active_deadline_seconds: Positive | None = None
    runtime_class_name: str | None = None
    overhead: dict[str, Quantity] = Field(default_factory=dict)
    os: PodOs | None = None
    resources: ResourceRequirements | None = None
    resource_claims: Items[PodResourceClaim] = ()
    ephemeral_containers: NotSupported = None
    """Kubernetes, too, takes them through a subresource only."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [container.name for container in (*self.init_containers, *self.containers)]
        if len(set(names)) < len(names):
            raise PydanticCustomError("invalid_value", "containers: two containers have the same name")
        volumes = {volume.name for volume in self.volumes}
        if len(volumes) < len(self.volumes):
            raise PydanticCustomError("invalid_value", "volumes: two volumes have the same name")
        for container in (*self.init_containers, *self.containers):
            for mount in container.volume_mounts:
                if mount.name not in volumes:
                    raise PydanticCustomError(
                        "invalid_value",
                        "container {container} mounts volume {volume}, which is not in volumes",
                        {"container": container.name, "volume": mount.name},
                    )
        return self

    @model_validator(mode="after")
    def _check_account(self) -> Self:
        # Read by nobody: a Pod that names its account only here would run under another identity.
        if self.service_account not in (None, self.service_account_name):
            raise PydanticCustomError(
                "invalid_value",
                "serviceAccount is {alias}, but serviceAccountName is {name}; set serviceAccountName",
                {"alias": self.service_account, "name": self.service_account_name},
            )
        return self

    @model_validator(mode="after")
    def _check_restart_policies(self) -> Self:
        for container in self.containers:
            if container.restart_policy is not None:
                raise PydanticCustomError(
                    "invalid_value",
                    "container {container}: restartPolicy is allowed on init containers only",
                    {"container": container.name},
                )
        return self


class PodStatus(Model):
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"] = "Pending"
    conditions: Items[Condition] = ()
    pod_ip: str = ""
    pod_ips: Items[IpHolder] = ()
    host_ip: str = ""
    host_ips: Items[IpHolder] = ()
    start_time: str = ""
    reason: str = ""
    message: str = ""
    container_statuses: Items[ContainerStatus] = ()
    init_container_statuses: Items[ContainerStatus] = ()
    ephemeral_container_statuses: Items[ContainerStatus] = ()
    observed_generation: Count = 0
    qos_class: str = ""
    nominated_node_name: str = ""
    resize: str = ""
    resources: ResourceRequirements | None = None
    allocated_resources: dict[str, Quantity] = Field(default_factory=dict)
    resource_claim_statuses: Items[PodResourceClaimStatus] = ()

    @property
    def is_ready(self) -> bool:
        """Condition `Ready` is `True`."""
        return any(condition.type == "Ready" and condition.status == "True" for condition in self.conditions)


class Pod(Resource):
    """Containers that share an address."""

    API_VERSION = "v1"
    KIND = "Pod"

    api_version: Literal["v1"]
    kind: Literal["Pod"]
    spec: PodSpec
    status: PodStatus = PodStatus()


class PodTemplateMeta(Model):
    """Metadata of a template: it has no name of its own."""

    name: SubdomainName | None = None
    namespace: LabelName | None = None
    labels: Labels = Field(default_factory=dict)
    annotations: Annotations = Field(default_factory=dict)


class PodTemplate(Model):
    metadata: PodTemplateMeta = PodTemplateMeta()
    spec: PodSpec
