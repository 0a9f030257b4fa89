"""One data plane in a network namespace of its own: control plane, proxy, upstreams, and a client inside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import Popen

from control_plane.client import ApiClient
from control_plane.discovery.gateway import GATEWAY_LABEL
from control_plane.resources.manifest import Manifest, kind_of, name_of, namespace_of, section
from tests.contract.control_plane_process import ControlPlaneProcess, Spawn
from tests.contract.network_namespace import NetworkNamespace
from tests.contract.one_pod_mesh import STARTERS, Place, create, root_bundle
from tests.parity import edge
from tests.parity.case import BLACKHOLE, CALLABLE, GATEWAY, MESHED_ADDRESS, Case, Placed, documents, manifests
from tests.parity.client import TIMEOUT, Connection, Tls, connect
from tests.parity.h2_client import H2Client
from tests.parity.script import OK, Endpoint, Seen
from tests.parity.step import Request
from tests.parity.upstream import Upstreams
from tests.unit.control_plane import manifest_builder as build

DATA_PLANES = ("meshproxy", "envoy")
_MARKER_VIP = "10.96.0.10"
_MARKER = "marker"
_OTHER_NAMESPACE = "other"
_CLIENTS, _CLIENT = "10.246.0.0/24", "10.246.0.200"
"""Addresses that clients may call from, and that of those who do not care."""
_ARRIVAL_TIMEOUT = 3.0
"""Seconds a request may take to an upstream after its client has been answered, as copies do."""
_POLL = 0.01


class PlaneError(Exception):
    """The data plane refused a case's configuration, or never took it."""


def _foundation(is_gateway: bool) -> Iterator[Manifest]:
    for namespace in ("shop", _OTHER_NAMESPACE):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        account = {"name": "catalog", "namespace": namespace}
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}
    labels = {"version": "v1", "topology.kubernetes.io/zone": "home"}
    if is_gateway:
        labels |= {GATEWAY_LABEL: GATEWAY}
        yield from edge.manifests()
    yield build.pod("v1-1", ip=MESHED_ADDRESS, labels=labels)
    yield build.service(_MARKER, {"name": "http", "port": 8080}, vip=_MARKER_VIP)
    yield _marker(0, is_gateway)


def _marker(number: int, is_gateway: bool) -> Manifest:
    """A route that tells which state of the configuration is in force."""
    path = {"type": "ReplaceFullPath", "replaceFullPath": f"/{number}"}
    redirect = {"type": "RequestRedirect", "requestRedirect": {"path": path}}
    parent = {"name": GATEWAY} if is_gateway else {"group": "", "kind": "Service", "name": _MARKER}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": _MARKER, "namespace": "shop"},
        "spec": {
            "parentRefs": [parent],
            "hostnames": ["marker.shop"],
            "rules": [{"filters": [redirect]}],
        },
    }


def _prepare_network(network: NetworkNamespace, is_gateway: bool) -> None:
    """Clients' connections go to 15001 whatever they are for, those to the meshed pod to 15006; nothing is
    intercepted at a gateway."""
    network.run("ip", "link", "set", "lo", "up")
    for addresses in (f"{CALLABLE}.0.0/16", f"{BLACKHOLE}.0.0/16", _CLIENTS):
        network.run("ip", "route", "add", "local", addresses, "dev", "lo")
    network.run("ip", "route", "add", "10.96.0.0/16", "dev", "lo")
    network.run("ip", "-6", "address", "add", "::6/128", "dev", "lo")
    if is_gateway:
        return
    redirect = ("iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp")
    network.run(*redirect, "-s", _CLIENTS, "-j", "REDIRECT", "--to-ports", "15001")
    network.run(*redirect, "-s", "127.0.0.6/32", "-j", "RETURN")
    network.run(*redirect, "-d", f"{MESHED_ADDRESS}/32", "-j", "REDIRECT", "--to-ports", "15006")
    network.run("iptables", "-A", "OUTPUT", "-d", f"{BLACKHOLE}.0.0/16", "-j", "DROP")


@dataclass
class Plane:
    """What is running. Make it with `running_plane`."""

    name: str
    network: NetworkNamespace
    api: ApiClient
    upstreams: Upstreams
    directory: Path
    proxy: Popen[bytes]
    is_gateway: bool
    _marker: int = 0

    async def settle(self) -> None:
        """Until everything written so far is in force. Raises PlaneError."""
        self._marker += 1
        await self.api.apply(_marker(self._marker, self.is_gateway))
        deadline = time.monotonic() + TIMEOUT
        while not (await self._is_marked() and await self._is_synced()):
            assert self.proxy.poll() is None, f"{self.name} ended: {self.log()}"
            if time.monotonic() > deadline:
                raise PlaneError(f"{self.name} did not take the configuration: {self.log()}")
            await asyncio.sleep(_POLL)

    async def _is_marked(self) -> bool:
        try:
            place = (MESHED_ADDRESS, edge.HTTP_PORT) if self.is_gateway else (_MARKER_VIP, 8080)
            connection = await connect(self.network, *place, _CLIENT)
        except OSError:
            return False
        reply = await connection.exchange(b"GET / HTTP/1.1\r\nHost: marker.shop\r\n\r\n")
        connection.close()
        return (reply.field("location") or "").endswith(f"/{self._marker}")

    async def _is_synced(self) -> bool:
        return all(one["state"] == "SYNCED" for one in await self._types())

    async def refusals(self) -> list[str]:
        """Why it does not take what it was sent."""
        return [one["nackedReason"] for one in await self._types() if one["nackedReason"]]

    async def _types(self) -> list[dict[str, str]]:
        """How far it is with each type of resource; nothing before it is connected."""
        nodes = (await self.api.read("/debug/syncz"))["nodes"]
        assert isinstance(nodes, list)
        return [one for node in nodes for one in node["types"].values()]

    def log(self) -> str:
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')[-2000:]}"
            for path in self.directory.glob("*.log")
        )


@contextlib.asynccontextmanager
async def running_plane(name: str, *, is_gateway: bool) -> AsyncIterator[Plane]:
    """A mesh of that data plane, up: the proxy is a pod's sidecar, or the Gateway."""
    directory = Path(tempfile.mkdtemp(prefix="meshproxy-parity-"))
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        network = stack.enter_context(NetworkNamespace())
        await asyncio.to_thread(_prepare_network, network, is_gateway)

        def spawn(*args: object, **kwargs: object) -> Popen[bytes]:
            return network.call(Popen, *args, **kwargs)  # type: ignore[arg-type]

        control_plane = ControlPlaneProcess(directory / "data", spawn=spawn)
        stack.callback(control_plane.stop)
        ports = await asyncio.to_thread(control_plane.ready)
        upstreams = Upstreams()
        await upstreams.start(network, edge.backend_tls())
        stack.callback(upstreams.stop)
        api = await stack.enter_async_context(control_plane.client())
        for manifest in _foundation(is_gateway):
            await create(api, manifest)
        await root_bundle(api)
        log = stack.enter_context((directory / "data-plane.log").open("wb"))
        start = partial(_spawn_gateway, spawn) if is_gateway else spawn
        proxy = await STARTERS[name](Place(directory, control_plane, ports, api, start, 0.0), log)
        stack.callback(proxy.wait)
        stack.callback(proxy.terminate)
        plane = Plane(name, network, api, upstreams, directory, proxy, is_gateway)
        await _until_connected(plane)
        await plane.settle()
        yield plane


def _spawn_gateway(spawn: Spawn, command: Sequence[str], **kwargs: object) -> Popen[bytes]:
    """Start what would be a sidecar as a gateway: ours is told so, Envoy's node id says it."""
    for config in (Path(part) for part in command if part.endswith("bootstrap.yaml")):
        config.write_text(config.read_text().replace("id: sidecar~", "id: router~"))
    return spawn(command, env={**os.environ, "MESHPROXY_ROLE": "gateway"}, **kwargs)


async def _until_connected(plane: Plane) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not (await plane.api.read("/debug/syncz"))["nodes"]:
        assert plane.proxy.poll() is None, plane.log()
        assert time.monotonic() < deadline, f"{plane.name} did not connect: {plane.log()}"
        await asyncio.sleep(_POLL)


class CaseBench:
    """One case on one data plane: its objects, addresses and upstreams."""

    def __init__(self, plane: Plane, case: Case, placed: Sequence[Placed], vips: Mapping[str, str]) -> None:
        self._plane = plane
        self._case = case
        self._placed = placed
        self._vips = vips
        self._objects: dict[tuple[str, str, str], None] = {}
        self._endpoints = {one.address: Endpoint(one.name, one.pod.script) for one in placed}

    async def __aenter__(self) -> CaseBench:
        for address, endpoint in self._endpoints.items():
            self._plane.upstreams.script(address, endpoint)
        try:
            for manifest in manifests(self._case, self._placed, self._vips):
                await self._write(manifest)
            await self._settle()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for kind, name, namespace in reversed(self._objects):
            await self._plane.api.delete(kind, name, namespace)
        for address in self._endpoints:
            self._plane.upstreams.forget(address)

    async def _write(self, manifest: Manifest) -> None:
        if "status" in manifest:
            await create(self._plane.api, manifest)
        else:
            await self._plane.api.apply(manifest)
        self._objects[kind_of(manifest), name_of(manifest), namespace_of(manifest)] = None

    async def _settle(self) -> None:
        try:
            await self._plane.settle()
        except PlaneError:
            if refusals := await self._plane.refusals():
                raise PlaneError(f"{self._plane.name} refuses: {'; '.join(refusals)}") from None
            raise

    # --- what steps ask for: `step.Bench` -------------------------------------------------------------------

    def _service(self, request: Request) -> str:
        return request.to or self._case.first

    async def connect(self, request: Request) -> Connection:
        default = MESHED_ADDRESS if self._case.at_gateway else "$vip"
        address = self._address(request.address or default, request)
        tls = Tls(edge.client_tls(request.proves_itself), self._host(request)) if request.tls else None
        return await connect(
            self._plane.network,
            address,
            self._port(request),
            request.source or _CLIENT,
            tls,
            H2Client if request.version == "2" else Connection,
        )

    def _port(self, request: Request) -> int:
        if request.port:
            return request.port
        if self._case.at_gateway:
            return edge.HTTPS_PORT if request.tls else edge.HTTP_PORT
        return 8080

    def _host(self, request: Request) -> str:
        service = self._service(request)
        own = f"{self._case.service_name(service)}.{self._case.namespace_of(service)}"
        port = "" if self._case.at_gateway else f":{self._port(request)}"
        return self._address(request.host, request) or own + port

    def _address(self, text: str, request: Request) -> str:
        """`$vip` is the Service's, `$a` that of the endpoint `a`; other texts stay."""
        if text == "$vip":
            return self._vips[self._service(request)]
        by_name = {f"${one.name}": one.address for one in self._placed}
        return by_name.get(text, text)

    def encoded(self, request: Request) -> bytes:
        return request.encoded(self._host(request))

    def take(self) -> list[Seen]:
        taken = [seen for endpoint in self._endpoints.values() for seen in endpoint.seen]
        for endpoint in self._endpoints.values():
            endpoint.seen.clear()
        return taken

    def count(self) -> int:
        return sum(len(endpoint.seen) for endpoint in self._endpoints.values())

    async def until_arrived(self, count: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ARRIVAL_TIMEOUT), self._plane.upstreams.arrived:
                await self._plane.upstreams.arrived.wait_for(lambda: self.count() >= count)

    def accepted(self) -> int:
        return sum(endpoint.accepted for endpoint in self._endpoints.values())

    def open(self) -> int:
        return sum(endpoint.open for endpoint in self._endpoints.values())

    def release(self) -> None:
        for endpoint in self._endpoints.values():
            endpoint.released.set()

    def mend(self, endpoint: str) -> None:
        for one in self._endpoints.values():
            if one.name == endpoint:
                one.script = (OK,)

    async def apply(self, resources: str) -> None:
        for manifest in documents(self._case, self._placed, resources):
            await self._write(manifest)
        await self._settle()

    async def delete(self, kind: str, name: str) -> None:
        await self._plane.api.delete(kind, name, "shop")
        del self._objects[kind, name, "shop"]
        await self._settle()

    async def set_ready(self, service: str, ready: Sequence[bool]) -> None:
        name = f"{self._case.service_name(service)}-1"
        manifest = await self._plane.api.get("EndpointSlice", name, self._case.namespace_of(service))
        endpoints = manifest["endpoints"]
        assert isinstance(endpoints, list)
        for endpoint, is_ready in zip(endpoints, ready, strict=True):
            section(endpoint, "conditions")["ready"] = is_ready
        await self._plane.api.update(manifest)
        await self._settle()

    async def greeting(self, service: str, address: str, port: int, hello: bytes) -> str:
        default = MESHED_ADDRESS if self._case.at_gateway else "$vip"
        target = self._address(address or default, Request(to=service))
        try:
            sock = await asyncio.to_thread(self._plane.network.connect, target, port, TIMEOUT, _CLIENT)
            reader, writer = await asyncio.open_connection(sock=sock)
        except OSError:
            return ""
        writer.write(hello)
        try:
            async with asyncio.timeout(TIMEOUT):
                return (await reader.readline()).decode().strip()
        except ConnectionError:
            return ""
        finally:
            writer.close()
