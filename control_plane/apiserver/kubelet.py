"""Reaching the kubelet of a pod's node: its address, and TLS by which each side knows the other.

The files are those of kube-apiserver's `--kubelet-certificate-authority`, `--kubelet-client-certificate` and
`--kubelet-client-key`. They are read at the first use, and again when they have changed.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from control_plane.apiserver.failure import Failure
from control_plane.resources.manifest import Manifest, name_of, objects, section
from control_plane.store.api import ObjectNotFound, Store

CONNECT_TIMEOUT = 10.0
"""Seconds."""
_ADDRESS_TYPES = ("InternalIP", "ExternalIP", "Hostname")
"""In this order, as far as a Node has them."""


@dataclass(frozen=True, slots=True)
class KubeletFiles:
    """PEM files."""

    authority: Path
    """Who signs kubelets' certificates."""
    certificate: Path
    """Ours, for kubelets."""
    key: Path


@dataclass(frozen=True, slots=True)
class ContainerPlace:
    """Where a container runs."""

    namespace: str
    pod: str
    container: str
    host: str
    port: int

    def path(self, action: str) -> str:
        """`/containerLogs/shop/web/app`."""
        return f"/{action}/{self.namespace}/{self.pod}/{self.container}"

    @property
    def authority(self) -> str:
        """`host:port` of the kubelet."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Kubelets:
    """Finds kubelets by the Nodes of a store."""

    def __init__(self, store: Store, files: KubeletFiles | None) -> None:
        """Without `files` no kubelet is ever asked."""
        self._store = store
        self._files = files
        self._context: ssl.SSLContext | None = None
        self._stamps: tuple[float, ...] = ()

    def tls(self) -> ssl.SSLContext:
        """Raises Failure (500) when there is none, or its files cannot be used."""
        if self._files is None:
            message = "the API server has no kubelet client certificate (--kubelet-client-certificate)"
            raise Failure(HTTPStatus.INTERNAL_SERVER_ERROR, message)
        files = (self._files.authority, self._files.certificate, self._files.key)
        try:
            stamps = tuple(path.stat().st_mtime for path in files)
            if self._context is None or stamps != self._stamps:
                context = ssl.create_default_context(cafile=str(files[0]))
                context.load_cert_chain(files[1], files[2])
                self._context, self._stamps = context, stamps
        except OSError as exc:  # also ssl.SSLError
            message = f"the kubelet client certificate cannot be used: {exc}"
            raise Failure(HTTPStatus.INTERNAL_SERVER_ERROR, message) from exc
        return self._context

    async def place(self, namespace: str, pod_name: str, container: str) -> ContainerPlace | None:
        """Where a container of a Pod runs; None while the Pod has no node. An empty `container` is the only.

        Raises ObjectNotFound, Failure (400 for another container, 500 for a Node without an address).
        """
        pod = await self._store.get("Pod", namespace, pod_name)
        chosen = chosen_container(pod, container)
        node_name = section(pod, "spec").get("nodeName")
        if not isinstance(node_name, str) or not node_name:
            return None
        try:
            node = await self._store.get("Node", "", node_name)
        except ObjectNotFound as exc:
            message = f'pod {pod_name} is on node "{node_name}", which does not exist'
            raise Failure(HTTPStatus.INTERNAL_SERVER_ERROR, message) from exc
        return ContainerPlace(namespace, pod_name, chosen, *_kubelet_address(node))


def chosen_container(pod: Manifest, wanted: str) -> str:
    """The container that is meant. Raises Failure (400) when there is none, or several to choose from."""
    spec, name = section(pod, "spec"), name_of(pod)
    main = _names(spec, "containers")
    init = _names(spec, "initContainers")
    if wanted:
        if wanted not in main + init + _names(spec, "ephemeralContainers"):
            raise Failure(HTTPStatus.BAD_REQUEST, f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(main) == 1:
        return main[0]
    also = f" or one of the init containers: [{' '.join(init)}]" if init else ""
    message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]{also}"
    raise Failure(HTTPStatus.BAD_REQUEST, message)


def _names(spec: Mapping[str, object], field: str) -> list[str]:
    return [str(one.get("name", "")) for one in objects(spec, field)]


def _kubelet_address(node: Manifest) -> tuple[str, int]:
    """Raises Failure (500)."""
    status = section(node, "status")
    port = section(section(status, "daemonEndpoints"), "kubeletEndpoint").get("Port")
    found = {str(one.get("type")): str(one.get("address")) for one in objects(status, "addresses")}
    for kind in _ADDRESS_TYPES:
        if kind in found and isinstance(port, int):
            return found[kind], port
    message = f"node {name_of(node)} tells no address or port of its kubelet in its status"
    raise Failure(HTTPStatus.INTERNAL_SERVER_ERROR, message)
