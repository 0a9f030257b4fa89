"""WebSocket through one sidecar and through two, and what happens to upgrades that are not wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from meshproxy.config.model import Endpoint
from tests.unit.meshproxy.proxy.harness import (
    Handler,
    Mesh,
    Upstream,
    answering,
    http_listener,
    ok,
    read_head,
    running,
    snapshot,
    static_cluster,
)
from tests.unit.meshproxy.proxy.test_http_failure import A, endpoint_of, serving, settled
from tests.unit.meshproxy.proxy.test_http_proxy import RETRY, exchange
from tests.unit.meshproxy.proxy.test_tcp_proxy import reset_socket
from tests.unit.meshproxy.proxy.test_two_sidecars import authority, sidecars

__all__ = ["authority"]

ASK = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@asynccontextmanager
async def sidecar(port: int, **manager: object) -> AsyncIterator[Mesh]:
    listener = http_listener(A, **{"upgrade_types": ("websocket",), **manager})
    async with running(snapshot(listener, static_cluster("a", Endpoint("127.0.0.1", port)))) as mesh:
        yield mesh


@asynccontextmanager
async def switched(
    handler: Handler, **manager: object
) -> AsyncIterator[tuple[Mesh, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection whose upstream has agreed to the upgrade and is then `handler`'s."""

    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(SWITCH)
        await handler(reader, writer)

    async with serving(agree) as upstream, sidecar(upstream.port, **manager) as mesh:
        reader, writer = await mesh.connect()
        writer.write(ASK)
        assert (await read_head(reader)).startswith(b"HTTP/1.1 101")
        yield mesh, reader, writer
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async with serve(echo, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def converse(port: int, messages: int) -> None:
    """Send `messages` of many sizes, some at once, and expect each of them back in order."""
    async with connect(
        f"ws://127.0.0.1:{port}/chat", compression=None, proxy=None, ping_interval=None
    ) as socket:
        for start in range(0, messages, 100):
            batch = [b"%d:" % number + b"x" * (number * 37 % 3000) for number in range(start, start + 100)]
            for message in batch:
                await socket.send(message)
            for message in batch:
                assert await socket.recv() == message


async def test_five_thousand_messages_through_one_sidecar():
    async with echo_server() as port, sidecar(port) as mesh:
        await converse(mesh.port, 5000)
        await settled(lambda: mesh.worker.open_connections == 0)
        assert mesh.metric("istio_requests_total", response_code="101", response_flags="-") == 1
        assert mesh.metric("istio_request_bytes_sum", response_code="101") > 5000 * 1400
        assert endpoint_of(mesh).active_requests == 0
        assert endpoint_of(mesh).connections == 0


async def test_five_thousand_messages_through_two_sidecars_over_mtls(authority):
    async with echo_server() as port:
        app = Upstream(answering(ok()), port=port)
        async with sidecars(authority, app, upgrade_types=("websocket",)) as pair:
            await converse(pair.web.port, 5000)
            await settled(lambda: pair.web.worker.open_connections == 0)
            await settled(lambda: pair.catalog.worker.open_connections == 0)
            for mesh in (pair.web, pair.catalog):
                assert mesh.metric("istio_requests_total", response_code="101", response_flags="-") == 1


async def test_the_two_fields_go_to_the_upstream_and_back_and_no_others_of_the_hop():
    seen = []

    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_head(reader))
        writer.write(SWITCH.replace(b"Upgrade\r\n", b"Upgrade, x-hop\r\nX-Hop: 1\r\nX-End: 2\r\n", 1))
        await reader.read()

    async with serving(agree) as upstream, sidecar(upstream.port) as mesh:
        reader, writer = await mesh.connect()
        writer.write(ASK.replace(b"keep-alive", b"x-hop").replace(b"Upgrade:", b"X-Hop: 1\r\nUpgrade:"))
        answer = await read_head(reader)
        writer.close()
    for head in (answer, seen[0]):
        assert b"\r\nconnection: upgrade\r\nupgrade: websocket\r\n" in head
        assert head.lower().count(b"upgrade:") == 1
        assert head.lower().count(b"connection:") == 1
        assert b"x-hop" not in head.lower()
    assert b"X-End: 2\r\n" in answer


async def test_bytes_that_came_with_the_heads_are_not_lost():
    async def eager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(SWITCH + b"from the server")
        assert await reader.readexactly(5) == b"early"
        writer.write(b", then early")
        await reader.read()

    async with serving(eager) as upstream, sidecar(upstream.port) as mesh:
        reader, writer = await mesh.connect()
        writer.write(ASK + b"early")
        await read_head(reader)
        assert await reader.readexactly(27) == b"from the server, then early"
        writer.close()


async def test_a_half_close_passes_in_each_direction():
    async def totals(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % len(await reader.read()))

    async with switched(totals) as (mesh, reader, writer):
        writer.write(b"x" * 300_000)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 30) == b"300000"
        await settled(lambda: mesh.worker.open_connections == 0)
        assert mesh.metric("istio_requests_total", response_code="101", response_flags="-") == 1

    async def says_goodbye_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.write_eof()
        said.append(await reader.read())

    said: list[bytes] = []
    async with switched(says_goodbye_first) as (mesh, reader, writer):
        assert await asyncio.wait_for(reader.read(), 30) == b"bye"
        writer.write(b"still here")
        writer.write_eof()
        await settled(lambda: said == [b"still here"])


async def test_a_reset_stays_a_reset_in_each_direction():
    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        reset_socket(writer)

    async with switched(resets) as (mesh, reader, writer):
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        assert mesh.metric("istio_requests_total", response_code="101", response_flags="UC") == 1

    ended: list[Exception] = []

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionResetError as error:
            ended.append(error)

    async with switched(waits) as (mesh, _, writer):
        reset_socket(writer)
        await settled(lambda: len(ended) == 1)
        assert mesh.metric("istio_requests_total", response_code="101", response_flags="DC") == 1


async def test_a_reader_that_does_not_read_stops_the_writer_on_the_other_side():
    sent = 0

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < 64 << 20:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with switched(floods) as (_, reader, writer):
        before = -1
        while before != sent:  # until nothing moves any more
            before = sent
            await asyncio.sleep(0.05)
        assert sent < 32 << 20
        received = 0
        while data := await asyncio.wait_for(reader.read(1 << 20), 30):
            received += len(data)
        assert received == 64 << 20
        writer.close()


async def test_a_silent_one_is_ended_after_the_idle_timeout_but_not_by_the_route_timeout():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with switched(silent, timeout=60.0, stream_idle_timeout=300.0) as (mesh, reader, _):
        mesh.pass_time(200.0)
        await asyncio.sleep(0)
        assert mesh.worker.open_connections == 1
        mesh.pass_time(301.0)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        assert mesh.metric("istio_requests_total", response_code="101", response_flags="SI") == 1


async def test_any_other_answer_is_an_ordinary_one_and_the_connection_goes_on():
    seen: list[bytes] = []
    async with serving(answering(ok(), seen)) as upstream, sidecar(upstream.port) as mesh:
        reader, writer = await mesh.connect()
        for _ in range(2):
            answer = await exchange(reader, writer, ASK)
            assert answer.startswith(b"HTTP/1.1 200")
        writer.close()
    assert upstream.connections == 1
    assert all(b"upgrade: websocket" in head for head in seen)


@pytest.mark.parametrize(
    "request_head",
    [
        ASK.replace(b"WebSocket\r\n", b"h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n", 1),
        ASK.replace(b"WebSocket\r\n", b"websocket, h2c\r\n", 1),
        ASK.replace(b"WebSocket\r\n", b"TLS/1.0\r\n", 1),
        ASK.replace(b", Upgrade", b""),
        ASK.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"keep-alive, ", b"keep-alive,"),
        ASK.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=["h2c", "a list", "tls", "not named by connection", "http/1.0", "post"],
)
async def test_other_upgrades_are_not_passed_on(request_head):
    seen: list[bytes] = []
    async with serving(answering(ok(), seen)) as upstream, sidecar(upstream.port) as mesh:
        reader, writer = await mesh.connect()
        assert (await exchange(reader, writer, request_head)).startswith(b"HTTP/1.1 200")
        writer.close()
    assert b"upgrade" not in seen[0].lower().replace(b"connection: keep-alive, upgrade", b"")


async def test_where_no_upgrade_is_allowed_none_is_passed_on():
    seen: list[bytes] = []
    async with (
        serving(answering(ok(), seen)) as upstream,
        sidecar(upstream.port, upgrade_types=()) as mesh,
    ):
        reader, writer = await mesh.connect()
        assert (await exchange(reader, writer, ASK)).startswith(b"HTTP/1.1 200")
        writer.close()
    assert b"upgrade" not in seen[0].lower()


@pytest.mark.parametrize("protocol", [b"Upgrade: h2c\r\n", b""])
async def test_an_upstream_that_switches_to_something_else_is_an_error(protocol):
    switch = SWITCH.replace(b"Upgrade: websocket\r\n", protocol)
    async with serving(answering(switch)) as upstream, sidecar(upstream.port) as mesh:
        reader, writer = await mesh.connect()
        assert (await exchange(reader, writer, ASK)).startswith(b"HTTP/1.1 502")
        writer.close()


async def test_an_upgrade_is_retried_like_any_get():
    attempts = 0

    async def dies_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        assert b"upgrade: websocket" in await read_head(reader)
        if attempts > 1:
            writer.write(SWITCH)
            await reader.read()

    async with serving(dies_first) as upstream, sidecar(upstream.port, retry=RETRY) as mesh:
        reader, writer = await mesh.connect()
        writer.write(ASK)
        assert (await read_head(reader)).startswith(b"HTTP/1.1 101")
        writer.close()
    assert attempts == 2
