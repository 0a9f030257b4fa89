"""The control plane as a process: REST in, xDS out, and everything back after a restart."""

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import grpc.aio
import httpx
import pytest

from certs.csr import create_csr, generate_key, key_to_pem
from certs.spiffe_id import SpiffeId, TrustDomain
from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceStub
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from control_plane.api.istio.v1.auth.ca_pb2 import IstioCertificateRequest
from control_plane.api.istio.v1.auth.ca_pb2_grpc import IstioCertificateServiceStub
from control_plane.client import ApiClient
from control_plane.kubeconfig import read_kubeconfig
from control_plane.resources.manifest import Manifest, section, uid_of
from control_plane.snapshot import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from tests.contract.control_plane_process import ControlPlaneProcess
from tests.unit.control_plane import manifest_builder as build

TRUST_DOMAIN = TrustDomain("cluster.local")
NODE_ID = "sidecar~10.244.0.7~{pod}.shop~shop.svc.cluster.local"
TIMEOUT = 60.0


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ControlPlaneProcess]:
    process = ControlPlaneProcess(tmp_path / "data")
    try:
        yield process
    finally:
        process.stop()


def _new(manifest: Manifest) -> Manifest:
    metadata = section(manifest, "metadata")
    kept = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
    return {**manifest, "metadata": kept}


async def _fill(api: ApiClient) -> str:
    """A namespace with a Service and one meshed pod behind it; returns the pod's uid."""
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "catalog", "namespace": "shop"},
    }
    await api.create(account)
    service = _new(build.service("catalog"))
    section(service, "spec").pop("clusterIP")
    await api.create(service)
    pod = _new(build.pod("catalog-1", app="catalog"))
    created = await api.create(pod)
    await api.update_status({**created, "status": pod["status"]})
    await api.create(_new(build.endpoint_slice("catalog", build.endpoint("10.244.0.7", "catalog-1"))))
    return uid_of(created)


async def _identity(api: ApiClient, port: int, root: bytes, uid: str) -> grpc.ChannelCredentials:
    """What a sidecar does at its start: a token, a key, and a certificate from the signing port."""
    issued = await api.create_token(
        "shop", "catalog", audiences=["meshproxy-ca"], pod_name="catalog-1", pod_uid=uid
    )
    key = generate_key()
    csr = create_csr(key, SpiffeId.for_workload(TRUST_DOMAIN, "shop", "catalog")).decode()
    async with grpc.aio.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(root)) as channel:
        answer = await IstioCertificateServiceStub(channel).CreateCertificate(  # type: ignore[no-untyped-call]
            IstioCertificateRequest(csr=csr), metadata=[("authorization", f"Bearer {issued.token}")]
        )
    chain = "".join(answer.cert_chain[:-1]).encode()
    return grpc.ssl_channel_credentials(root, key_to_pem(key), chain)


class _Sidecar:
    """An ADS client that accepts everything."""

    def __init__(self, channel: grpc.aio.Channel, pod: str = "catalog-1") -> None:
        stub = AggregatedDiscoveryServiceStub(channel)  # type: ignore[no-untyped-call]
        self._call = stub.StreamAggregatedResources()
        self._node = Node(id=NODE_ID.format(pod=pod))
        self._node.metadata.update({"GENERATOR": "meshproxy"})

    async def ask(self, type_url: str, *names: str) -> None:
        await self._call.write(DiscoveryRequest(node=self._node, type_url=type_url, resource_names=names))

    async def first(self, type_url: str, *names: str) -> DiscoveryResponse:
        """Subscribe and take the answer."""
        await self.ask(type_url, *names)
        return await self.next(type_url, *names)

    async def next(self, type_url: str, *names: str) -> DiscoveryResponse:
        """The next response of a type, acknowledged; others are acknowledged and dropped."""
        while True:
            response = await self._call.read()
            assert isinstance(response, DiscoveryResponse), "the stream has ended"
            await self._call.write(
                DiscoveryRequest(
                    type_url=response.type_url,
                    version_info=response.version_info,
                    response_nonce=response.nonce,
                    resource_names=names if response.type_url == type_url else (),
                )
            )
            if response.type_url == type_url:
                return response


@contextlib.asynccontextmanager
async def _connected(
    address: str, credentials: grpc.ChannelCredentials | None
) -> AsyncIterator[grpc.aio.Channel]:
    if credentials is None:
        channel = grpc.aio.insecure_channel(address)
    else:
        channel = grpc.aio.secure_channel(address, credentials)
    async with channel:
        yield channel


def _split(response: DiscoveryResponse) -> list[int]:
    table = RouteConfiguration()
    assert response.resources[0].Unpack(table)
    host = next(host for host in table.virtual_hosts if "catalog" in host.domains)
    return [share.weight.value for share in host.routes[0].route.weighted_clusters.clusters]


def _root(process: ControlPlaneProcess) -> bytes:
    return read_kubeconfig(process.data_dir / "kubeconfig").ca_pem.encode()


async def test_what_goes_in_over_rest_comes_out_over_mtls_xds(process: ControlPlaneProcess) -> None:
    ports = process.ready()
    async with process.client() as api:
        uid = await _fill(api)
        credentials = await _identity(api, ports["signing"], _root(process), uid)
        async with _connected(f"localhost:{ports['xds']}", credentials) as channel:
            sidecar = _Sidecar(channel)
            clusters = await sidecar.first(CLUSTER_TYPE)
            bodies = b"".join(one.value for one in clusters.resources)
            assert b"outbound|8080||catalog.shop.svc.cluster.local" in bodies
            assert b"inbound|8080||" in bodies
            await sidecar.first(ENDPOINT_TYPE, "outbound|8080||catalog.shop.svc.cluster.local")
            await sidecar.first(LISTENER_TYPE)
            assert _split(await sidecar.first(ROUTE_TYPE, "8080")) == []

            weights = build.rule(build.backend("catalog", weight=9), build.backend("gone", weight=1))
            await api.create(_new(build.route("split", weights)))
            assert _split(await sidecar.next(ROUTE_TYPE, "8080")) == [9, 1]
        await _until_status_says(api, "BackendNotFound")


async def _until_status_says(api: ApiClient, reason: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    stored: Manifest = {}
    while reason not in json.dumps(stored.get("status")):
        assert time.monotonic() < deadline, stored
        stored = await api.get("HTTPRoute", "split", "shop")


async def test_a_node_that_is_not_the_callers_pod_is_refused(process: ControlPlaneProcess) -> None:
    ports = process.ready()
    async with process.client() as api:
        uid = await _fill(api)
        other = _new(build.pod("web-1", account="default"))
        await api.create(other)
        credentials = await _identity(api, ports["signing"], _root(process), uid)
        async with _connected(f"localhost:{ports['xds']}", credentials) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await _Sidecar(channel, "web-1").first(CLUSTER_TYPE)
    assert refusal.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "sa/default, the caller is" in (refusal.value.details() or "")


async def test_the_xds_port_serves_nobody_without_a_certificate_and_loopback_serves_in_plaintext(
    process: ControlPlaneProcess,
) -> None:
    ports = process.ready()
    anonymous = grpc.ssl_channel_credentials(_root(process))
    async with _connected(f"localhost:{ports['xds']}", anonymous) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await _Sidecar(channel).first(CLUSTER_TYPE)
    async with _connected(f"127.0.0.1:{ports['plaintext_xds']}", None) as channel:
        response = await _Sidecar(channel).first(CLUSTER_TYPE)
        assert any(b"PassthroughCluster" in one.value for one in response.resources)
        await _check_monitoring(process, ports)


async def _check_monitoring(process: ControlPlaneProcess, ports: dict[str, int]) -> None:
    """With one node connected: metrics on their port, syncz there and, behind the token, beside REST."""
    config = read_kubeconfig(process.data_dir / "kubeconfig")
    trust = ssl.create_default_context(cadata=config.ca_pem)
    async with httpx.AsyncClient(verify=trust) as http:
        metrics = await http.get(f"http://127.0.0.1:{ports['metrics']}/metrics")
        assert "pilot_xds 1" in metrics.text
        assert 'pilot_xds_pushes{type="cds"} 1' in metrics.text
        url = f"{config.server}/debug/syncz"
        assert (await http.get(url)).status_code == httpx.codes.UNAUTHORIZED
        bearer = {"Authorization": f"Bearer {config.token}"}
        nodes = (await http.get(url, headers=bearer)).json()["nodes"]
        assert [node["nodeId"] for node in nodes] == [NODE_ID.format(pod="catalog-1")]
        assert nodes[0]["types"]["cds"]["sentVersion"]
        same = (await http.get(f"http://127.0.0.1:{ports['metrics']}/debug/syncz")).json()["nodes"]
        assert [node["nodeId"] for node in same] == [node["nodeId"] for node in nodes]
        assert (await http.get(f"{config.server}/readyz")).status_code == httpx.codes.OK


async def test_killed_and_started_again_it_is_the_same_control_plane(tmp_path: Path) -> None:
    first = ControlPlaneProcess(tmp_path / "data")
    first.ready()
    async with first.client() as api:
        await _fill(api)
        await api.create(_new(build.route("split")))
    before = read_kubeconfig(first.data_dir / "kubeconfig")
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    second = ControlPlaneProcess(tmp_path / "data")
    try:
        ports = second.ready()
        after = read_kubeconfig(second.data_dir / "kubeconfig")
        assert (after.ca_pem, after.token) == (before.ca_pem, before.token)
        async with _connected(f"127.0.0.1:{ports['plaintext_xds']}", None) as channel:
            assert _split(await _Sidecar(channel).first(ROUTE_TYPE, "8080")) == [1]
    finally:
        assert second.stop() == 0
    assert not (tmp_path / "data" / "ports.json").exists()


def test_two_cannot_share_a_data_directory(process: ControlPlaneProcess) -> None:
    process.ready()
    second = subprocess.run(
        [
            *(sys.executable, "-m", "control_plane", "--data-dir", str(process.data_dir)),
            *("--rest-address", "127.0.0.1:0"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT * 2,
    )
    assert second.returncode == 1
    assert "state.db" in second.stderr
    assert process.ready(), "the first one goes on"


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = ControlPlaneProcess(tmp_path / "data", "--xds-port", str(port))
        assert process.wait() == 1
    assert f"cannot listen on 127.0.0.1:{port}" in process.log()
    assert not (tmp_path / "data" / "ports.json").exists()


def test_rest_presents_a_new_certificate_before_the_old_one_ends(tmp_path: Path) -> None:
    process = ControlPlaneProcess(tmp_path / "data", "--leaf-ttl", "5")
    try:
        port = process.ready()["rest"]
        first = ssl.get_server_certificate(("127.0.0.1", port))
        deadline = time.monotonic() + TIMEOUT
        while ssl.get_server_certificate(("127.0.0.1", port)) == first:
            assert time.monotonic() < deadline, process.log()
            time.sleep(0.05)
    finally:
        process.stop()
