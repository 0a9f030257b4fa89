"""Security contexts of pods and containers (pure)."""

from typing import Annotated, Literal

from pydantic import Field

from control_plane.resources.base import Model
from control_plane.resources.field import Count, Items

_INT32 = 2**31 - 1
UserId = Annotated[int, Field(ge=0, le=_INT32)]


class Capabilities(Model):
    add: Items[str] = ()
    drop: Items[str] = ()


class SeccompProfile(Model):
    type: Literal["RuntimeDefault", "Unconfined", "Localhost"]
    localhost_profile: str = ""


class AppArmorProfile(Model):
    type: Literal["RuntimeDefault", "Unconfined", "Localhost"]
    localhost_profile: str = ""


class SeLinuxOptions(Model):
    level: str = ""
    role: str = ""
    type: str = ""
    user: str = ""


class WindowsOptions(Model):
    gmsa_credential_spec: str = ""
    gmsa_credential_spec_name: str = ""
    host_process: bool = False
    run_as_user_name: str = ""


class SecurityContext(Model):
    """Of one container; what it leaves open the pod's decides."""

    run_as_user: UserId | None = None
    run_as_group: UserId | None = None
    run_as_non_root: bool | None = None
    privileged: bool = False
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool = False
    capabilities: Capabilities = Capabilities()
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    se_linux_options: SeLinuxOptions | None = None
    windows_options: WindowsOptions | None = None
    proc_mount: Literal["Default", "Unmasked"] = "Default"


class Sysctl(Model):
    name: str
    value: str


class PodSecurityContext(Model):
    """Of all containers of a pod."""

    run_as_user: UserId | None = None
    run_as_group: UserId | None = None
    run_as_non_root: bool | None = None
    fs_group: Count | None = None
    fs_group_change_policy: Literal["OnRootMismatch", "Always"] | None = None
    supplemental_groups: Items[UserId] = ()
    supplemental_groups_policy: Literal["Merge", "Strict"] = "Merge"
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    se_linux_options: SeLinuxOptions | None = None
    se_linux_change_policy: Literal["MountOption", "Recursive"] | None = None
    windows_options: WindowsOptions | None = None
    sysctls: Items[Sysctl] = ()
