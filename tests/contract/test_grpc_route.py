"""A GRPCRoute on a port that speaks gRPC: grpcio's client and server through stock Envoy and through our
sidecar, inside mutual TLS and outside of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from control_plane.resources.manifest import Manifest, section
from tests.contract.one_pod_mesh import DATA_PLANES, PLAIN_IP, POD_IP, TIMEOUT, Mesh, create, running_mesh
from tests.unit.control_plane import manifest_builder as build

pytestmark = pytest.mark.privileged

VIP, PORT = "10.96.0.20", 50051
GRPC: Manifest = {"name": "grpc", "port": PORT}
LIST, WATCH = "/shop.v1.Catalog/List", "/shop.v1.Catalog/Watch"
GONE, UNKNOWN = "/shop.v1.Gone/List", "/shop.v1.Other/List"


def backend(name: str) -> Manifest:
    return build.backend(name, port=PORT)


def manifests() -> list[Manifest]:
    change = {"set": [{"name": "x-a", "value": "by route"}]}
    rules = [
        build.call_rule(
            backend("calls-v1"),
            methods=[{"service": "shop.v1.Catalog"}],
            filters=[{"type": "RequestHeaderModifier", "requestHeaderModifier": change}],
        ),
        build.call_rule(backend("calls-v2"), methods=[{"service": "shop.v1.Catalog", "method": "Watch"}]),
        build.call_rule(backend("gone"), methods=[{"service": "shop.v1.Gone"}]),
    ]
    return [
        build.service("calls", GRPC, vip=VIP, selector={}),
        build.service("calls-v1", GRPC, vip="10.96.0.21", selector={"version": "v1"}),
        build.service("calls-v2", GRPC, vip="10.96.0.22", selector={"version": "v2"}),
        build.endpoint_slice("calls-v1", build.endpoint(POD_IP, "v1-1"), ports=[("grpc", PORT)]),
        build.endpoint_slice("calls-v2", build.endpoint(PLAIN_IP, "v2-1"), ports=[("grpc", PORT)]),
        build.grpc_route("calls", *rules, parents=[build.service_parent("calls")]),
    ]


def _start(mesh: Mesh, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.contract.grpc_peer", *arguments]
    started = mesh.network.call(subprocess.Popen, command, stdout=subprocess.PIPE, text=True)
    assert isinstance(started, subprocess.Popen)
    return started


def ask(mesh: Mesh, *methods: str) -> list[dict[str, object]]:
    with _start(mesh, "call", f"{VIP}:{PORT}", *methods) as client:
        assert client.stdout is not None
        return [json.loads(line) for line in client.stdout]


@pytest.fixture(params=DATA_PLANES)
async def mesh(request: pytest.FixtureRequest) -> AsyncIterator[Mesh]:
    async with running_mesh(data_plane=request.param) as running:
        servers = [
            _start(running, "serve", name, f"{ip}:{PORT}") for name, ip in (("v1", POD_IP), ("v2", PLAIN_IP))
        ]
        try:
            for server in servers:
                assert server.stdout is not None
                assert await asyncio.to_thread(server.stdout.readline) == f"{PORT}\n"
            for manifest in manifests():
                await create(running.api, manifest)
            await running.until(lambda: ask(running, WATCH)[0]["code"] == "OK", "calls are not routed")
            yield running
        finally:
            for server in servers:
                server.terminate()
                server.wait()
                assert server.stdout is not None
                server.stdout.close()


async def conditions(mesh: Mesh) -> dict[str, tuple[str, str]]:
    """Status and reason by type, once they are written."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            parents = section(await mesh.api.get("GRPCRoute", "calls", "shop"), "status").get("parents")
            if isinstance(parents, list) and parents:
                return {one["type"]: (one["status"], one["reason"]) for one in parents[0]["conditions"]}
            await asyncio.sleep(0.01)


async def test_calls_go_where_the_route_says(mesh: Mesh) -> None:
    listed, watched, gone, unknown = await asyncio.to_thread(ask, mesh, LIST, WATCH, GONE, UNKNOWN)
    told = {"name": "v1", "mesh": True, "a": "by route"}
    assert listed["answers"] == [{**told, "said": "one"}, {**told, "said": "two"}]
    assert listed["server"] == "v1"
    assert watched["answers"] == [{"name": "v2", "number": number} for number in range(3)]
    assert gone["code"] == "UNAVAILABLE"
    assert unknown["code"] == "UNIMPLEMENTED"
    assert await mesh.sync_states() == {"SYNCED"}
    found = await conditions(mesh)
    assert found == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("False", "BackendNotFound")}
