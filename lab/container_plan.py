"""From a container of a pod to the plan its process is launched with (pure)."""

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path

from control_plane.resources.container import Container, VolumeMount
from control_plane.resources.pod import HostAlias, Pod
from lab.environment import PodFacts, PodStartError, container_command, container_environment, expand
from lab.launch import LaunchPlan, Mount
from lab.pod_sources import PodSources

_CAPABILITIES = {"NET_ADMIN": 12, "NET_RAW": 13, "NET_BIND_SERVICE": 10}
"""What a container may be given; numbers of linux/capability.h."""
TERMINATION_FOLDER = "termination"
"""In the pod's directory: a file for each container, `terminationMessagePath` in it."""
_FIRST_OWN_UID = 20000
"""Containers that name no user get one of their pod's own: this plus the low half of the pod's address."""


def container_user(pod: Pod, container: Container, pod_ip: str) -> tuple[int, int]:
    """uid and gid: the container's, else the pod's, else one no other pod has."""
    own = _FIRST_OWN_UID + (int(ipaddress.IPv4Address(pod_ip)) & 0xFFFF)
    contexts = (container.security_context, pod.spec.security_context)
    uid = next((c.run_as_user for c in contexts if c.run_as_user is not None), own)
    gid = next((c.run_as_group for c in contexts if c.run_as_group is not None), uid)
    return uid, gid


def container_groups(pod: Pod) -> list[int]:
    """Supplementary groups of every process of the pod."""
    context = pod.spec.security_context
    own = [] if context.fs_group is None else [context.fs_group]
    return [*own, *context.supplemental_groups]


def check_non_root(pod: Pod, container: Container, uid: int) -> None:
    """Raises PodStartError when the container must not run as root and would."""
    contexts = (container.security_context, pod.spec.security_context)
    wanted = next((c.run_as_non_root for c in contexts if c.run_as_non_root is not None), False)
    if wanted and uid == 0:
        raise PodStartError(
            f"container's runAsUser breaks non-root policy (container: {container.name})",
        )


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
    sources: PodSources,
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
    variables = container_environment(container, facts, sources, base)
    uid, gid = container_user(facts.pod, container, facts.pod_ip)
    check_non_root(facts.pod, container, uid)
    return LaunchPlan(
        argv=container_command(container, variables),
        env=variables,
        network=network,
        hostname=pod_names(facts.pod)[0],
        cwd=container.working_dir or source_root,
        uid=uid,
        gid=gid,
        capabilities=container_capabilities(container),
        groups=container_groups(facts.pod),
        mounts=[
            *view,
            *_own_files(container, pod_directory),
            *_volume_mounts(container, facts.pod, pod_directory, variables),
        ],
    )


def _own_files(container: Container, pod_directory: Path) -> list[Mount]:
    message = str(pod_directory / TERMINATION_FOLDER / container.name)
    return [
        Mount("/etc/resolv.conf", str(pod_directory / "resolv.conf")),
        Mount("/etc/hosts", str(pod_directory / "hosts")),
        Mount(container.termination_message_path, message, read_only=False),
    ]


def sub_path(mount: VolumeMount, variables: Mapping[str, str]) -> str:
    """The part of the volume that is mounted, below its root. Raises PodStartError for one outside of it."""
    found = expand(mount.sub_path_expr, variables) if mount.sub_path_expr else mount.sub_path
    if found.startswith("/") or ".." in found.split("/") or "\0" in found:
        raise PodStartError(f"subPathExpr of {mount.mount_path} gives {found!r}, not below the volume")
    return found


def _volume_mounts(
    container: Container, pod: Pod, pod_directory: Path, variables: Mapping[str, str]
) -> list[Mount]:
    writable = {volume.name for volume in pod.spec.volumes if volume.empty_dir is not None}
    mounts = []
    for mount in container.volume_mounts:
        source = str(pod_directory / "volumes" / mount.name)
        read_only = mount.read_only or mount.name not in writable
        below = sub_path(mount, variables)
        mounts.append(Mount(mount.mount_path, source, read_only=read_only, below=below))
    return sorted(mounts, key=lambda mount: mount.path)


def hosts_file(pod_ips: Sequence[str], names: Sequence[str], aliases: Sequence[HostAlias] = ()) -> str:
    """A pod's /etc/hosts: localhost, its own names, and its `hostAliases`."""
    own = [f"{address}\t{' '.join(names)}" for address in pod_ips]
    more = [f"{alias.ip}\t{' '.join(alias.hostnames)}" for alias in aliases]
    local = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    return "".join(f"{line}\n" for line in (*local, *own, *more))


def pod_names(pod: Pod) -> tuple[str, list[str]]:
    """The host name of a pod's processes, and the names of its own addresses in /etc/hosts."""
    short = pod.spec.hostname or pod.metadata.name[:63].rstrip("-.")
    if pod.spec.hostname_override is not None:
        return pod.spec.hostname_override[:63], [pod.spec.hostname_override]
    if pod.spec.subdomain is None:
        return short, [short]
    full = f"{short}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.cluster.local"
    return (full[:63] if pod.spec.set_hostname_as_fqdn else short), [full, short]
