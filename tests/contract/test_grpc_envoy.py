"""Stock Envoy and our sidecar as each other's peers: mutual TLS with ALPN `istio-h2`, gRPC by grpcio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.contract.emitted_sides import (
    INBOUND,
    OUTBOUND,
    Side,
    envoy_called,
    envoy_calling,
    ours_called,
    ours_calling,
)
from tests.contract.grpc_app import OPTIONS, SERVICE, EchoServer, echo_server
from tests.contract.grpc_calls import all_kinds
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, issue, new_authority
from tests.unit.meshproxy.proxy.h2_peer import H2Upstream, Message, Peer, connect

MEBI = 1 << 20
WAYS = {
    "ours to Envoy": (ours_calling, envoy_called),
    "Envoy to ours": (envoy_calling, ours_called),
    "ours to ours": (ours_calling, ours_called),
    "Envoy to Envoy": (envoy_calling, envoy_called),
}


@dataclass
class Call:
    channel: grpc.aio.Channel
    app: EchoServer
    calling: Side
    called: Side

    @property
    def unary(self) -> grpc.aio.UnaryUnaryMultiCallable:
        return self.channel.unary_unary(f"/{SERVICE}/Unary")


@asynccontextmanager
async def sides(way: str, app: int, directory: Path) -> AsyncIterator[tuple[Side, Side]]:
    authority = new_authority()
    calls, is_called = WAYS[way]
    directories = directory / "web", directory / "catalog"
    for one in directories:
        one.mkdir()
    async with (
        is_called(issue(authority, CATALOG), app, directories[1]) as called,
        calls(issue(authority, WEB), called.port, directories[0]) as calling,
    ):
        yield calling, called


@asynccontextmanager
async def through(way: str, directory: Path) -> AsyncIterator[Call]:
    async with (
        echo_server() as app,
        sides(way, app.port, directory) as (calling, called),
        grpc.aio.insecure_channel(f"127.0.0.1:{calling.port}", options=OPTIONS) as channel,
    ):
        yield Call(channel, app, calling, called)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 — a call in another task brings it about
            await asyncio.sleep(0.01)


async def large_ones(call: Call) -> None:
    body = bytes(range(256)) * (4 * MEBI // 256)
    assert await call.unary(body) == body
    repeated = call.channel.unary_stream(f"/{SERVICE}/Repeat")(b"16 " + b"x" * MEBI)
    assert sum([len(one) async for one in repeated]) == 16 * MEBI


async def statuses_and_cancellation(call: Call) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call.unary(b"fail")
    assert failure.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failure.value.details() == "as asked: 100 % of it"
    assert await call.unary(b"x", timeout=20) == b"x"
    assert 10 < call.app.time_left < 21
    before = call.app.calls
    waiting = call.unary(b"wait")
    await until(lambda: call.app.calls > before)
    waiting.cancel()
    await asyncio.wait_for(call.app.cancelled.wait(), 60)
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await call.channel.unary_unary(f"/{SERVICE}/Nothing")(b"")
    assert unknown.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def many_at_once(call: Call) -> None:
    talk = call.channel.stream_stream(f"/{SERVICE}/Talk")
    calls = [talk() for _ in range(200)]

    async def say(number: int) -> bytes:
        await calls[number].write(b"n%d" % number)
        return bytes(await calls[number].read())

    answers = await asyncio.gather(*(say(number) for number in range(200)))
    assert answers == [b"N%d" % number for number in range(200)]
    for one in calls:
        one.cancel()


async def nothing_was_wrong(call: Call) -> None:
    """By Envoy's own account."""
    if call.called.envoy is not None:
        stats = await call.called.envoy.stats()
        assert stats["http.inbound_0.0.0.0_8080.downstream_cx_http2_total"] == 1
        assert stats["http.inbound_0.0.0.0_8080.downstream_cx_protocol_error"] == 0
        assert stats[f"cluster.{INBOUND}.upstream_cx_protocol_error"] == 0
    if call.calling.envoy is not None:
        stats = await call.calling.envoy.stats()
        assert stats[f"cluster.{OUTBOUND}.upstream_cx_http2_total"] == 1
        assert stats[f"cluster.{OUTBOUND}.upstream_cx_protocol_error"] == 0
        assert stats[f"cluster.{OUTBOUND}.ssl.handshake"] == 1


@pytest.mark.parametrize("way", WAYS)
async def test_grpc(way: str, tmp_path: Path) -> None:
    async with asyncio.timeout(60), through(way, tmp_path) as call:
        await all_kinds(call.channel, call.app)
        assert f"URI={WEB}" in call.app.metadata["x-forwarded-client-cert"]
        await large_ones(call)
        await statuses_and_cancellation(call)
        await many_at_once(call)
        await nothing_was_wrong(call)


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_nobody_answers_ends_when_its_time_does(way: str, tmp_path: Path) -> None:
    """Whichever of the two is first says the same; the caller has no clock of its own."""

    async def never(peer: Peer, message: Message) -> None:
        await message.until(lambda one: one.reset is not None)

    app = await H2Upstream(never).start()
    async with sides(way, app.endpoint.port, tmp_path) as (calling, _):
        client = await connect(calling.port)
        fields = (b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"grpc-timeout", b"3000m")
        answer = await client.request(b"POST", b"/shop.Echo/Unary", *fields).end()
        assert (answer.status, answer.fields[b"grpc-status"], answer.is_whole) == (200, b"4", True)
        (asked,) = app.requests
        assert 0 < int(asked.fields[b"grpc-timeout"].removesuffix(b"m")) <= 3000
        assert asked.fields[b"te"] == b"trailers"
        await asked.until(lambda one: one.reset is not None)
        client.close()
    await app.stop()
