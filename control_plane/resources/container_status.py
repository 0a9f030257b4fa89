"""What a node reports of a container (pure)."""

from pydantic import Field

from control_plane.resources.base import Model
from control_plane.resources.container import ResourceRequirements
from control_plane.resources.field import Count, IpAddress, Items, Quantity


class ContainerStateRunning(Model):
    started_at: str = ""
    """RFC 3339."""


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
    """At most one of them; none means waiting."""

    running: ContainerStateRunning | None = None
    waiting: ContainerStateWaiting | None = None
    terminated: ContainerStateTerminated | None = None


class LinuxContainerUser(Model):
    uid: int
    gid: int
    supplemental_groups: Items[int] = ()


class ContainerUser(Model):
    linux: LinuxContainerUser | None = None


class VolumeMountStatus(Model):
    name: str
    mount_path: str
    read_only: bool = False
    recursive_read_only: str = ""


class ResourceHealth(Model):
    resource_id: str = Field(alias="resourceID")
    health: str = ""


class ResourceStatus(Model):
    name: str
    resources: Items[ResourceHealth] = ()


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
    stop_signal: str = ""
    resources: ResourceRequirements | None = None
    allocated_resources: dict[str, Quantity] = Field(default_factory=dict)
    allocated_resources_status: Items[ResourceStatus] = ()
    user: ContainerUser | None = None
    volume_mounts: Items[VolumeMountStatus] = ()


class IpHolder(Model):
    """An element of `podIPs` and `hostIPs`."""

    ip: IpAddress
