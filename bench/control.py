"""The control plane of one side, and the state it starts with.

The state is loaded over REST once for each size of mesh and then copied, with its CA: every side is
configured from the same resources by a control plane of its own, so that both can be up at once.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench import dataset
from bench.network import Network
from bench.process import LOAD_CORE, Process, until
from bench.route_table import Rules
from bench.shape import NAMESPACE
from control_plane.client import ApiClient
from control_plane.resources.manifest import Manifest, kind_of, uid_of

XDS_ADDRESS: Final = f"{dataset.CONTROL_ADDRESS}:15012"
SIGNING_ADDRESS: Final = f"{dataset.CONTROL_ADDRESS}:15011"
_START_SECONDS = 60.0
_CONCURRENT_WRITES = 16


class ControlPlane:
    """A control plane process. `stop` ends it."""

    def __init__(self, data_dir: Path, namespace: Path, log: Path, flags: Iterable[str] = ()) -> None:
        """REST is served in the bench's own namespace, on a port of the kernel's choice."""
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        ports = data_dir / "ports.json"
        ports.unlink(missing_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as rest:
            command = [sys.executable, "-m", "control_plane", "--data-dir", str(data_dir)]
            command += ["--rest-fd", str(rest.fileno()), "--extra-san", dataset.CONTROL_ADDRESS]
            command += ["--log-level", "warning", *flags]
            self.process = Process(
                command, namespace=namespace, core=LOAD_CORE, log=log, pass_fds=[rest.fileno()]
            )
        until(ports.exists, "control plane not ready", _START_SECONDS, [self.process])
        self.ports: dict[str, int] = json.loads(ports.read_text())

    def client(self) -> ApiClient:
        return ApiClient.from_kubeconfig(self.data_dir / "kubeconfig")

    @property
    def root_bundle(self) -> Path:
        return self.data_dir / "ca" / "root-cert.pem"

    def token(self, pod: str, account: str) -> str:
        """For the first certificate of a sidecar."""
        return asyncio.run(self._token(pod, account))

    async def _token(self, pod: str, account: str) -> str:
        async with self.client() as api:
            uid = uid_of(await api.get("Pod", pod, NAMESPACE))
            issued = await api.create_token(
                NAMESPACE, account, audiences=["meshproxy-ca"], pod_name=pod, pod_uid=uid
            )
        return issued.token

    def stop(self) -> None:
        self.process.stop()


class Seeds:
    """Data directories by size of mesh, made when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)

    def copy(
        self,
        destination: Path,
        services: int,
        *,
        meshed: bool,
        rules: Rules = Rules.TWO,
        http2: bool = False,
        h2_upgrade: bool = False,
    ) -> Path:
        """The state of a mesh with that many Services, at `destination`, which is replaced."""
        protocol = "h2" if http2 else "upgraded" if h2_upgrade else "h1"
        seed = self._folder / f"{services}-{'meshed' if meshed else 'plain'}-{rules.value}-{protocol}"
        if not seed.exists():
            foundation = list(dataset.foundation(meshed=meshed))
            rest = dataset.services(0, services, services, rules, http2=http2, h2_upgrade=h2_upgrade)
            self._make(seed, foundation, list(rest))
        shutil.rmtree(destination, ignore_errors=True)
        shutil.copytree(seed, destination)
        return destination

    def extended(self, destination: Path, base: Path, first: int, total: int) -> Path:
        """A copy of the stopped control plane's state at `base` with Services up to `total` added."""
        shutil.copytree(base, destination)
        self._load(destination, [], list(dataset.services(first, total - first, total)))
        return destination

    def _make(self, seed: Path, first: list[Manifest], rest: list[Manifest]) -> None:
        unfinished = seed.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        self._load(unfinished, first, rest)
        unfinished.rename(seed)

    def _load(self, data_dir: Path, first: list[Manifest], rest: list[Manifest]) -> None:
        network = Network("seed")
        try:
            control = ControlPlane(data_dir, network.control, network.root / "seed.log")
            asyncio.run(_write(control, first, rest))
            control.stop()
        finally:
            network.close()


async def _write(control: ControlPlane, first: list[Manifest], rest: list[Manifest]) -> None:
    """`first` one after the other, the rest several at a time."""
    async with control.client() as api:
        for manifest in first:
            await create(api, manifest)
        for start in range(0, len(rest), _CONCURRENT_WRITES):
            batch = rest[start : start + _CONCURRENT_WRITES]
            await asyncio.gather(*(create(api, manifest) for manifest in batch))


async def create(api: ApiClient, manifest: Manifest) -> None:
    """An object, and its status, which the API keeps apart."""
    created = await api.create({field: value for field, value in manifest.items() if field != "status"})
    if kind_of(manifest) == "Pod":
        await api.update_status({**created, "status": manifest["status"]})
