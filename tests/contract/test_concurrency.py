"""The sidecar with two worker processes, from flags to requests through mTLS: one of them may be killed."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.one_pod_mesh import Mesh, running_mesh

pytestmark = pytest.mark.privileged


def _workers(mesh: Mesh) -> list[int]:
    """Process ids of the workers that serve."""
    info = json.loads(mesh.admin("/server_info"))
    return [worker["pid"] for worker in info["workers"] if worker["serving"]]


def _requests(mesh: Mesh) -> float:
    families = text_string_to_metric_families(mesh.admin("/stats/prometheus"))
    return sum(s.value for f in families for s in f.samples if s.name == "istio_requests_total")


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_sidecar_of_two_workers_serves_on_when_one_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHPROXY_CONCURRENCY", "2")
    async with running_mesh(data_plane="meshproxy") as mesh:
        first = await asyncio.to_thread(_workers, mesh)
        assert len(first) == 2
        before = await asyncio.to_thread(_requests, mesh)
        for _ in range(20):  # new connections: the kernel deals them out
            status, body = await asyncio.to_thread(mesh.get, "/", "v1.shop")
            assert status == 200
            assert "uri=spiffe://cluster.local/ns/shop/sa/catalog" in json.loads(body)["caller"]
        counted = await asyncio.to_thread(_requests, mesh)
        assert counted == before + 40  # once as source and once as destination
        os.kill(first[0], signal.SIGKILL)
        await mesh.until(
            lambda: first[0] not in (now := _workers(mesh)) and len(now) == 2, "the worker was not replaced"
        )
        assert await asyncio.to_thread(_requests, mesh) >= counted
        for _ in range(20):
            assert (await asyncio.to_thread(mesh.get, "/", "v1.shop"))[0] == 200
        last = await asyncio.to_thread(_workers, mesh)
        clusters = json.loads(await asyncio.to_thread(mesh.admin, "/clusters"))
        assert len({cluster["name"] for cluster in clusters}) == len(clusters)
    assert not any(_is_alive(pid) for pid in last)
