"""gRPC by grpcio through two sidecars, mutual TLS between them: all kinds of calls, and what goes wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
import grpc.aio
import pytest

from meshproxy.config.model import Endpoint
from tests.contract.grpc_app import OPTIONS, SERVICE, EchoServer, echo_server
from tests.contract.grpc_calls import all_kinds
from tests.contract.sidecar_pair import sidecar_processes

MEBI = 1 << 20


@dataclass
class Call:
    """A client behind web's sidecar, and the servers behind catalog's."""

    channel: grpc.aio.Channel
    servers: list[EchoServer]

    @property
    def unary(self) -> grpc.aio.UnaryUnaryMultiCallable:
        return self.channel.unary_unary(f"/{SERVICE}/Unary")

    @property
    def server(self) -> EchoServer:
        return self.servers[0]


@asynccontextmanager
async def through_the_mesh(servers: int = 1) -> AsyncIterator[Call]:
    async with AsyncExitStack() as stack:
        apps = [await stack.enter_async_context(echo_server()) for _ in range(servers)]
        pods = (Endpoint("127.0.0.1", app.port) for app in apps)
        limits = {"grpc_timeout_max": 0.0}
        pair = await stack.enter_async_context(sidecar_processes(*pods, http2=True, action=limits))
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{pair.web.port}", options=OPTIONS)
        await stack.enter_async_context(channel)
        yield Call(channel, apps)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 — another process brings it about
            await asyncio.sleep(0.01)


async def test_all_kinds_of_calls() -> None:
    async with through_the_mesh() as mesh:
        await all_kinds(mesh.channel, mesh.server)


async def test_messages_of_4_mb_and_a_stream_of_64() -> None:
    async with through_the_mesh() as mesh:
        body = bytes(range(256)) * (4 * MEBI // 256)
        assert await mesh.unary(body) == body
        repeated = mesh.channel.unary_stream(f"/{SERVICE}/Repeat")(b"64 " + b"x" * MEBI)
        assert sum([len(one) async for one in repeated]) == 64 * MEBI


async def test_statuses_deadlines_and_cancellation() -> None:
    async with through_the_mesh() as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await mesh.unary(b"fail")
        assert failure.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert failure.value.details() == "as asked: 100 % of it"
        assert await mesh.unary(b"x", timeout=20) == b"x"
        assert 10 < mesh.server.time_left < 21  # gRPC rounds up
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await mesh.unary(b"wait", timeout=3)  # time to get there, too
        assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(mesh.server.cancelled.wait(), 60)
        mesh.server.cancelled.clear()
        before = mesh.server.calls
        waiting = mesh.unary(b"wait")
        await until(lambda: mesh.server.calls > before)
        waiting.cancel()
        await asyncio.wait_for(mesh.server.cancelled.wait(), 60)
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await mesh.channel.unary_unary(f"/{SERVICE}/Nothing")(b"")
        assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_thousand_streams_at_once() -> None:
    async with through_the_mesh() as mesh:
        talk = mesh.channel.stream_stream(f"/{SERVICE}/Talk")
        calls = [talk() for _ in range(1000)]

        async def say(number: int) -> bytes:
            await calls[number].write(b"n%d" % number)
            return bytes(await calls[number].read())

        async with asyncio.timeout(60):
            answers = await asyncio.gather(*(say(number) for number in range(1000)))
        assert answers == [b"N%d" % number for number in range(1000)]
        for call in calls:
            call.cancel()


async def test_calls_of_one_client_on_one_connection_are_spread_over_the_servers() -> None:
    async with through_the_mesh(servers=3) as mesh:
        for _ in range(30):
            await asyncio.gather(*(mesh.unary(b"x") for _ in range(100)))
        counts = Counter({server.port: server.calls for server in mesh.servers})
        assert sum(counts.values()) == 3000
        assert all(950 <= count <= 1050 for count in counts.values()), counts
