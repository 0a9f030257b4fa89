"""ServiceEntries on both data planes: endpoints in the mesh, TLS by server name, policies, conflicts."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.resources.manifest import Manifest, section
from tests.contract.certificate import TlsClient, server_certificate
from tests.contract.one_pod_mesh import DATA_PLANES, PLAIN_IP, POD_IP, Mesh, create, running_mesh
from tests.contract.pod_app import connect, get, let_app_in, settled
from tests.unit.control_plane import manifest_builder as build

pytestmark = pytest.mark.privileged

TLS_PORT = 7443
HTTP: Manifest = {"number": 8080, "name": "http", "protocol": "HTTP"}
TLS: Manifest = {"number": TLS_PORT, "name": "tls", "protocol": "TLS"}


def _entry(name: str, **spec: object) -> Manifest:
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"resolution": "STATIC", **spec},
    }


def _policy(kind: str, entry: str, **spec: object) -> Manifest:
    target = {"group": "meshproxy.io", "kind": "ServiceEntry", "name": entry}
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": entry, "namespace": "shop"},
        "spec": {"targetRefs": [target], **spec},
    }


@pytest.fixture(params=DATA_PLANES)
async def mesh(request: pytest.FixtureRequest) -> AsyncIterator[Mesh]:
    flags = ("--outbound-traffic-policy", "REGISTRY_ONLY")
    async with running_mesh(*flags, data_plane=request.param) as running:
        let_app_in(running)
        yield running


async def test_an_entry_inside_the_mesh_is_reached_by_mesh_tls(mesh: Mesh) -> None:
    inside = {"hosts": ["vm.internal"], "location": "MESH_INTERNAL", "ports": [HTTP]}
    await create(mesh.api, _entry("vm", **inside, endpoints=[{"address": POD_IP}]))
    await mesh.until(lambda: get(mesh, PLAIN_IP, 8080, "vm.internal")[0] == 200, "the host is not known")
    _, body = await asyncio.to_thread(get, mesh, PLAIN_IP, 8080, "vm.internal")
    answer = json.loads(body)
    assert answer["name"] == "v1"
    assert "uri=spiffe://cluster.local/ns/shop/sa/catalog" in answer["caller"]
    wrong = [{"address": POD_IP, "serviceAccount": "somebody-else"}]
    await mesh.api.apply(_entry("vm", **inside, endpoints=wrong))
    await mesh.until(
        lambda: get(mesh, PLAIN_IP, 8080, "vm.internal")[0] == 503, "the account that is named must answer"
    )
    await settled(mesh)


async def test_tls_to_a_host_is_told_by_its_server_name(mesh: Mesh, tmp_path: Path) -> None:
    context = server_certificate(tmp_path, "api", "api.example.com", "www.example.org")

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer.write(b"secret")
            await writer.drain()
            await reader.read(1)
        writer.close()

    server = await asyncio.start_server(speak, sock=mesh.network.listen(PLAIN_IP, TLS_PORT), ssl=context)
    client = ssl.create_default_context(cafile=str(tmp_path / "api.pem"))

    def heard(name: str) -> bytes:
        with contextlib.suppress(ConnectionError), connect(mesh, PLAIN_IP, TLS_PORT) as connection:
            return TlsClient(connection, client, name).receive()
        return b""

    assert await asyncio.to_thread(heard, "api.example.com") == b"", "REGISTRY_ONLY"
    endpoints = [{"address": PLAIN_IP}]
    await create(mesh.api, _entry("api", hosts=["api.example.com"], ports=[TLS], endpoints=endpoints))
    wild = {"hosts": ["*.example.org"], "resolution": "NONE", "ports": [TLS]}
    await create(mesh.api, _entry("wild", **wild))
    await mesh.until(lambda: heard("api.example.com") == b"secret", "the server name is not known")
    await mesh.until(lambda: heard("www.example.org") == b"secret", "the wildcard is not known")
    assert await asyncio.to_thread(heard, "www.example.net") == b""
    await settled(mesh)
    server.close()


async def test_policies_hold_and_conflicts_are_told(mesh: Mesh) -> None:
    whole = {"hosts": ["plain.example"], "ports": [HTTP], "endpoints": [{"address": PLAIN_IP}]}
    await create(mesh.api, _entry("plain", **whole))
    await create(mesh.api, _entry("rival", **whole))
    await mesh.until(lambda: get(mesh, PLAIN_IP, 8080, "plain.example")[0] == 200, "the host is not known")
    await create(mesh.api, _policy("FaultPolicy", "plain", abort={"httpStatus": 418}))
    await mesh.until(lambda: get(mesh, PLAIN_IP, 8080, "plain.example")[0] == 418, "the fault is not made")
    await _condition(mesh, "plain", "Accepted", "True")
    # Made in the same second: then the names decide.
    await _condition(mesh, "rival", "Accepted", "False")
    await create(mesh.api, build.service("plain", vip="10.96.0.50", selector={}))
    await settled(mesh)


async def _condition(mesh: Mesh, entry: str, kind: str, status: str) -> None:
    """Until the entry's condition says so."""
    async with asyncio.timeout(60):
        while True:
            listed = section(await mesh.api.get("ServiceEntry", entry, "shop"), "status").get("conditions")
            if isinstance(listed, list) and (kind, status) in {
                (one["type"], one["status"]) for one in listed
            }:
                return
            await asyncio.sleep(0.05)
