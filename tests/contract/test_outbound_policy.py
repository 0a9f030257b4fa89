"""What becomes of destinations that nothing in the mesh stands for, on both data planes."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.contract.one_pod_mesh import DATA_PLANES, PLAIN_IP, Mesh, create, running_mesh
from tests.contract.pod_app import answer, get, let_app_in
from tests.unit.control_plane import manifest_builder as build

pytestmark = pytest.mark.privileged

UNKNOWN = 9555


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(100))
    writer.close()


@pytest.fixture(params=DATA_PLANES)
def data_plane(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def echo() -> AsyncIterator[list[asyncio.Server]]:
    servers: list[asyncio.Server] = []
    yield servers
    for server in servers:
        server.close()


async def _listen(mesh: Mesh, servers: list[asyncio.Server]) -> None:
    let_app_in(mesh)
    servers.append(await asyncio.start_server(_echo, sock=mesh.network.listen(PLAIN_IP, UNKNOWN)))


async def test_allow_any_passes_on_what_it_does_not_know(data_plane: str, echo: list[asyncio.Server]) -> None:
    async with running_mesh("--outbound-traffic-policy", "ALLOW_ANY", data_plane=data_plane) as mesh:
        await _listen(mesh, echo)
        assert await asyncio.to_thread(answer, mesh, PLAIN_IP, UNKNOWN, b"hello") == b"hello"
        status, body = await asyncio.to_thread(get, mesh, PLAIN_IP, 8080, "unknown.example")
        assert (status, json.loads(body)["name"]) == (200, "v2")


async def test_registry_only_answers_502_and_closes_the_rest(
    data_plane: str, echo: list[asyncio.Server]
) -> None:
    async with running_mesh("--outbound-traffic-policy", "REGISTRY_ONLY", data_plane=data_plane) as mesh:
        await _listen(mesh, echo)
        assert await asyncio.to_thread(answer, mesh, PLAIN_IP, UNKNOWN, b"hello") == b""
        assert (await asyncio.to_thread(get, mesh, PLAIN_IP, 8080, "unknown.example"))[0] == 502
        assert (await asyncio.to_thread(get, mesh, PLAIN_IP, 8080, "v2.shop"))[0] == 200
        for manifest in (
            build.service("set", {"name": "tcp-x", "port": UNKNOWN}, vip="None", selector={}),
            build.endpoint_slice("set", build.endpoint(PLAIN_IP, "v2-1"), ports=[("tcp-x", UNKNOWN)]),
        ):
            await create(mesh.api, manifest)
        await mesh.until(
            lambda: answer(mesh, PLAIN_IP, UNKNOWN, b"hello") == b"hello",
            "a headless Service makes its pods known",
        )
