"""core/v1 Pod, and the template a Deployment makes pods from (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Condition, Model, Resource
from control_plane.resources.container import Container, ContainerStatus, IpHolder, SeccompProfile
from control_plane.resources.field import (
    Annotations,
    Count,
    Items,
    LabelName,
    Labels,
    NotSupported,
    SubdomainName,
)
from control_plane.resources.service_account import LocalObjectReference
from control_plane.resources.volume import Volume


class Sysctl(Model):
    name: str
    value: str


class PodSecurityContext(Model):
    run_as_user: Count | None = None
    run_as_group: Count | None = None
    run_as_non_root: bool | None = None
    fs_group: Count | None = None
    supplemental_groups: Items[Count] = ()
    seccomp_profile: SeccompProfile | None = None
    sysctls: Items[Sysctl] = ()


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
    dns_policy: Literal["ClusterFirst", "ClusterFirstWithHostNet", "Default"] = "ClusterFirst"
    security_context: PodSecurityContext = PodSecurityContext()
    hostname: LabelName | None = None
    subdomain: LabelName | None = None
    share_process_namespace: bool = False
    enable_service_links: bool = True
    """Accepted and without effect: the environment variables it makes are not produced."""
    scheduler_name: str = "default-scheduler"
    image_pull_secrets: Items[LocalObjectReference] = ()
    affinity: NotSupported = None
    node_selector: Labels = Field(default_factory=dict)
    """Labels of the node that the lab binds it to."""
    tolerations: NotSupported = None
    topology_spread_constraints: NotSupported = None
    dns_config: NotSupported = None
    host_aliases: NotSupported = None
    host_pid: Literal[False] = Field(default=False, alias="hostPID")
    host_ipc: Literal[False] = Field(default=False, alias="hostIPC")
    priority_class_name: NotSupported = None
    runtime_class_name: NotSupported = None
    ephemeral_containers: NotSupported = None
    readiness_gates: NotSupported = None
    active_deadline_seconds: NotSupported = None

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
    observed_generation: Count = 0
    qos_class: str = ""

    @property
    def is_ready(self) -> bool:
        """Condition `Ready` is `True`."""
        return any(condition.type == "Ready" and condition.status == "True" for condition in self.conditions)


class Pod(Resource):
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
