"""Pods with a network namespace and a sidecar each: `load`, which calls, and `c-1` and `c-2`, which serve.

The control plane lives beside `load`, which is also the router between the pods. The servers' sidecars reach
it by a relay in the test.
"""

import asyncio
import contextlib
import http.client
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from control_plane.client import ApiClient
from control_plane.kubeconfig import read_kubeconfig
from control_plane.resources.manifest import uid_of
from tests.contract.control_plane_process import ControlPlaneProcess
from tests.contract.network_namespace import NetworkNamespace
from tests.contract.one_pod_mesh import create, root_bundle
from tests.unit.control_plane import manifest_builder as build

VIP = "10.96.0.10"
LOAD_IP = "10.244.0.1"
SERVER_IPS = {"c-1": "10.244.1.2", "c-2": "10.244.2.2"}
ADMIN_PORT = 15000
TIMEOUT = 60.0
"""Seconds: four programs have to start, on a machine that may be busy."""


@dataclass
class Pod:
    """One pod: its network and its sidecar."""

    name: str
    address: str
    network: NetworkNamespace
    sidecar: "subprocess.Popen[bytes]"


@dataclass
class Pods:
    """All of them; `served` counts requests by the pod whose app answered."""

    api: ApiClient
    load: Pod
    servers: dict[str, Pod]
    served: dict[str, int]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if await asyncio.to_thread(condition):
                    return
            assert time.monotonic() < deadline, what
            await asyncio.sleep(0.05)

    def call(self) -> int:
        """Status of a request of its own."""
        connection = http.client.HTTPConnection(VIP, 8080)
        connection.sock = self.load.network.connect(VIP, 8080)
        with contextlib.closing(connection):
            connection.request("GET", "/", headers={"Host": "catalog.shop:8080"})
            return connection.getresponse().status

    async def withdraw(self, name: str) -> None:
        """What a cluster says of a pod that it has begun to end: still serving, no longer ready."""
        ending = {"ready": False, "serving": True, "terminating": True}
        endpoints = [
            {**build.endpoint(pod.address, pod.name), **({"conditions": ending} if pod.name == name else {})}
            for pod in self.servers.values()
        ]
        await self.api.apply(build.endpoint_slice("catalog", *endpoints))


def _manifests() -> Iterator[dict[str, object]]:
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    for account in ("catalog", "load"):
        metadata = {"name": account, "namespace": "shop"}
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    yield build.service("catalog", {"name": "http", "port": 8080}, vip=VIP, selector={"app": "catalog"})
    yield build.pod("load", ip=LOAD_IP, app="load", account="load")
    for name, address in SERVER_IPS.items():
        yield build.pod(name, ip=address, app="catalog")
    endpoints = [build.endpoint(address, name) for name, address in SERVER_IPS.items()]
    yield build.endpoint_slice("catalog", *endpoints)


def _prepare_load(network: NetworkNamespace) -> None:
    network.run("ip", "link", "set", "lo", "up")
    network.run("ip", "address", "add", f"{LOAD_IP}/32", "dev", "lo")
    network.run("ip", "route", "add", "10.96.0.0/16", "dev", "lo")
    to_sidecar = ("-j", "REDIRECT", "--to-ports", "15001")
    network.run("iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", "10.96.0.0/16", *to_sidecar)


def _prepare_server(router: NetworkNamespace, network: NetworkNamespace, name: str, address: str) -> None:
    gateway = address.rpartition(".")[0] + ".1"
    thread = network.call(threading.get_native_id)
    router.run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(thread))
    router.run("ip", "address", "add", f"{gateway}/24", "dev", name)
    router.run("ip", "link", "set", name, "up")
    network.run("ip", "link", "set", "lo", "up")
    network.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
    network.run("ip", "link", "set", "eth0", "up")
    network.run("ip", "route", "add", "default", "via", gateway)
    to_sidecar = ("-j", "REDIRECT", "--to-ports", "15006")
    network.run("iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "8080", *to_sidecar)


async def _relay(
    stack: contextlib.AsyncExitStack, here: NetworkNamespace, there: NetworkNamespace, port: int
) -> None:
    """127.0.0.1:port is the same program in both namespaces."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            connection = await asyncio.to_thread(there.connect, "127.0.0.1", port)
            up, down = await asyncio.open_connection(sock=connection)
        except OSError:  # the control plane has ended
            writer.close()
            return
        await asyncio.gather(pump(reader, down), pump(up, writer))

    server = await asyncio.start_server(serve, sock=here.listen("127.0.0.1", port))
    stack.callback(server.close)


class _Mesh:
    """What starting a sidecar takes."""

    def __init__(
        self, directory: Path, control_plane: ControlPlaneProcess, ports: dict[str, int], api: ApiClient
    ) -> None:
        self._directory = directory
        self._control_plane = control_plane
        self._ports = ports
        self._api = api

    async def start(
        self,
        stack: contextlib.AsyncExitStack,
        network: NetworkNamespace,
        name: str,
        address: str,
        drain: float,
    ) -> Pod:
        directory, account = self._directory / name, "load" if name == "load" else "catalog"
        directory.mkdir()
        uid = uid_of(await self._api.get("Pod", name, "shop"))
        token = await self._api.create_token(
            "shop", account, audiences=["meshproxy-ca"], pod_name=name, pod_uid=uid
        )
        (directory / "token").write_text(token.token)
        kubeconfig = read_kubeconfig(self._control_plane.data_dir / "kubeconfig")
        (directory / "root-cert.pem").write_text(kubeconfig.ca_pem)
        (directory / "labels").write_text(f'app="{account}"\n')
        flags = {
            "pod-name": name,
            "pod-namespace": "shop",
            "pod-ip": address,
            "service-account": account,
            "labels-file": str(directory / "labels"),
            "discovery-address": f"localhost:{self._ports['xds']}",
            "signing-address": f"localhost:{self._ports['signing']}",
            "token-file": str(directory / "token"),
            "root-bundle": str(directory / "root-cert.pem"),
            "admin-port": str(ADMIN_PORT),
            "drain-timeout": str(drain),
        }
        arguments = [part for flag, value in flags.items() for part in (f"--{flag}", value)]
        log = stack.enter_context((self._directory / f"{name}.log").open("wb"))
        command = [sys.executable, "-m", "meshproxy", *arguments]
        sidecar: subprocess.Popen[bytes] = network.call(subprocess.Popen, command, stderr=log)  # type: ignore[arg-type]
        stack.callback(sidecar.wait)
        stack.callback(sidecar.kill)
        return Pod(name, address, network, sidecar)


@contextlib.asynccontextmanager
async def running_pods(drain_timeout: float) -> AsyncIterator[Pods]:
    """Everything up, and both servers in use."""
    directory = Path(tempfile.mkdtemp(prefix="meshproxy-contract-"))
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        router = stack.enter_context(NetworkNamespace())
        _prepare_load(router)

        def spawn(*args: object, **kwargs: object) -> "subprocess.Popen[bytes]":
            return router.call(subprocess.Popen, *args, **kwargs)  # type: ignore[arg-type]

        control_plane = ControlPlaneProcess(directory / "data", spawn=spawn)
        stack.callback(control_plane.stop)
        ports = await asyncio.to_thread(control_plane.ready)
        api = await stack.enter_async_context(control_plane.client())
        for manifest in _manifests():
            await create(api, manifest)
        await root_bundle(api)
        mesh = _Mesh(directory, control_plane, ports, api)
        served = dict.fromkeys(SERVER_IPS, 0)
        servers = {}
        for name, address in SERVER_IPS.items():
            network = stack.enter_context(NetworkNamespace())
            _prepare_server(router, network, name, address)
            for port in (ports["xds"], ports["signing"]):
                await _relay(stack, network, router, port)
            await _serve(stack, network, name, address, served)
            servers[name] = await mesh.start(stack, network, name, address, drain_timeout)
        load = await mesh.start(stack, router, "load", LOAD_IP, drain_timeout)
        pods = Pods(api, load, servers, served)
        await pods.until(lambda: pods.call() == 200 and min(served.values()) > 0, "not both servers answer")
        yield pods


async def _serve(
    stack: contextlib.AsyncExitStack,
    network: NetworkNamespace,
    name: str,
    address: str,
    served: dict[str, int],
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                served[name] += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(answer, sock=network.listen(address, 8080))
    stack.callback(server.close)
