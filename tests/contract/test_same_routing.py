"""One configuration, two data planes: stock Envoy and this sidecar treat the same traffic the same way."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.contract.one_pod_mesh import (
    ANY_VIP,
    DATA_PLANES,
    DATABASE_VIP,
    POD_IP,
    Mesh,
    create,
    running_mesh,
    split,
    without_bookkeeping,
)
from tests.unit.control_plane import manifest_builder as build

pytestmark = pytest.mark.privileged

REQUESTS = 2000


@pytest.fixture(params=DATA_PLANES)
async def mesh(request: pytest.FixtureRequest) -> AsyncIterator[Mesh]:
    async with running_mesh(data_plane=request.param) as running:
        yield running


async def test_weights_are_as_the_route_says_and_change_while_running(mesh: Mesh) -> None:
    shares = await asyncio.to_thread(mesh.get_many, "/split", REQUESTS)
    assert set(shares) == {"v1", "v2"}
    # 4 standard deviations of a binomial share at 2,000 requests are 2.7 points.
    assert abs(shares["v2"] / REQUESTS - 0.10) < 0.027
    await mesh.api.apply(without_bookkeeping(split(0, 1)))
    await mesh.until(lambda: mesh.get_many("/split", 20)["v2"] == 20, "the new weights had no effect")


async def test_the_app_is_told_who_called(mesh: Mesh) -> None:
    _, body = await asyncio.to_thread(mesh.get, "/", "v1.shop")
    answer = json.loads(body)
    assert answer["name"] == "v1"
    assert "uri=spiffe://cluster.local/ns/shop/sa/catalog" in answer["caller"]


async def test_a_server_first_protocol_passes_through_mesh_tls(mesh: Mesh) -> None:
    connection = await asyncio.to_thread(mesh.network.connect, DATABASE_VIP, 3306)
    with connection:
        assert await asyncio.to_thread(connection.recv, 100) == b"hello from the database\n"


async def test_what_no_rule_or_no_backend_covers_is_answered_as_gateway_api_says(mesh: Mesh) -> None:
    def statuses() -> list[int]:
        paths = ("/nowhere", "/only/v2", "/only/v2/more", "/broken", "/broken/x", "/brokenx", "/split?x=1")
        return [mesh.get(path)[0] for path in paths]

    assert await asyncio.to_thread(statuses) == [404, 200, 404, 500, 500, 404, 200]
    half = await asyncio.to_thread(mesh.get_many, "/half", 200)
    assert set(half) == {"v2", "500"}
    assert 60 < half["500"] < 140
    empty, _ = await asyncio.to_thread(mesh.get, "/only/v2", "v2.shop.svc.cluster.local:8080")
    assert empty == 200, "the Service behind the route is not routed itself"


async def test_a_removed_endpoint_answers_503(mesh: Mesh) -> None:
    await mesh.api.delete("EndpointSlice", "v2-1", "shop")
    await mesh.until(lambda: mesh.get("/only/v2")[0] == 503, "a Service without endpoints must answer 503")


@pytest.mark.parametrize("data_plane", DATA_PLANES)
async def test_permissive_lets_plaintext_in_and_registry_only_refuses_unknown_hosts(data_plane: str) -> None:
    flags = ("--mtls-mode", "PERMISSIVE", "--outbound-traffic-policy", "REGISTRY_ONLY")
    async with running_mesh(*flags, data_plane=data_plane) as mesh:
        undeclared = {"name": "any", "port": 9000, "targetPort": 8080}
        await create(mesh.api, build.service("any", undeclared, vip=ANY_VIP, selector={"version": "v1"}))
        any_slice = build.endpoint_slice("any", build.endpoint(POD_IP, "v1-1"), ports=[("any", 8080)])
        await create(mesh.api, any_slice)

        def plaintext() -> tuple[int, str]:
            return mesh.get_from(POD_IP, 8080, "/", "v1")

        def undeclared_port() -> tuple[int, str]:
            return mesh.get_from(ANY_VIP, 9000, "/", "any.shop")

        assert (await asyncio.to_thread(plaintext))[0] == 200
        await mesh.until(lambda: undeclared_port()[0] == 200, "HTTP on an undeclared port")
        _, body = await asyncio.to_thread(undeclared_port)
        assert "uri=spiffe://" in body, "detected HTTP goes through mesh TLS"
        # Sent to a ClusterIP: ours goes by the address then, whose route takes no such path.
        unknown = 404 if data_plane == "meshproxy" else 502
        assert (await asyncio.to_thread(mesh.get, "/", "unknown.example"))[0] == unknown
        assert await mesh.sync_states() == {"SYNCED"}
