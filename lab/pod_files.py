"""What the lab keeps of one pod on disk: volumes, resolv.conf, hosts, logs, and where its containers run."""

import asyncio
import contextlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from control_plane.client import ApiClient, NotFound
from control_plane.resources.config_map import ConfigMap
from control_plane.resources.container import Container
from control_plane.resources.pod import Pod
from control_plane.resources.quantity import quantity_value
from control_plane.resources.secret import Secret
from control_plane.resources.volume import Volume
from lab import netns
from lab.container import ContainerRecord
from lab.container_log import ContainerLogs
from lab.container_plan import TERMINATION_FOLDER, hosts_file, pod_names, sub_path
from lab.environment import PodFacts, container_environment
from lab.log_line import LogQuery
from lab.pod_record import ContainerPlace, PodRecord, write_pod_record
from lab.pod_sources import PodSources, config_map_data, needed_sources
from lab.resolv_conf import ResolverSettings, parse_resolv_conf, pod_resolver
from lab.volume import (
    make_empty_dir,
    make_message_file,
    make_sub_path,
    mount_memory,
    secret_owner,
    token_projections,
    volume_files,
    write_volume,
)

_LONGEST_MESSAGE = 4096
_LONGEST_LOG_MESSAGE = 2048
_MESSAGE_LINES = 80
"""Kubernetes' limits of what a container leaves to say, in bytes, and in bytes and lines of its log."""
_NODE_RESOLVER = Path("/etc/resolv.conf")


class PodFiles:
    """The directory of one pod."""

    def __init__(self, directory: Path, client: ApiClient) -> None:
        self.directory = directory
        self._client = client

    def logs(self, container: str) -> ContainerLogs:
        """Of one container."""
        return ContainerLogs(self.directory / "logs" / container)

    def set_up(self, facts: PodFacts, dns_servers: Sequence[object]) -> tuple[str, ...]:
        """Write what stays for the pod's life; returns what its resolv.conf had to leave out, in words."""
        pod = facts.pod
        (self.directory / "volumes").mkdir(parents=True, exist_ok=True)
        resolver = pod_resolver(
            pod.metadata.namespace,
            dns_servers,
            policy=pod.spec.dns_policy,
            config=_dns_config(pod),
            node=parse_resolv_conf(_NODE_RESOLVER.read_text()),
            host_network=pod.spec.host_network,
        )
        (self.directory / "resolv.conf").write_text(resolver.text)
        _, names = pod_names(pod)
        addresses = facts.pod_ips or (facts.pod_ip,)
        (self.directory / "hosts").write_text(hosts_file(addresses, names, pod.spec.host_aliases))
        for volume in pod.spec.volumes:
            if volume.empty_dir is not None:
                self._make_empty_dir(volume, pod.spec.security_context.fs_group)
        return tuple(resolver.omitted)

    def _make_empty_dir(self, volume: Volume, fs_group: int | None) -> None:
        assert volume.empty_dir is not None  # the caller's question
        directory = self.directory / "volumes" / volume.name
        if volume.empty_dir.medium == "Memory":
            limit = volume.empty_dir.size_limit
            mount_memory(directory, int(quantity_value(limit)) if limit is not None else 0)
        make_empty_dir(directory, fs_group)

    async def prepare(
        self,
        container: Container,
        facts: PodFacts,
        owners: Mapping[str, tuple[int, int]],
    ) -> PodSources:
        """Write the volumes a container mounts; what its variables come from. Raises PodStartError, ApiError,
        httpx.TransportError, OSError.
        """
        make_message_file(self.directory / TERMINATION_FOLDER / container.name)
        sources = await self.sources(facts.pod)
        await self.write_volumes({mount.name for mount in container.volume_mounts}, facts, sources, owners)
        variables = container_environment(container, facts, sources, {})
        for mount in container.volume_mounts:
            below, root = sub_path(mount, variables), self.directory / "volumes" / mount.name
            if below:
                make_sub_path(root, below, facts.pod.spec.security_context.fs_group)
        return sources

    def end_message(self, container: Container, exit_code: int) -> str:
        """What a container that has ended left to say: its termination message, or the end of its log."""
        try:
            with open(self.directory / TERMINATION_FOLDER / container.name, "rb") as file:
                message = file.read(_LONGEST_MESSAGE).decode(errors="replace")
        except OSError:
            message = ""
        wants_log = container.termination_message_policy == "FallbackToLogsOnError" and exit_code != 0
        if message or not wants_log:
            return message
        lines = self.logs(container.name).read(LogQuery(tail_lines=_MESSAGE_LINES))
        return b"".join(lines)[-_LONGEST_LOG_MESSAGE:].decode(errors="replace")

    async def sources(self, pod: Pod) -> PodSources:
        """The ConfigMaps and Secrets that the pod refers to, as they are now."""
        needed, namespace = needed_sources(pod), pod.metadata.namespace
        maps, secrets = {}, {}
        for name in needed.config_maps:
            with contextlib.suppress(NotFound):
                found = await self._client.get("ConfigMap", name, namespace)
                maps[name] = config_map_data(ConfigMap.read(found))
        for name in needed.secrets:
            with contextlib.suppress(NotFound):
                found = await self._client.get("Secret", name, namespace)
                secrets[name] = Secret.read(found).decoded()
        return PodSources(maps, secrets)

    async def write_volumes(
        self,
        names: Iterable[str],
        facts: PodFacts,
        sources: PodSources,
        owners: Mapping[str, tuple[int, int]],
    ) -> None:
        """Bring the volumes named up to date."""
        wanted = set(names)
        for volume in facts.pod.spec.volumes:
            if volume.name in wanted and volume.empty_dir is None:
                tokens = await self._tokens(volume, facts.pod)
                files = volume_files(volume, facts, sources, tokens)
                directory = self.directory / "volumes" / volume.name
                owner = secret_owner(facts.pod, volume.name, owners)
                write_volume(directory, files, owner, facts.pod.spec.security_context.fs_group)

    async def _tokens(self, volume: Volume, pod: Pod) -> dict[str, str]:
        tokens = {}
        for wanted in token_projections(volume):
            issued = await self._client.create_token(
                pod.metadata.namespace,
                pod.spec.service_account_name,
                audiences=[wanted.audience] if wanted.audience else [],
                pod_name=pod.metadata.name,
                pod_uid=pod.metadata.uid,
                expiration_seconds=wanted.expiration_seconds,
            )
            tokens[wanted.path] = issued.token
        return tokens

    def write_record(self, pod: Pod, pod_ip: str, records: Iterable[ContainerRecord]) -> None:
        """For `meshctl lab exec`: where the containers run."""
        if not self.directory.is_dir():
            return
        containers = {
            record.spec.name: ContainerPlace(record.pid, record.uid, record.gid)
            for record in records
            if record.is_running
        }
        meta, first = pod.metadata, pod.spec.containers[0].name
        state = PodRecord(meta.namespace, meta.name, meta.uid, pod_ip, first, containers)
        write_pod_record(self.directory / "pod.json", state)

    async def remove(self) -> None:
        """Everything, also what is mounted below."""
        for volume in (self.directory / "volumes").glob("*"):
            if volume.is_mount():
                await asyncio.to_thread(netns.unmount, volume)
        shutil.rmtree(self.directory, ignore_errors=True)


def _dns_config(pod: Pod) -> ResolverSettings | None:
    given = pod.spec.dns_config
    if given is None:
        return None
    options = tuple((option.name, option.value) for option in given.options)
    return ResolverSettings(tuple(given.nameservers), tuple(given.searches), options)
