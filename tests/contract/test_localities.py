"""Zones on both data planes: failover stays in the client's zone while it can, distribution is by weight."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from control_plane.resources.manifest import Manifest
from tests.contract.one_pod_mesh import DATA_PLANES, PLAIN_IP, POD_IP, Mesh, create, running_mesh
from tests.contract.pod_app import settled
from tests.unit.control_plane import manifest_builder as build

pytestmark = pytest.mark.privileged

ZONED_VIP = "10.96.0.40"


def _slice(*endpoints: Manifest) -> Manifest:
    return build.endpoint_slice("zoned", *endpoints, ports=[("http", 8080)])


HOME = build.endpoint(POD_IP, "v1-1")
AWAY: Manifest = {**build.endpoint(PLAIN_IP, "v2-1"), "zone": "b"}


def _policy(**locality: object) -> Manifest:
    target = {"group": "", "kind": "Service", "name": "zoned"}
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": {"name": "zones", "namespace": "shop"},
        "spec": {"targetRefs": [target], "loadBalancer": {"locality": locality}},
    }


@pytest.fixture(params=DATA_PLANES)
async def mesh(request: pytest.FixtureRequest) -> AsyncIterator[Mesh]:
    """The client, and `v1`, are in zone `a`; `v2` is in zone `b`."""
    async with running_mesh(data_plane=request.param) as running:
        pod = await running.api.get("Pod", "v1-1", "shop")
        metadata = pod["metadata"]
        assert isinstance(metadata, dict)
        metadata["labels"]["topology.kubernetes.io/zone"] = "a"
        await running.api.update(pod)
        await create(running.api, build.service("zoned", vip=ZONED_VIP, selector={}))
        await create(running.api, _slice(HOME, AWAY))
        await create(running.api, _policy(failover={}))
        await running.until(lambda: _names(running, 10) == {"v1": 10}, "requests stay in the zone")
        yield running


def _names(mesh: Mesh, number: int) -> Counter[str]:
    """Who answered."""
    answers = Counter[str]()
    for _ in range(number):
        status, body = mesh.get("/", "zoned.shop")
        answers["v1" if '"v1"' in body else "v2" if '"v2"' in body else str(status)] += 1
    return answers


async def test_requests_leave_the_zone_when_nobody_is_left_in_it(mesh: Mesh) -> None:
    await mesh.api.apply(_bare(_slice(AWAY)))
    await mesh.until(lambda: _names(mesh, 10) == {"v2": 10}, "the other zone takes over")
    await mesh.api.apply(_bare(_slice(HOME, AWAY)))
    await mesh.until(lambda: _names(mesh, 10) == {"v1": 10}, "and gives back")
    await settled(mesh)


async def test_requests_are_distributed_by_weight(mesh: Mesh) -> None:
    rules = [{"from": "/a", "to": {"/a": 25, "/b": 75}}]
    await mesh.api.apply(_policy(distribute=rules))
    await mesh.until(lambda: _names(mesh, 20)["v2"] > 0, "the other zone has its share")
    counted = await asyncio.to_thread(_names, mesh, 400)
    # 4 standard deviations of a binomial share at 400 requests are 9 points.
    assert abs(counted["v1"] / 400 - 0.25) < 0.09
    await settled(mesh)


def _bare(manifest: Manifest) -> Manifest:
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    kept = {key: metadata[key] for key in ("name", "namespace", "labels")}
    return {**manifest, "metadata": kept}
