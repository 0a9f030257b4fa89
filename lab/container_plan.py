"""From a container of a pod to the plan its process is launched with (pure)."""

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path

from control_plane.resources.container import Container
from control_plane.resources.pod import Pod
from lab.environment import PodFacts, PodStartError, container_command, container_environment
from lab.launch import LaunchPlan, Mount

_CAPABILITIES = {"NET_ADMIN": 12, "NET_RAW": 13, "NET_BIND_SERVICE": 10}
"""What a container may be given; numbers of linux/capability.h."""
_FIRST_OWN_UID = 20000
"""Containers that name no user get one of their pod's own: this plus the low half of the pod's address."""


def container_user(pod: Pod, container: Container, pod_ip: str) -> tuple[int, int]:
    """uid and gid: the container's, else the pod's, else one no other pod has."""
    own = _FIRST_OWN_UID + (int(ipaddress.IPv4Address(pod_ip)) & 0xFFFF)
    contexts = (container.security_context, pod.spec.security_context)
    uid = next((c.run_as_user for c in contexts if c.run_as_user is not None), own)
    gid = next((c.run_as_group for c in contexts if c.run_as_group is not None), uid)
    return uid, gid


def container_capabilities(container: Container) -> list[int]:
    """Numbers of the capabilities it keeps. Raises PodStartError for one the lab does not give."""
    if container.security_context.privileged:
        raise PodStartError(f"container {container.name}: privileged containers are not run by the lab")
    names = [name.removeprefix("CAP_") for name in container.security_context.capabilities.add]
    unknown = [name for name in names if name not in _CAPABILITIES]
    if unknown:
        raise PodStartError(
            f"container {container.name}: capability {unknown[0]} is not given by the lab; "
            f"it gives {', '.join(_CAPABILITIES)}"
        )
    return sorted(_CAPABILITIES[name] for name in names)


def launch_plan(
    container: Container,
    facts: PodFacts,
    config_maps: Mapping[str, Mapping[str, str]],
    *,
    network: str,
    search_path: str,
    source_root: str,
    view: Sequence[Mount],
    pod_directory: Path,
) -> LaunchPlan:
    """How to start the container. Raises PodStartError.

    `view` are the mounts that make the interpreter reachable; `pod_directory` holds `volumes/<name>`,
    `resolv.conf` and `hosts`.
    """
    base = {
        "PATH": search_path,
        "HOME": "/tmp",  # noqa: S108 — the container's own tmpfs
        "HOSTNAME": facts.pod.metadata.name,
        "LANG": "C.UTF-8",
        "PYTHONPATH": source_root,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    variables = container_environment(container, facts, config_maps, base)
    uid, gid = container_user(facts.pod, container, facts.pod_ip)
    return LaunchPlan(
        argv=container_command(container, variables),
        env=variables,
        network=network,
        hostname=facts.pod.spec.hostname or facts.pod.metadata.name,
        cwd=container.working_dir or source_root,
        uid=uid,
        gid=gid,
        capabilities=container_capabilities(container),
        mounts=[*view, *_own_files(pod_directory), *_volume_mounts(container, facts.pod, pod_directory)],
    )


def _own_files(pod_directory: Path) -> list[Mount]:
    return [
        Mount("/etc/resolv.conf", str(pod_directory / "resolv.conf")),
        Mount("/etc/hosts", str(pod_directory / "hosts")),
    ]


def _volume_mounts(container: Container, pod: Pod, pod_directory: Path) -> list[Mount]:
    writable = {volume.name for volume in pod.spec.volumes if volume.empty_dir is not None}
    mounts = []
    for mount in container.volume_mounts:
        source = pod_directory / "volumes" / mount.name / mount.sub_path
        read_only = mount.read_only or mount.name not in writable
        mounts.append(Mount(mount.mount_path, str(source), read_only=read_only))
    return sorted(mounts, key=lambda mount: mount.path)


def hosts_file(pod_ip: str, hostname: str) -> str:
    """A pod's /etc/hosts."""
    return f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{pod_ip}\t{hostname}\n"


def enter_command(
    pid: int, uid: int, gid: int, cwd: str, variables: Mapping[str, str], command: Sequence[str]
) -> list[str]:
    """A command line that runs `command` beside the container whose process is `pid`, with its rights."""
    return [
        "nsenter",
        f"--target={pid}",
        *("--mount", "--uts", "--ipc", "--net", "--pid"),
        "--",
        "setpriv",
        *(f"--reuid={uid}", f"--regid={gid}", "--clear-groups"),
        *("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"),
        "--",
        "env",
        *("--ignore-environment", f"--chdir={cwd}"),
        *(f"{name}={value}" for name, value in variables.items()),
        *command,
    ]
