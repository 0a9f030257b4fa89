"""The stream over mTLS: who is verified, who is refused, and which certificate a new stream proves."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import grpc
import grpc.aio
import pytest

from certs.ca import CertificateAuthority
from certs.spiffe_id import SpiffeId
from control_plane.ads import SERVER_OPTIONS, AdsServicer
from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest
from control_plane.cache import SnapshotCache
from control_plane.snapshot import Snapshot
from meshproxy.errors import UpstreamError
from meshproxy.identity.identity import Identity
from meshproxy.xds.stream import AdsStream, mtls_connections
from meshproxy.xds.translate import CLUSTER_TYPE
from tests.unit.meshproxy.identity import mesh
from tests.unit.meshproxy.xds import xds_message as message

CONTROL_PLANE = SpiffeId.for_workload(mesh.MESH, "meshproxy-system", "control-plane")
REQUEST = DiscoveryRequest(type_url=CLUSTER_TYPE, node=Node(id="n1"))


@asynccontextmanager
async def served(authority: CertificateAuthority, peers: list[str | None]) -> AsyncIterator[int]:
    """A control plane on 127.0.0.1 that demands client certificates; `peers` collects who came."""
    serving = authority.issue_serving(
        CONTROL_PLANE, dns_names=["control-plane"], addresses=[ip_address("127.0.0.1")], now=time.time()
    )
    credentials = grpc.ssl_server_credentials(
        [(serving.key_pem, serving.svid.chain_pem)], serving.svid.root_pem, require_client_auth=True
    )
    cache = SnapshotCache()
    snapshot = Snapshot.of_messages(message.shop("catalog"))
    cache.on_node_connected = lambda node: cache.set(node.id, snapshot)

    def authorize(_node: Node, peer: str | None) -> str | None:
        peers.append(peer)
        return None

    server = grpc.aio.server(options=SERVER_OPTIONS)
    AdsServicer(cache, authorize=authorize).add_to(server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def first_answer(address: str, identity: Identity) -> str:
    """Type of what a new stream receives first. Raises UpstreamError."""

    async def current() -> Identity:
        return identity

    stream = AdsStream(await mtls_connections(address, current)())
    try:
        async with asyncio.timeout(30):
            await stream.send([REQUEST])
            return (await stream.receive()).type_url
    finally:
        await stream.close()


async def test_both_sides_prove_who_they_are() -> None:
    authority, peers = mesh.new_authority(), list[str | None]()
    async with served(authority, peers) as port:
        for identity in (mesh.issue(authority, mesh.WEB), mesh.issue(authority, mesh.CATALOG)):
            assert await first_answer(f"127.0.0.1:{port}", identity) == CLUSTER_TYPE
    assert peers == [str(mesh.WEB), str(mesh.CATALOG)]


async def test_a_control_plane_of_another_mesh_is_not_spoken_to() -> None:
    peers = list[str | None]()
    async with served(mesh.new_authority(), peers) as port:
        with pytest.raises(UpstreamError, match="UNAVAILABLE"):
            await first_answer(f"127.0.0.1:{port}", mesh.issue(mesh.new_authority(), mesh.WEB))
    assert peers == []


async def test_the_name_that_was_dialled_must_be_in_the_certificate() -> None:
    authority, peers = mesh.new_authority(), list[str | None]()
    async with served(authority, peers) as port:
        with pytest.raises(UpstreamError, match="UNAVAILABLE"):
            await first_answer(f"localhost:{port}", mesh.issue(authority, mesh.WEB))
    assert peers == []


async def test_an_ended_stream_says_so_to_whoever_sends_or_receives() -> None:
    authority = mesh.new_authority()
    async with served(authority, []) as port:
        identity = mesh.issue(authority, mesh.WEB)

        async def current() -> Identity:
            return identity

        stream = AdsStream(await mtls_connections(f"127.0.0.1:{port}", current)())
        await stream.send([DiscoveryRequest(type_url=CLUSTER_TYPE)])
        with pytest.raises(UpstreamError, match=r"INVALID_ARGUMENT: the first request must carry node\.id"):
            await stream.receive()
        with pytest.raises(UpstreamError, match="INVALID_ARGUMENT"):
            await stream.send([REQUEST])
        await stream.close()
