"""Stock Envoy as a sidecar of this control plane: it accepts everything, and routes as the HTTPRoute says.

One network namespace holds the control plane, Envoy and the backends. `v1` is the meshed pod that Envoy
itself stands in for, so that a request to it goes out through mTLS and comes in through the same Envoy's
inbound side; `v2` is a pod without a sidecar.
"""

import asyncio
import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import yaml

from certs.csr import create_csr, generate_key, key_to_pem, parse_csr
from certs.spiffe_id import SpiffeId, TrustDomain
from certs.store import load_or_create_authority
from control_plane.client import ApiClient
from control_plane.envoy_bootstrap import EnvoyNode, bootstrap, secret_files
from tests.contract.control_plane_process import ControlPlaneProcess
from tests.contract.network_namespace import NetworkNamespace
from tests.unit.control_plane import manifest_builder as build

pytestmark = pytest.mark.privileged

TRUST_DOMAIN = TrustDomain("cluster.local")
POD_IP, PLAIN_IP = "10.244.0.11", "10.244.0.12"
CATALOG_VIP, V1_VIP, V2_VIP, DATABASE_VIP = "10.96.0.10", "10.96.0.11", "10.96.0.12", "10.96.0.13"
ANY_VIP = "10.96.0.14"
ADMIN_PORT = 15000
REQUESTS = 2000
TIMEOUT = 20.0

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _prepare_network(network: NetworkNamespace) -> None:
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
                body = json.dumps({"name": name, "caller": caller}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    return serve


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A protocol in which the server speaks first."""
    writer.write(b"hello from the database\n")
    await reader.read(1)
    writer.close()


def _manifests() -> Iterator[dict[str, object]]:
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
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
    yield _split(90, 10)


def _split(v1: int, v2: int) -> dict[str, object]:
    exact = build.rule(build.backend("v2"), paths=[("Exact", "/only/v2")])
    broken = build.rule(
        build.backend("v1", weight=0), build.backend("gone"), paths=[("PathPrefix", "/broken")]
    )
    half = build.rule(build.backend("v2"), build.backend("gone"), paths=[("PathPrefix", "/half")])
    weighted = build.rule(
        build.backend("v1", weight=v1), build.backend("v2", weight=v2), paths=[("PathPrefix", "/split")]
    )
    return build.route("split", weighted, exact, broken, half)


async def _create(api: ApiClient, manifest: dict[str, object]) -> None:
    """Create an object and then its status, which the API keeps apart."""
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    for field in ("resourceVersion", "generation", "creationTimestamp"):
        metadata.pop(field, None)
    created = await api.create({key: value for key, value in manifest.items() if key != "status"})
    if "status" in manifest:
        await api.update_status({**created, "status": manifest["status"]})


def _write_secrets(directory: Path, data_dir: Path) -> None:
    authority = load_or_create_authority(data_dir / "ca", TRUST_DOMAIN, now=time.time())
    key = generate_key()
    identity = SpiffeId.for_workload(TRUST_DOMAIN, "shop", "catalog")
    svid = authority.sign(parse_csr(create_csr(key, identity)), now=time.time())
    files = secret_files(svid.chain_pem.decode(), key_to_pem(key).decode(), svid.root_pem.decode())
    for name, document in files.items():
        (directory / name).write_text(yaml.safe_dump(document))


class Mesh:
    """The namespace with everything in it, and a client inside."""

    def __init__(self, network: NetworkNamespace, api: ApiClient, control_plane: ControlPlaneProcess) -> None:
        self.network = network
        self.api = api
        self.control_plane = control_plane

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
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if await asyncio.to_thread(condition):
                    return
            assert time.monotonic() < deadline, (
                f"{what}; control plane said: {self.control_plane.log()[-4000:]}"
            )
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running_mesh(*flags: str) -> AsyncIterator[Mesh]:
    """Everything up, the control plane with `flags`, Envoy routing."""
    directory = Path(tempfile.mkdtemp(prefix="meshproxy-envoy-"))
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        network = stack.enter_context(NetworkNamespace())
        _prepare_network(network)

        def spawn(*args: object, **kwargs: object) -> "subprocess.Popen[bytes]":
            return network.call(subprocess.Popen, *args, **kwargs)  # type: ignore[arg-type]

        control_plane = ControlPlaneProcess(directory / "data", *flags, spawn=spawn)
        stack.callback(control_plane.stop)
        ports = await asyncio.to_thread(control_plane.ready)
        backends = [
            (_http_backend("v1"), POD_IP, 8080),
            (_http_backend("v2"), PLAIN_IP, 8080),
            (_greet, POD_IP, 3306),
        ]
        for handler, address, port in backends:
            server = await asyncio.start_server(handler, sock=network.listen(address, port))
            stack.callback(server.close)
        api = await stack.enter_async_context(control_plane.client())
        for manifest in _manifests():
            await _create(api, manifest)
        _write_secrets(directory, control_plane.data_dir)
        node = EnvoyNode(
            pod="v1-1",
            namespace="shop",
            pod_ip=POD_IP,
            service_account="catalog",
            discovery_host="127.0.0.1",
            discovery_port=ports["xds"],
            secrets_dir=str(directory),
            admin_port=ADMIN_PORT,
        )
        config = directory / "bootstrap.yaml"
        config.write_text(yaml.safe_dump(bootstrap(node)))
        log = stack.enter_context((directory / "envoy.log").open("wb"))
        command = [str(Path(sys.executable).with_name("envoy")), "-c", str(config), "--concurrency", "1"]
        envoy = spawn([*command, "--disable-hot-restart"], stderr=log)
        stack.callback(envoy.wait)
        stack.callback(envoy.terminate)
        running = Mesh(network, api, control_plane)
        await running.until(lambda: "LIVE" in running.admin("/ready"), "Envoy did not become ready")
        await running.until(lambda: running.get("/split")[0] == 200, "Envoy did not route")
        yield running


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with running_mesh() as running:
        yield running


def _assert_nothing_was_rejected(mesh: Mesh) -> None:
    rejected = mesh.stats(r"update_rejected$")
    assert {"listener_manager.lds.update_rejected", "cluster_manager.cds.update_rejected"} <= rejected.keys()
    assert any("rds" in name for name in rejected)
    assert not any(rejected.values()), rejected


async def test_envoy_accepts_everything_and_splits_as_the_route_says(mesh: Mesh) -> None:
    shares = await asyncio.to_thread(mesh.get_many, "/split", REQUESTS)
    assert set(shares) == {"v1", "v2"}
    # 4 standard deviations of a binomial share at 2,000 requests are 2.7 points.
    assert abs(shares["v2"] / REQUESTS - 0.10) < 0.027

    await mesh.api.apply(_without_bookkeeping(_split(0, 1)))
    await mesh.until(lambda: mesh.get_many("/split", 20)["v2"] == 20, "the new weights had no effect")

    _assert_nothing_was_rejected(mesh)
    accepted = mesh.stats(r"update_success$")
    assert accepted["cluster_manager.cds.update_success"] > 0
    assert accepted["listener_manager.lds.update_success"] > 0
    assert any(name.endswith("update_success") and "outbound|8080||v1" in name for name in accepted)


async def test_envoy_speaks_mesh_tls_on_both_sides_and_tells_the_app_who_called(mesh: Mesh) -> None:
    _, body = await asyncio.to_thread(mesh.get, "/", "v1.shop")
    answer = json.loads(body)
    assert answer["name"] == "v1"
    assert "uri=spiffe://cluster.local/ns/shop/sa/catalog" in answer["caller"]
    handshakes = mesh.stats("ssl.handshake")
    assert sum(count for name, count in handshakes.items() if "outbound|8080||v1" in name) > 0
    assert sum(count for name, count in handshakes.items() if "outbound|8080||v2" in name) == 0


async def test_envoy_relays_a_server_first_protocol_through_mesh_tls(mesh: Mesh) -> None:
    connection = await asyncio.to_thread(mesh.network.connect, DATABASE_VIP, 3306)
    with connection:
        assert await asyncio.to_thread(connection.recv, 100) == b"hello from the database\n"


async def test_envoy_answers_what_no_rule_or_no_backend_covers_as_gateway_api_says(mesh: Mesh) -> None:
    def statuses() -> list[int]:
        paths = ("/nowhere", "/only/v2", "/only/v2/more", "/broken", "/broken/x", "/brokenx", "/split?x=1")
        return [mesh.get(path)[0] for path in paths]

    assert await asyncio.to_thread(statuses) == [404, 200, 404, 500, 500, 404, 200]
    half = await asyncio.to_thread(mesh.get_many, "/half", 200)
    assert set(half) == {"v2", "500"}
    assert 60 < half["500"] < 140
    empty, _ = await asyncio.to_thread(mesh.get, "/only/v2", "v2.shop.svc.cluster.local:8080")
    assert empty == 200, "the Service behind the route is not routed itself"


async def test_strict_refuses_plaintext_that_reaches_envoys_inbound_side(mesh: Mesh) -> None:
    def call() -> bytes:
        with mesh.network.connect(POD_IP, 8080) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: v1\r\n\r\n")
            return connection.recv(100)

    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.to_thread(call) == b""
    missed = mesh.stats("no_filter_chain_match")
    assert sum(missed.values()) >= 1


async def test_permissive_lets_plaintext_in_and_registry_only_refuses_unknown_hosts() -> None:
    async with running_mesh(
        "--mtls-mode", "PERMISSIVE", "--outbound-traffic-policy", "REGISTRY_ONLY"
    ) as mesh:
        undeclared = {"name": "any", "port": 9000, "targetPort": 8080}
        await _create(mesh.api, build.service("any", undeclared, vip=ANY_VIP, selector={"version": "v1"}))
        any_slice = build.endpoint_slice("any", build.endpoint(POD_IP, "v1-1"), ports=[("any", 8080)])
        await _create(mesh.api, any_slice)

        def plaintext() -> tuple[int, str]:
            return mesh.get_from(POD_IP, 8080, "/", "v1")

        def undeclared_port() -> tuple[int, str]:
            return mesh.get_from(ANY_VIP, 9000, "/", "any.shop")

        assert (await asyncio.to_thread(plaintext))[0] == 200
        await mesh.until(lambda: undeclared_port()[0] == 200, "HTTP on an undeclared port")
        _, body = await asyncio.to_thread(undeclared_port)
        assert "uri=spiffe://" in body, "detected HTTP goes through mesh TLS"
        assert (await asyncio.to_thread(mesh.get, "/", "unknown.example"))[0] == 502
        _assert_nothing_was_rejected(mesh)


async def test_a_removed_endpoint_answers_503(mesh: Mesh) -> None:
    await mesh.api.delete("EndpointSlice", "v2-1", "shop")
    await mesh.until(lambda: mesh.get("/only/v2")[0] == 503, "a Service without endpoints must answer 503")


def _without_bookkeeping(manifest: dict[str, object]) -> dict[str, object]:
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    return {**manifest, "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]}}


def test_sockets_made_in_the_namespace_do_not_see_the_hosts_network() -> None:
    with NetworkNamespace() as network, socket.create_server(("127.0.0.1", 0)) as outside:
        network.run("ip", "link", "set", "lo", "up")
        with pytest.raises(ConnectionRefusedError):
            network.connect("127.0.0.1", outside.getsockname()[1])
