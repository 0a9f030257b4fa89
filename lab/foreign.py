"""A lab for an API server that is not its own: how one reaches the other, what is put there and taken away.

The API server runs somewhere else, at best on this host, and what it serves is used as any mesh would use it.
Its control plane and injector are in namespaces of their own, so the supervisor relays their connections, and
the API server calls the injector on the host's loopback.
"""

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from control_plane.client import ApiClient, Conflict, NotFound
from control_plane.kubeconfig import Kubeconfig
from control_plane.resources.manifest import Manifest, kind_of, name_of, namespace_of, section
from injector.registration import NAME as REGISTRATION
from injector.registration import NAMESPACE
from lab import netns
from lab.addressing import SERVICE_NETWORK

API_PORT = 6443
"""Of the relay, in the namespaces of the control plane and of the injector."""
INJECTOR_NAME = "localhost"
"""How the API server finds the injector, and verifies it."""
MANAGER = "meshproxy-lab"
"""Owner of the fields of what the supervisor puts there."""
_HTTPS = 443
_RUNTIME = "lab://"
"""What Nodes say that are a lab's: `status.nodeInfo.containerRuntimeVersion`."""


class ForeignApiError(Exception):
    """The API server cannot be used by a lab; the message says why."""


@dataclass(frozen=True, slots=True)
class ForeignAccess:
    """What the injector needs to be in the middle of it."""

    kubeconfig: Path
    """Good in the injector's namespace."""
    webhook: socket.socket
    """On the host's loopback."""

    @property
    def url(self) -> str:
        """Of the webhook, without a path."""
        return f"https://{INJECTOR_NAME}:{self.webhook.getsockname()[1]}"


def address_of(config: Kubeconfig) -> tuple[str, int]:
    """Host and port of the API server (pure)."""
    parts = urlsplit(config.server)
    return parts.hostname or "", parts.port or _HTTPS


def relayed(config: Kubeconfig) -> Kubeconfig:
    """For where the API server is reached by a relay (pure)."""
    name = config.tls_server_name or address_of(config)[0]
    return replace(config, server=f"https://127.0.0.1:{API_PORT}", tls_server_name=name)


def listen(namespace: Path) -> socket.socket:
    """For the relay in a network namespace."""
    return netns.inside(namespace, lambda: socket.create_server(("127.0.0.1", API_PORT)))


async def prepare(client: ApiClient, nodes: Sequence[str], objects: Sequence[Manifest]) -> None:
    """Put the lab's own `objects` there, and their Namespace. Raises ForeignApiError, ApiError."""
    await _check_services(client)
    for node in nodes:
        await _check_node(client, node)
    metadata: Manifest = {"name": NAMESPACE, "labels": {"kubernetes.io/metadata.name": NAMESPACE}}
    await _create(client, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    for manifest in objects:
        if namespace_of(manifest) == NAMESPACE:
            await client.server_side_apply(manifest, manager=MANAGER, force=True)
        else:
            await _create(client, manifest)  # the cluster's own, such as kube-dns, is left alone


async def remove(client: ApiClient, nodes: Sequence[str], objects: Sequence[Manifest]) -> None:
    """Take away what kubelets, injector and supervisor have put there; what users have stays, but for the
    Pods that ran on the lab's nodes. Raises ApiError, httpx.TransportError."""
    await _delete(client, "MutatingWebhookConfiguration", REGISTRATION)
    for manifest in objects:
        if namespace_of(manifest) == NAMESPACE:
            await _delete(client, kind_of(manifest), name_of(manifest), NAMESPACE)
    known = {name_of(node) for node in (await client.list("Node")).items if _is_of_lab(node)}
    ours = known.intersection(nodes)
    for pod in (await client.list("Pod")).items:
        if section(pod, "spec").get("nodeName") in ours:
            await _delete(client, "Pod", name_of(pod), namespace_of(pod))
    for node in ours:
        await _delete(client, "Node", node)


async def _check_services(client: ApiClient) -> None:
    """Nodes route one network of ClusterIPs."""
    try:
        service = await client.get("Service", "kubernetes", "default")
    except NotFound:
        return
    address = str(section(service, "spec").get("clusterIP") or "")
    if address and ip_address(address) not in SERVICE_NETWORK:
        raise ForeignApiError(
            f"Services of this API server have addresses such as {address}, and a lab's nodes know the way "
            f"to {SERVICE_NETWORK} only: start it with --service-cluster-ip-range={SERVICE_NETWORK}"
        )


async def _check_node(client: ApiClient, name: str) -> None:
    try:
        node = await client.get("Node", name)
    except NotFound:
        return
    if not _is_of_lab(node):
        raise ForeignApiError(f"Node {name} is no lab's: give the lab's nodes other names, with --topology")


def _is_of_lab(node: Manifest) -> bool:
    """Also one whose kubelet has said nothing yet."""
    info = section(section(node, "status"), "nodeInfo")
    return str(info.get("containerRuntimeVersion") or _RUNTIME).startswith(_RUNTIME)


async def _create(client: ApiClient, manifest: Manifest) -> None:
    """Unless it is there: then it is left as it is."""
    try:
        await client.get(kind_of(manifest), name_of(manifest), namespace_of(manifest))
    except NotFound:
        with contextlib.suppress(Conflict):
            await client.create(manifest)


async def _delete(client: ApiClient, kind: str, name: str, namespace: str = "") -> None:
    grace = 0 if kind == "Pod" else None
    try:
        await client.delete(kind, name, namespace, grace_period=grace)
    except NotFound:
        return
