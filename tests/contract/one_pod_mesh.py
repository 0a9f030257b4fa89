"""One pod's mesh in one network namespace: control plane, a data plane, backends, and a client inside.

`v1` is the meshed pod that the data plane itself stands in for, so that a request to it goes out through mTLS
and comes in through the same proxy's inbound side; `v2` is a pod without a sidecar. The data plane is stock
Envoy or this sidecar.
"""

import asyncio
import contextlib
import http.client
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from control_plane.client import ApiClient, NotFound
from control_plane.kubeconfig import read_kubeconfig
from control_plane.resources.manifest import uid_of
from tests.contract.control_plane_process import ControlPlaneProcess, Spawn
from tests.contract.network_namespace import NetworkNamespace
from tests.unit.control_plane import manifest_builder as build

POD_IP, PLAIN_IP = "10.244.0.11", "10.244.0.12"
CATALOG_VIP, V1_VIP, V2_VIP, DATABASE_VIP = "10.96.0.10", "10.96.0.11", "10.96.0.12", "10.96.0.13"
ANY_VIP = "10.96.0.14"
ADMIN_PORT = 15000
TIMEOUT = 60.0

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def prepare_network(network: NetworkNamespace) -> None:
    """What the init container does in a pod, for a pod that calls itself: VIPs to 15001, the own port to
    15006."""
    network.run("ip", "link", "set", "lo", "up")
    for address in (POD_IP, PLAIN_IP):
        network.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    network.run("ip", "-6", "address", "add", "::6/128", "dev", "lo")
    network.run("ip", "route", "add", "10.96.0.0/16", "dev", "lo")
    redirect = ("iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp")
    network.run(*redirect, "-s", "127.0.0.6/32", "-j", "RETURN")
    network.run(*redirect, "-d", "10.96.0.0/16", "-j", "REDIRECT", "--to-ports", "15001")
    network.run(*redirect, "-d", f"{POD_IP}/32", "-j", "REDIRECT", "--to-ports", "15006")


def _http_backend(name: str) -> Handler:
    """Answers every request with its own name and the identity that the sidecar reports of the caller."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                caller = next(
                    (line for line in head.split("\r\n") if line.startswith("x-forwarded-client-cert")), ""
                )
                path = head.split(" ")[1]
                body = json.dumps({"name": name, "caller": caller, "path": path}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    return serve


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A protocol in which the server speaks first."""
    writer.write(b"hello from the database\n")
    await reader.read(1)
    writer.close()


BACKENDS = (
    (_http_backend("v1"), POD_IP, 8080),
    (_http_backend("v2"), PLAIN_IP, 8080),
    (_greet, POD_IP, 3306),
)


def manifests() -> Iterator[dict[str, object]]:
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    account = {"name": "catalog", "namespace": "shop"}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}
    http = {"name": "http", "port": 8080}
    for name, vip in (("catalog", CATALOG_VIP), ("v1", V1_VIP), ("v2", V2_VIP)):
        yield build.service(name, http, vip=vip, selector={"version": name} if name != "catalog" else {})
    yield build.service(
        "database", {"name": "tcp", "port": 3306}, vip=DATABASE_VIP, selector={"version": "v1"}
    )
    yield build.pod("v1-1", ip=POD_IP, labels={"version": "v1"})
    yield build.pod("v2-1", ip=PLAIN_IP, labels={"version": "v2"}, meshed=False)
    yield build.endpoint_slice("v1", build.endpoint(POD_IP, "v1-1"))
    yield build.endpoint_slice("v2", build.endpoint(PLAIN_IP, "v2-1"))
    yield build.endpoint_slice("database", build.endpoint(POD_IP, "v1-1"), ports=[("tcp", 3306)])
    yield split(90, 10)


def split(v1: int, v2: int) -> dict[str, object]:
    exact = build.rule(build.backend("v2"), paths=[("Exact", "/only/v2")])
    broken = build.rule(
        build.backend("v1", weight=0), build.backend("gone"), paths=[("PathPrefix", "/broken")]
    )
    half = build.rule(build.backend("v2"), build.backend("gone"), paths=[("PathPrefix", "/half")])
    weighted = build.rule(
        build.backend("v1", weight=v1), build.backend("v2", weight=v2), paths=[("PathPrefix", "/split")]
    )
    return build.route("split", weighted, exact, broken, half)


async def create(api: ApiClient, manifest: dict[str, object]) -> None:
    """Create an object and then its status, which the API keeps apart."""
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    for field in ("resourceVersion", "generation", "creationTimestamp"):
        metadata.pop(field, None)
    created = await api.create({key: value for key, value in manifest.items() if key != "status"})
    if "status" in manifest:
        await api.update_status({**created, "status": manifest["status"]})


async def root_bundle(api: ApiClient) -> None:
    """Until the control plane has published whom to trust in the namespace."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            with contextlib.suppress(NotFound):
                await api.get("ConfigMap", "meshproxy-root-bundle", "shop")
                return
            await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Place:
    """Where a data plane runs and what it may use."""

    directory: Path
    control_plane: ControlPlaneProcess
    ports: dict[str, int]
    api: ApiClient
    spawn: Spawn
    drain_timeout: float


async def _start_envoy(place: Place, log: BinaryIO) -> "subprocess.Popen[bytes]":
    """Stock Envoy, with the bootstrap and the certificate that `meshctl envoy-bootstrap` makes."""
    options = {
        "kubeconfig": str(place.control_plane.data_dir / "kubeconfig"),
        "namespace": "shop",
        "out-dir": str(place.directory / "secrets"),
        "discovery-address": f"127.0.0.1:{place.ports['xds']}",
        "signing-address": f"127.0.0.1:{place.ports['signing']}",
        "network": f"/proc/{place.control_plane.pid}/ns/net",
        "admin-port": str(ADMIN_PORT),
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    meshctl = [sys.executable, "-m", "meshctl", "envoy-bootstrap", "v1-1", *arguments]
    printed = await asyncio.to_thread(subprocess.run, meshctl, capture_output=True, text=True, check=False)
    assert printed.returncode == 0, printed.stderr
    config = place.directory / "bootstrap.yaml"
    config.write_text(printed.stdout)
    command = [str(Path(sys.executable).with_name("envoy")), "-c", str(config), "--concurrency", "1"]
    return place.spawn([*command, "--disable-hot-restart"], stderr=log)


async def _start_sidecar(place: Place, log: BinaryIO) -> "subprocess.Popen[bytes]":
    """Our own sidecar, with a token for its first certificate."""
    uid = uid_of(await place.api.get("Pod", "v1-1", "shop"))
    token = await place.api.create_token(
        "shop", "catalog", audiences=["meshproxy-ca"], pod_name="v1-1", pod_uid=uid
    )
    (place.directory / "token").write_text(token.token)
    kubeconfig = read_kubeconfig(place.control_plane.data_dir / "kubeconfig")
    (place.directory / "root-cert.pem").write_text(kubeconfig.ca_pem)
    (place.directory / "labels").write_text('version="v1"\n')
    flags = {
        "pod-name": "v1-1",
        "pod-namespace": "shop",
        "pod-ip": POD_IP,
        "service-account": "catalog",
        "labels-file": str(place.directory / "labels"),
        "discovery-address": f"localhost:{place.ports['xds']}",
        "signing-address": f"localhost:{place.ports['signing']}",
        "token-file": str(place.directory / "token"),
        "root-bundle": str(place.directory / "root-cert.pem"),
        "admin-port": str(ADMIN_PORT),
        "drain-timeout": str(place.drain_timeout),
    }
    arguments = [part for name, value in flags.items() for part in (f"--{name}", value)]
    return place.spawn([sys.executable, "-m", "meshproxy", *arguments], stderr=log)


STARTERS = {"envoy": _start_envoy, "meshproxy": _start_sidecar}
DATA_PLANES = tuple(STARTERS)


class Mesh:
    """The namespace with everything in it, and a client inside."""

    def __init__(
        self, network: NetworkNamespace, api: ApiClient, directory: Path, proxy: "subprocess.Popen[bytes]"
    ) -> None:
        self.network = network
        self.api = api
        self.proxy = proxy
        self._directory = directory

    async def sync_states(self) -> set[str]:
        """How far the data plane is, over all types, by the control plane's account."""
        (node,) = (await self.api.read("/debug/syncz"))["nodes"]  # type: ignore[misc]
        return {one["state"] for one in node["types"].values()}  # type: ignore[index]

    def admin(self, path: str) -> str:
        _, body = self.get_from("127.0.0.1", ADMIN_PORT, path, "localhost")
        return body

    def stats(self, pattern: str) -> dict[str, int]:
        lines = self.admin(f"/stats?filter={pattern}").splitlines()
        return {name: int(value) for name, _, value in (line.rpartition(": ") for line in lines)}

    def get(self, path: str, host: str = "catalog.shop") -> tuple[int, str]:
        return self.get_from(CATALOG_VIP, 8080, path, host)

    def get_many(self, path: str, count: int) -> Counter[str]:
        """Names of the backends that answered."""
        connection = http.client.HTTPConnection(CATALOG_VIP, 8080)
        connection.sock = self.network.connect(CATALOG_VIP, 8080)
        names: Counter[str] = Counter()
        for _ in range(count):
            connection.request("GET", path, headers={"Host": "catalog.shop:8080"})
            response = connection.getresponse()
            body = response.read()
            names[json.loads(body)["name"] if response.status == 200 else str(response.status)] += 1
        connection.close()
        return names

    def get_from(self, address: str, port: int, path: str, host: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(address, port)
        connection.sock = self.network.connect(address, port)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": host, "Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read().decode()

    def _logs(self) -> str:
        return "\n".join(f"{path.name}: {path.read_text()[-3000:]}" for path in self._directory.glob("*.log"))

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if await asyncio.to_thread(condition):
                    return
            assert time.monotonic() < deadline, f"{what}\n{self._logs()}"
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running_mesh(
    *flags: str, data_plane: str = "envoy", drain_timeout: float = 0.0
) -> AsyncIterator[Mesh]:
    """Everything up, the control plane with `flags`, the data plane routing. `drain_timeout` is of ours."""
    directory = Path(tempfile.mkdtemp(prefix="meshproxy-contract-"))
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        network = stack.enter_context(NetworkNamespace())
        prepare_network(network)

        def spawn(*args: object, **kwargs: object) -> "subprocess.Popen[bytes]":
            return network.call(subprocess.Popen, *args, **kwargs)  # type: ignore[arg-type]

        control_plane = ControlPlaneProcess(directory / "data", *flags, spawn=spawn)
        stack.callback(control_plane.stop)
        ports = await asyncio.to_thread(control_plane.ready)
        for handler, address, port in BACKENDS:
            server = await asyncio.start_server(handler, sock=network.listen(address, port))
            stack.callback(server.close)
        api = await stack.enter_async_context(control_plane.client())
        for manifest in manifests():
            await create(api, manifest)
        await root_bundle(api)
        log = stack.enter_context((directory / "data-plane.log").open("wb"))
        place = Place(directory, control_plane, ports, api, spawn, drain_timeout)
        proxy = await STARTERS[data_plane](place, log)
        stack.callback(proxy.wait)
        stack.callback(proxy.terminate)
        running = Mesh(network, api, directory, proxy)
        await running.until(lambda: running.get("/split")[0] == 200, f"{data_plane} did not route")
        await running.until(
            lambda: running.get("/", "v1.shop")[0] == 200, f"{data_plane} has no inbound side"
        )
        yield running


def without_bookkeeping(manifest: dict[str, object]) -> dict[str, object]:
    """The object as a user writes it."""
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    return {**manifest, "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]}}
