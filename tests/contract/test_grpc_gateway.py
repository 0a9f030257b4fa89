"""Calls through a gateway: grpcio's client and server, in plaintext and with TLS, by a GRPCRoute."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc
import pytest

from control_plane.resources.manifest import Manifest
from tests import gateway_mesh as gw
from tests.unit.control_plane import manifest_builder as build
from tests.unit.meshproxy.proxy.harness import Mesh

METHOD = "/shop.v1.Catalog/List"
PARENT: Manifest = {"name": "gw", "namespace": "edge"}


def app(name: str, port: int) -> tuple[Manifest, Manifest]:
    """A Service of namespace `edge` that speaks gRPC, with one endpoint on loopback."""
    ports: Manifest = {"name": "grpc", "port": 8080}
    return (
        build.service(name, ports, namespace="edge"),
        build.endpoint_slice(name, build.endpoint(gw.ELSEWHERE), namespace="edge", ports=[("grpc", port)]),
    )


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Of a server."""
    command = (sys.executable, "-m", "tests.contract.grpc_peer", "serve", "app", "127.0.0.1:0")
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert server.stdout is not None
        yield int(await server.stdout.readline())
    finally:
        server.terminate()
        await server.wait()


def manifests(port: int) -> tuple[Manifest, ...]:
    rule = build.call_rule(build.backend("app"), methods=[{"service": "shop.v1.Catalog"}])
    return (
        gw.gateway(gw.listener("web", 80), gw.https("secure", 443, "a.example")),
        gw.secret("cert", "a.example"),
        *app("app", port),
        build.grpc_route("calls", rule, namespace="edge", parents=[PARENT], hostnames=["a.example"]),
    )


def bound(mesh: Mesh, port: int) -> int:
    [found] = mesh.worker.listeners.bound_ports(f"edge/gw/{port}")
    return found


async def said(channel: grpc.aio.Channel) -> bytes:
    call = channel.stream_stream(METHOD, None, None)(iter((b"hello",)), timeout=60)
    return b"".join([message async for message in call])


async def test_a_call_in_plaintext_and_one_with_tls(port: int) -> None:
    options = (("grpc.default_authority", "a.example"), ("grpc.ssl_target_name_override", "a.example"))
    credentials = grpc.ssl_channel_credentials(gw.CA.pem.encode())
    async with gw.running_gateway(*manifests(port)) as mesh:
        plain = grpc.aio.insecure_channel(f"127.0.0.1:{bound(mesh, 80)}", options)
        secure = grpc.aio.secure_channel(f"127.0.0.1:{bound(mesh, 443)}", credentials, options)
        async with plain, secure:
            for channel in (plain, secure):
                assert b'"said": "hello"' in await said(channel)
                # Unary: grpc.aio forgets a status that comes before a message is written (grpc/grpc#36066).
                other = channel.unary_unary("/shop.v1.Other/List", None, None)
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await other(b"hello", timeout=60)
                assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
