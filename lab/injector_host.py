"""The injector in a lab: where it runs, as what the API knows it, and what it gets before each start.

It runs beside the control plane, in a network namespace of its own on the first node, and not in a pod: the
lab's pods need it before they are made. So that the signing service knows it, it has a Pod object all the
same, as static pods of a kubelet have; its `nodeName` is nobody's, so no kubelet starts it once more.
"""

import asyncio
import json
import logging
import os
import socket
import sys
import time
from ipaddress import IPv4Address
from pathlib import Path

import httpx

from control_plane.client import ApiClient, ApiError, NotFound
from control_plane.kubeconfig import KubeconfigError
from control_plane.resources.manifest import Manifest, metadata, uid_of
from control_plane.resources.timestamp import rfc3339
from injector.registration import NAME, NAMESPACE, SERVICE
from injector.template import TOKEN_AUDIENCE, InjectorSettings
from lab import netns
from lab.foreign import MANAGER, ForeignAccess
from lab.network import PodNetwork

INJECTOR = SERVICE
"""Name of the process, its log and its network."""
NODE = "supervisor"
"""`nodeName` of its Pod: no kubelet's."""
PORT = 15017
IMAGE = InjectorSettings().image
_SIGNING_PORT = 15011
_RENEWAL_PORT = 15012
_TOKEN_LIFE = 600
_RETRY = 0.1

_log = logging.getLogger(__name__)


def injector_objects(address: IPv4Address) -> list[Manifest]:
    """Account, Service and endpoint (pure)."""
    labels = {"app.kubernetes.io/name": INJECTOR}
    meta: Manifest = {"name": INJECTOR, "namespace": NAMESPACE, "labels": labels}
    ports = [{"name": "https", "port": 443, "targetPort": PORT, "protocol": "TCP"}]
    endpoint = {"addresses": [str(address)], "conditions": {"ready": True, "serving": True}}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": {**labels, "kubernetes.io/service-name": INJECTOR}},
            "addressType": "IPv4",
            "ports": [{"name": "https", "port": PORT, "protocol": "TCP"}],
            "endpoints": [endpoint],
        },
    ]


def injector_pod() -> Manifest:
    """What the injector is to the API (pure)."""
    container = {"name": INJECTOR, "image": IMAGE, "command": ["python", "-m", "injector"]}
    meta: Manifest = {
        "name": INJECTOR,
        "namespace": NAMESPACE,
        "labels": {"app.kubernetes.io/name": INJECTOR},
        "annotations": {"kubernetes.io/config.mirror": NODE, "kubernetes.io/config.source": "file"},
    }
    spec = {"containers": [container], "serviceAccountName": INJECTOR, "nodeName": NODE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def pod_status(address: IPv4Address, started_at: str) -> Manifest:
    """Of a Pod that runs (pure): as far as the mesh is concerned it does. `started_at`: RFC 3339."""
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    conditions = [{"type": kind, "status": "True"} for kind in kinds]
    return {
        "phase": "Running",
        "startTime": started_at,
        "podIP": str(address),
        "podIPs": [{"ip": str(address)}],
        "conditions": conditions,
        "containerStatuses": [
            {
                "name": INJECTOR,
                "image": IMAGE,
                "imageID": "",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": started_at}},
            }
        ],
    }


class InjectorHost:
    """Prepares each life of the injector."""

    def __init__(
        self,
        directory: Path,
        network: PodNetwork,
        kubeconfig: Path,
        control_plane: IPv4Address,
        foreign: ForeignAccess | None = None,
    ) -> None:
        """`directory` is its own, made when it is missing; `control_plane`: where certificates are signed.
        `foreign`: the API server is not the lab's, and knows no way to the injector's Service."""
        self._directory = directory
        self._network = network
        self._kubeconfig = kubeconfig
        self._control_plane = control_plane
        self._foreign = foreign

    def listen_for_api(self, port: int) -> socket.socket:
        """A socket on 127.0.0.1 in the injector's namespace, for a `Relay`."""
        return netns.inside(self._network.namespace, lambda: socket.create_server(("127.0.0.1", port)))

    def command(self) -> list[str]:
        """How it is started."""
        return [
            *("nsenter", f"--net={self._network.namespace}", "--"),
            *("setpriv", "--pdeathsig=KILL", "--", sys.executable, "-m", "injector", "--register"),
            *("--kubeconfig", str(self._kubeconfig if self._foreign is None else self._foreign.kubeconfig)),
            *self._listening(),
            *("--token-file", str(self._token_file)),
            *("--state-dir", str(self._directory)),
            *("--signing-address", f"{self._control_plane}:{_SIGNING_PORT}"),
            *("--renewal-address", f"{self._control_plane}:{_RENEWAL_PORT}"),
        ]

    def _listening(self) -> list[str]:
        if self._foreign is None:
            return ["--listen", f"0.0.0.0:{PORT}"]
        return ["--listen-fd", str(self._foreign.webhook.fileno()), "--webhook-url", self._foreign.url]

    @property
    def _token_file(self) -> Path:
        return self._directory / "token"

    async def prepare(self) -> None:
        """Its objects and a fresh token; tries until the API has taken them."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        while True:
            try:
                async with ApiClient.from_kubeconfig(self._kubeconfig) as client:
                    await self._register(client)
                return
            except (ApiError, KubeconfigError, httpx.TransportError) as error:
                _log.warning("the injector cannot be prepared: %s", error or type(error).__name__)
                await asyncio.sleep(_RETRY)

    async def _register(self, client: ApiClient) -> None:
        for entry in injector_objects(self._network.address):
            await client.server_side_apply(entry, manager=MANAGER, force=True)
        pod = await self._pod(client)
        issued = await client.create_token(
            NAMESPACE,
            INJECTOR,
            audiences=[TOKEN_AUDIENCE],
            pod_name=INJECTOR,
            pod_uid=uid_of(pod),
            expiration_seconds=_TOKEN_LIFE,
        )
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(self._token_file, flags, 0o600), "w") as file:
            file.write(issued.token)

    async def _pod(self, client: ApiClient) -> Manifest:
        try:
            found = await client.get("Pod", INJECTOR, NAMESPACE)
            if "deletionTimestamp" in metadata(found):  # no kubelet of ours ends it
                await client.delete("Pod", INJECTOR, NAMESPACE, grace_period=0)
                found = await client.create(injector_pod())
        except NotFound:
            found = await client.create(injector_pod())
        status = pod_status(self._network.address, rfc3339(time.time()))
        return await client.update_status({**found, "status": status})

    async def wait_until_registered(self) -> None:
        """From here on the API server tells the injector of new pods."""
        while True:
            try:
                async with ApiClient.from_kubeconfig(self._kubeconfig) as client:
                    found = await client.get("MutatingWebhookConfiguration", NAME)
                if self._foreign is None or self._foreign.url in json.dumps(found):
                    return
            except (ApiError, KubeconfigError, httpx.TransportError):
                pass
            await asyncio.sleep(_RETRY)
