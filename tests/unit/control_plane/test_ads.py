"""ADS over a real gRPC server on a port of its own choosing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from control_plane.ads import SERVER_OPTIONS, AdsServicer, Authorize
from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.api.envoy.service.discovery.v3 import ads_pb2_grpc
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from control_plane.cache import SnapshotCache
from control_plane.subscription import SyncState
from tests.unit.control_plane.xds_sample import Follower, names_of, request, shop, trace


def _allow(_node: Node, _peer: str | None) -> str | None:
    return None


class Client:
    """Speaks the protocol by hand."""

    def __init__(self, call: "grpc.aio.StreamStreamCall[DiscoveryRequest, DiscoveryResponse]") -> None:
        self.call = call

    async def send(self, message: DiscoveryRequest) -> None:
        await self.call.write(message)

    async def receive(self) -> DiscoveryResponse:
        async with asyncio.timeout(30):
            response = await self.call.read()
        assert isinstance(response, DiscoveryResponse)
        return response


class Served:
    def __init__(self, cache: SnapshotCache, port: int) -> None:
        self.cache = cache
        self.port = port

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)  # type: ignore[no-untyped-call]
            call = stub.StreamAggregatedResources()
            yield Client(call)
            call.cancel()


@asynccontextmanager
async def serve(authorize: Authorize = _allow, answer_timeout: float = 5.0) -> AsyncIterator[Served]:
    cache = SnapshotCache()
    server = grpc.aio.server(options=SERVER_OPTIONS)
    AdsServicer(cache, authorize=authorize, answer_timeout=answer_timeout).add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Served(cache, port)
    finally:
        await server.stop(None)


async def test_a_node_is_announced_and_then_gets_its_snapshot() -> None:
    async with serve() as served, served.client() as client:
        connected: list[Node] = []

        def build(node: Node) -> None:
            connected.append(node)
            served.cache.set(node.id, shop("a"))

        served.cache.on_node_connected = build
        await client.send(request("cds", node="n1"))
        response = await client.receive()
        assert [node.id for node in connected] == ["n1"]
        assert names_of(response) == ["a"]


async def test_a_push_arrives_in_make_before_break_order() -> None:
    async with serve() as served, served.client() as client:
        follower = Follower()
        await client.send(request("cds", node="n1"))
        await client.send(request("lds"))
        await _connected(served, "n1")
        served.cache.set("n1", shop("old"))
        await _follow(client, follower, steps=4)
        await _until(lambda: served.cache.statuses()[0].types["rds"].state is SyncState.SYNCED)
        served.cache.set("n1", shop("new"))
        assert await _follow(client, follower, steps=4) == [
            ("cds", ["new", "old"]),
            ("eds", ["new"]),
            ("rds", ["80"]),
            ("cds", ["new"]),
        ]


async def test_a_refusal_shows_in_the_status_with_its_reason() -> None:
    async with serve() as served, served.client() as client:
        await client.send(request("cds", node="n1"))
        await _connected(served, "n1")
        served.cache.set("n1", shop("a"))
        response = await client.receive()
        await client.send(request("cds", answers=response, error="cluster a: bad"))
        await _until(lambda: served.cache.statuses()[0].types["cds"].state is SyncState.NACKED)
        status = served.cache.statuses()[0].types["cds"]
        assert status.nacked_reason == "cluster a: bad"
        assert (status.sent_version, status.acked_version) == (response.version_info, "")


async def test_a_stale_nonce_is_ignored() -> None:
    async with serve() as served, served.client() as client:
        await client.send(request("cds", node="n1"))
        await _connected(served, "n1")
        served.cache.set("n1", shop("a"))
        response = await client.receive()
        await client.send(request("cds", nonce="of-another-stream"))
        await client.send(request("eds", ["a"]))
        assert trace([await client.receive()]) == [("eds", ["a"])]
        assert served.cache.statuses()[0].types["cds"].state is SyncState.STALE
        await client.send(request("cds", answers=response))
        await _until(lambda: served.cache.statuses()[0].types["cds"].state is SyncState.SYNCED)


async def test_names_dropped_and_asked_for_again_are_sent_again() -> None:
    async with serve() as served, served.client() as client:
        await client.send(request("eds", ["a", "b"], node="n1"))
        await _connected(served, "n1")
        served.cache.set("n1", shop("a", "b"))
        response = await client.receive()
        assert names_of(response) == ["a", "b"]
        await client.send(request("eds", ["a"], answers=response))
        await client.send(request("eds", ["a", "b"], answers=response))
        assert names_of(await client.receive()) == ["b"]


async def test_a_client_that_does_not_answer_is_passed_over_after_the_timeout() -> None:
    async with serve(answer_timeout=0.01) as served, served.client() as client:
        await client.send(request("cds", node="n1"))
        await client.send(request("lds"))
        await _connected(served, "n1")
        served.cache.set("n1", shop("old"))
        assert trace([await client.receive(), await client.receive()]) == [
            ("cds", ["old"]),
            ("lds", ["0.0.0.0_80"]),
        ]
        served.cache.set("n1", shop("new"))
        assert trace([await client.receive(), await client.receive()]) == [
            ("cds", ["new", "old"]),
            ("cds", ["new"]),
        ]


async def test_a_reconnecting_node_gets_the_snapshot_on_its_new_stream_and_is_gone_with_the_last() -> None:
    gone: list[str] = []
    async with serve() as served:
        served.cache.on_node_gone = gone.append
        async with served.client() as first:
            await first.send(request("cds", node="n1"))
            await _connected(served, "n1")
            served.cache.set("n1", shop("a"))
            before = await first.receive()
            async with served.client() as second:
                await second.send(request("cds", node="n1"))
                after = await second.receive()
                assert before.version_info == after.version_info
                assert before.nonce != after.nonce
                assert len(served.cache.statuses()) == 2
            await _until(lambda: len(served.cache.statuses()) == 1)
            assert gone == []
        await _until(lambda: gone == ["n1"])


async def test_a_client_that_half_closes_ends_its_stream() -> None:
    async with serve() as served, served.client() as client:
        await client.send(request("cds", node="n1"))
        await _connected(served, "n1")
        await client.call.done_writing()
        assert await client.call.read() is grpc.aio.EOF  # type: ignore[attr-defined]
        assert served.cache.statuses() == []


async def test_a_client_that_says_nothing_and_leaves_is_let_go() -> None:
    async with serve() as served, served.client() as client:
        await client.call.done_writing()
        assert await client.call.read() is grpc.aio.EOF  # type: ignore[attr-defined]


async def test_a_first_request_without_node_is_refused() -> None:
    async with serve() as served, served.client() as client:
        await client.send(request("cds"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.call.read()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_node_that_is_not_who_it_says_is_refused_with_the_reason() -> None:
    def deny(node: Node, peer: str | None) -> str | None:
        return f"{node.id} is not {peer}"

    async with serve(deny) as served, served.client() as client:
        await client.send(request("cds", node="n1"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.call.read()
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert refused.value.details() == "n1 is not None"
        assert served.cache.nodes() == []


async def _until(condition: Callable[[], bool]) -> None:
    """Let the server run until `condition` holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def _connected(served: Served, node_id: str) -> None:
    await _until(lambda: node_id in [node.id for node in served.cache.nodes()])


async def _follow(client: Client, follower: Follower, steps: int) -> list[tuple[str, list[str]]]:
    """Take and answer `steps` responses."""
    responses = []
    for _ in range(steps):
        responses.append(await client.receive())
        for answer in follower.on_response(responses[-1]):
            await client.send(answer)
    return trace(responses)
