"""Containers of a pod: command, environment, ports, resources, mounts (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.container_env import EnvFromSource, EnvVar
from control_plane.resources.container_probe import Lifecycle, Probe
from control_plane.resources.container_security import SecurityContext
from control_plane.resources.field import Items, LabelName, Port, PortName, Quantity


class ContainerPort(Model):
    container_port: Port
    name: PortName | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    host_port: Port | None = None
    host_ip: str = ""


class ResourceClaim(Model):
    name: str
    request: str = ""


class ResourceRequirements(Model):
    limits: dict[str, Quantity] = Field(default_factory=dict)
    requests: dict[str, Quantity] = Field(default_factory=dict)
    claims: Items[ResourceClaim] = ()


class ContainerResizePolicy(Model):
    resource_name: str
    restart_policy: str


class VolumeMount(Model):
    name: LabelName
    mount_path: Annotated[str, Field(min_length=1)]
    read_only: bool = False
    recursive_read_only: Literal["Disabled", "IfPossible", "Enabled"] | None = None
    sub_path: str = ""
    sub_path_expr: str = ""
    """As `subPath`, with `$(NAME)` of the container's variables."""
    mount_propagation: Literal["None", "HostToContainer", "Bidirectional"] | None = None

    @model_validator(mode="after")
    def _check_sub_path(self) -> Self:
        if self.sub_path and self.sub_path_expr:
            raise PydanticCustomError("invalid_value", "subPath and subPathExpr exclude each other")
        for path in (self.sub_path, self.sub_path_expr):
            if path.startswith("/") or ".." in path.split("/"):
                raise PydanticCustomError("invalid_value", "subPath: must be relative and without '..'")
        return self


class VolumeDevice(Model):
    name: LabelName
    device_path: Annotated[str, Field(min_length=1)]


class Container(Model):
    """One container. `command` and `args` are not expanded here."""

    name: LabelName
    image: str = ""
    command: Items[str] = ()
    args: Items[str] = ()
    working_dir: str = ""
    env: Items[EnvVar] = ()
    env_from: Items[EnvFromSource] = ()
    ports: Items[ContainerPort] = ()
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    resources: ResourceRequirements = ResourceRequirements()
    resize_policy: Items[ContainerResizePolicy] = ()
    security_context: SecurityContext = SecurityContext()
    volume_mounts: Items[VolumeMount] = ()
    volume_devices: Items[VolumeDevice] = ()
    restart_policy: Literal["Always"] | None = None
    """Only on an init container: `Always` makes it a native sidecar."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: Literal["File", "FallbackToLogsOnError"] = "File"
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False

    @model_validator(mode="after")
    def _check_success_thresholds(self) -> Self:
        for kind, probe in (("liveness", self.liveness_probe), ("startup", self.startup_probe)):
            if probe is not None and probe.success_threshold != 1:
                raise PydanticCustomError(
                    "invalid_value", "{kind}Probe.successThreshold: must be 1", {"kind": kind}
                )
        return self

    @model_validator(mode="after")
    def _check_ports(self) -> Self:
        names = [port.name for port in self.ports if port.name is not None]
        if len(set(names)) < len(names):
            raise PydanticCustomError("invalid_value", "ports: two ports have the same name")
        return self
