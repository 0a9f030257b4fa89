"""Containers of a pod: command, environment, ports, probes, mounts (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.field import (
    ConfigKey,
    Count,
    IpAddress,
    Items,
    LabelName,
    NotSupported,
    Port,
    PortName,
    PortOrName,
    Quantity,
    SubdomainName,
)

Positive = Annotated[Count, Field(ge=1)]


class ObjectFieldSelector(Model):
    field_path: Annotated[str, Field(min_length=1)]
    """E.g. `status.podIP` or `metadata.labels['app']`."""
    api_version: Literal["v1"] = "v1"


class ConfigMapKeySelector(Model):
    name: SubdomainName
    key: ConfigKey
    optional: bool = False


class EnvVarSource(Model):
    field_ref: ObjectFieldSelector | None = None
    config_map_key_ref: ConfigMapKeySelector | None = None
    secret_key_ref: NotSupported = None
    resource_field_ref: NotSupported = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.field_ref is None) == (self.config_map_key_ref is None):
            raise PydanticCustomError("invalid_value", "exactly one of fieldRef, configMapKeyRef is required")
        return self


class EnvVar(Model):
    name: Annotated[str, Field(min_length=1, pattern=r"^[^=\x00]+$")]
    value: str = ""
    value_from: EnvVarSource | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.value and self.value_from is not None:
            raise PydanticCustomError("invalid_value", "value and valueFrom exclude each other")
        return self


class ContainerPort(Model):
    container_port: Port
    name: PortName | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    host_port: NotSupported = None
    host_ip: NotSupported = None


class HttpHeader(Model):
    name: str
    value: str


class HttpGetAction(Model):
    port: PortOrName
    path: str = "/"
    host: str = ""
    """Empty: the pod's address."""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: Items[HttpHeader] = ()


class TcpSocketAction(Model):
    port: PortOrName
    host: str = ""


class ExecAction(Model):
    command: Annotated[Items[str], Field(min_length=1)]


class GrpcAction(Model):
    port: Port
    service: str = ""


class SleepAction(Model):
    seconds: Count


class Probe(Model):
    """Exactly one action. Times are in whole seconds; defaults are Kubernetes'."""

    http_get: HttpGetAction | None = None
    tcp_socket: TcpSocketAction | None = None
    exec_: ExecAction | None = None
    grpc: GrpcAction | None = None
    initial_delay_seconds: Count = 0
    period_seconds: Positive = 10
    timeout_seconds: Positive = 1
    success_threshold: Positive = 1
    failure_threshold: Positive = 3
    termination_grace_period_seconds: Positive | None = None

    @model_validator(mode="after")
    def _check_one_action(self) -> Self:
        if sum(action is not None for action in (self.http_get, self.tcp_socket, self.exec_, self.grpc)) != 1:
            raise PydanticCustomError(
                "invalid_value", "exactly one of httpGet, tcpSocket, exec, grpc is required"
            )
        return self


class LifecycleHandler(Model):
    exec_: ExecAction | None = None
    http_get: HttpGetAction | None = None
    sleep: SleepAction | None = None
    tcp_socket: NotSupported = None

    @model_validator(mode="after")
    def _check_one_action(self) -> Self:
        if sum(action is not None for action in (self.exec_, self.http_get, self.sleep)) != 1:
            raise PydanticCustomError("invalid_value", "exactly one of exec, httpGet, sleep is required")
        return self


class Lifecycle(Model):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None


class ResourceRequirements(Model):
    limits: dict[str, Quantity] = Field(default_factory=dict)
    requests: dict[str, Quantity] = Field(default_factory=dict)


class Capabilities(Model):
    add: Items[str] = ()
    drop: Items[str] = ()


class SeccompProfile(Model):
    type: Literal["RuntimeDefault", "Unconfined", "Localhost"]
    localhost_profile: str = ""


class SecurityContext(Model):
    run_as_user: Count | None = None
    run_as_group: Count | None = None
    run_as_non_root: bool | None = None
    privileged: bool = False
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool = False
    capabilities: Capabilities = Capabilities()
    seccomp_profile: SeccompProfile | None = None


class VolumeMount(Model):
    name: LabelName
    mount_path: Annotated[str, Field(min_length=1)]
    read_only: bool = False
    sub_path: str = ""
    sub_path_expr: NotSupported = None
    mount_propagation: NotSupported = None


class Container(Model):
    """One container. `command` and `args` are not expanded here."""

    name: LabelName
    image: str = ""
    command: Items[str] = ()
    args: Items[str] = ()
    working_dir: str = ""
    env: Items[EnvVar] = ()
    ports: Items[ContainerPort] = ()
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    resources: ResourceRequirements = ResourceRequirements()
    security_context: SecurityContext = SecurityContext()
    volume_mounts: Items[VolumeMount] = ()
    restart_policy: Literal["Always"] | None = None
    """Only on an init container: `Always` makes it a native sidecar."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    termination_message_path: str = ""
    termination_message_policy: Literal["File", "FallbackToLogsOnError"] = "File"
    env_from: NotSupported = None
    volume_devices: NotSupported = None
    resize_policy: NotSupported = None
    stdin: Literal[False] = False
    stdin_once: Literal[False] = False
    tty: Literal[False] = False


class ContainerStateRunning(Model):
    started_at: str = ""


class ContainerStateWaiting(Model):
    reason: str = ""
    message: str = ""


class ContainerStateTerminated(Model):
    exit_code: int
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: str = ""
    finished_at: str = ""
    container_id: str = ""


class ContainerState(Model):
    running: ContainerStateRunning | None = None
    waiting: ContainerStateWaiting | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(Model):
    name: str
    ready: bool
    restart_count: Count
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()
    started: bool | None = None
    image: str = ""
    image_id: str = ""
    container_id: str = ""


class IpHolder(Model):
    """An element of `podIPs` and `hostIPs`."""

    ip: IpAddress
