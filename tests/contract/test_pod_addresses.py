"""Connections to pods' own addresses, on both data planes: mesh TLS to that pod; headless ones by Host."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.contract.one_pod_mesh import (
    CATALOG_VIP,
    DATA_PLANES,
    PLAIN_IP,
    POD_IP,
    Mesh,
    create,
    running_mesh,
)
from tests.contract.pod_app import answer, get, let_app_in, settled
from tests.unit.control_plane import manifest_builder as build

pytestmark = pytest.mark.privileged

UNDECLARED = 9100


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers HTTP with a name, and anything else with itself."""
    data = await reader.read(1000)
    body = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nnamed" if data.startswith(b"GET ") else data
    writer.write(body)
    writer.close()


@pytest.fixture(params=DATA_PLANES)
async def mesh(request: pytest.FixtureRequest) -> AsyncIterator[Mesh]:
    async with running_mesh(data_plane=request.param) as running:
        let_app_in(running)
        server = await asyncio.start_server(_echo, sock=running.network.listen(POD_IP, UNDECLARED))
        for manifest in _headless():
            await create(running.api, manifest)
        # Not just any answer: until the Service is in force, that address alone answers.
        await running.until(lambda: _answering(running) == {"v1", "v2"}, "the headless Service is not there")
        yield running
        server.close()


def _headless() -> list[dict[str, object]]:
    ports = [
        {"name": "http", "port": 8080},
        {"name": "tcp-db", "port": 3306},
        {"name": "any", "port": UNDECLARED},
    ]
    numbers = [("http", 8080), ("tcp-db", 3306), ("any", UNDECLARED)]
    pods = [build.endpoint(POD_IP, "v1-1"), build.endpoint(PLAIN_IP, "v2-1")]
    return [
        build.service("set", *ports, vip="None", selector={"set": "yes"}),
        build.endpoint_slice("set", *pods, ports=numbers),
    ]


def _answering(mesh: Mesh) -> set[str]:
    """Who answers to the headless Service's name."""
    answers = [get(mesh, POD_IP, 8080, "set.shop") for _ in range(8)]
    return {str(json.loads(body)["name"]) for status, body in answers if status == 200}


def _name(mesh: Mesh, address: str, host: str, path: str = "/") -> str:
    status, body = get(mesh, address, 8080, host, path)
    assert status == 200, body
    return str(json.loads(body)["name"])


async def test_every_pod_of_a_headless_service_is_a_destination(mesh: Mesh) -> None:
    def names() -> Counter[str]:
        return Counter(_name(mesh, POD_IP, "set.shop.svc.cluster.local") for _ in range(20))

    assert set(await asyncio.to_thread(names)) == {"v1", "v2"}, "by Host, over all pods"
    # StatefulSets name their pods below the Service: only that pod is meant.
    one = Counter([await asyncio.to_thread(_name, mesh, POD_IP, "set-0.set.shop") for _ in range(6)])
    assert set(one) == {"v1"}
    status, body = await asyncio.to_thread(get, mesh, POD_IP, 8080, f"{POD_IP}:8080")
    assert status == 200
    assert "uri=spiffe://cluster.local/ns/shop/sa/catalog" in json.loads(body)["caller"]
    assert await asyncio.to_thread(_name, mesh, PLAIN_IP, f"{PLAIN_IP}:8080") == "v2"


async def test_no_route_holds_for_requests_to_a_pods_address(mesh: Mesh) -> None:
    assert await asyncio.to_thread(_name, mesh, POD_IP, "catalog.shop", "/only/v2") == "v1"
    status, _ = await asyncio.to_thread(get, mesh, POD_IP, 8080, "catalog.shop", "/nowhere")
    assert status == 200
    await mesh.api.delete("Service", "set", "shop")  # an ordinary pod from here on

    def direct() -> bool:
        return _name(mesh, POD_IP, "catalog.shop", "/only/v2") == "v1"

    await mesh.until(direct, "a pod's address without a headless Service")
    assert await asyncio.to_thread(_name, mesh, POD_IP, f"{POD_IP}:8080") == "v1"


async def test_tcp_to_a_pod_of_a_headless_service_is_mesh_tls_to_that_pod(mesh: Mesh) -> None:
    assert await asyncio.to_thread(answer, mesh, POD_IP, 3306) == b"hello from the database\n"
    assert await asyncio.to_thread(answer, mesh, POD_IP, UNDECLARED, b"\0opaque") == b"\0opaque"
    assert await asyncio.to_thread(get, mesh, POD_IP, UNDECLARED, "set.shop") == (200, "named")
    await mesh.api.delete("Service", "set", "shop")
    await mesh.until(
        lambda: answer(mesh, POD_IP, UNDECLARED, b"\0direct") == b"\0direct", "any port of a pod of the mesh"
    )
    await settled(mesh)


async def test_a_cluster_ip_is_as_good_as_a_host(mesh: Mesh) -> None:
    for host in (CATALOG_VIP, f"{CATALOG_VIP}:8080", "catalog", "catalog.shop.svc.cluster.local:8080"):
        status, body = await asyncio.to_thread(mesh.get, "/only/v2", host)
        assert (status, json.loads(body)["name"]) == (200, "v2")


async def test_what_names_nobody_is_routed_by_the_address_it_was_sent_to() -> None:
    async with running_mesh(data_plane="meshproxy") as mesh:
        let_app_in(mesh)
        for host in ("somebody.else", "somebody.else:8080", "127.0.0.1"):
            status, body = await asyncio.to_thread(mesh.get, "/only/v2", host)
            assert (status, json.loads(body)["name"]) == (200, "v2")
            status, _ = await asyncio.to_thread(mesh.get, "/nowhere", host)
            assert status == 404, "the Service's routes are all there is"
