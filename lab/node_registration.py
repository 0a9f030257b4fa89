"""The Node object of a kubelet: made when it is missing, its status renewed as long as the kubelet lives."""

import asyncio
import logging
import os
import platform
import time
from pathlib import Path

import httpx

from control_plane.client import ApiClient, ApiError, Conflict, NotFound
from control_plane.resources.manifest import Manifest, objects, section
from control_plane.resources.timestamp import rfc3339
from lab.network import Node

_log = logging.getLogger(__name__)

HEARTBEAT = 10.0
"""Seconds between renewals of the status."""
_RETRY = 1.0
_MAX_PODS = 110
_CONDITIONS = {
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
}


def capacity() -> dict[str, int | float | str]:
    """What this machine has, as quantities; every node of a lab has all of it."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    disk = os.statvfs("/")
    return {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{pages // 1024}Ki",
        "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
        "pods": str(_MAX_PODS),
    }


def conditions(previous: list[Manifest], now: str, *, is_ready: bool = True) -> list[Manifest]:
    """Of the Node; those whose status stays keep the time of their last change."""
    made = []
    for kind, (status, reason, message) in _CONDITIONS.items():
        if kind == "Ready" and not is_ready:
            status, reason, message = "False", "KubeletNotReady", "the kubelet is stopping"
        old = next((one for one in previous if (one.get("type"), one.get("status")) == (kind, status)), {})
        made.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": old.get("lastTransitionTime") or now,
            }
        )
    return made


class NodeRegistration:
    """Keeps one Node object."""

    def __init__(self, client: ApiClient, node: Node, labels: dict[str, str], *, kubelet_port: int) -> None:
        self._client = client
        self._node = node
        self._labels = {
            "kubernetes.io/hostname": node.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": _architecture(),
            **labels,
        }
        self._port = kubelet_port
        self._capacity = capacity()
        self._conditions: list[Manifest] = []

    async def run(self) -> None:
        """Register, then renew, for ever."""
        while True:
            try:
                await self.renew()
            except (ApiError, httpx.TransportError) as error:
                _log.warning("node %s was not renewed, trying again: %s", self._node.name, error)
                await asyncio.sleep(_RETRY)
            else:
                await asyncio.sleep(HEARTBEAT)

    async def renew(self, *, is_ready: bool = True) -> None:
        """Write the status once; make the object when it is not there. Raises ApiError, TransportError."""
        try:
            await self._write(is_ready)
        except NotFound:
            await self._create()
            await self._write(is_ready)

    async def _create(self) -> None:
        metadata: Manifest = {"name": self._node.name, "labels": self._labels}
        node: Manifest = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}}
        try:
            await self._client.create(node)
        except Conflict:
            return

    async def _write(self, is_ready: bool) -> None:
        if not self._conditions:
            current = await self._client.get("Node", self._node.name)
            self._conditions = objects(section(current, "status"), "conditions")
            patch = {"metadata": {"labels": self._labels}}
            await self._client.patch("Node", self._node.name, "", patch)
        self._conditions = conditions(self._conditions, rfc3339(time.time()), is_ready=is_ready)
        await self._client.patch("Node", self._node.name, "", {"status": self._status()}, "status")

    def _status(self) -> Manifest:
        addresses = [{"type": "InternalIP", "address": str(address)} for address in self._node.addresses]
        return {
            "addresses": [*addresses, {"type": "Hostname", "address": self._node.name}],
            "capacity": self._capacity,
            "allocatable": self._capacity,
            "conditions": self._conditions,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": _node_info(),
        }


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _node_info() -> Manifest:
    return {
        "architecture": _architecture(),
        "bootID": _first_line(Path("/proc/sys/kernel/random/boot_id")),
        "containerRuntimeVersion": "lab://0.1.0",
        "kernelVersion": platform.release(),
        "kubeProxyVersion": "",
        "kubeletVersion": "v1.33.0-lab",
        "machineID": _first_line(Path("/etc/machine-id")),
        "operatingSystem": "linux",
        "osImage": _os_image(),
        "systemUUID": "",
    }


def _first_line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
