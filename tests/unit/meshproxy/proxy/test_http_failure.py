"""What goes wrong in the middle of an exchange, and what must not: hangs, leaks, unbounded buffers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from meshproxy.config.route import WeightedCluster
from meshproxy.upstream.connector import Connector
from meshproxy.upstream.endpoint import EndpointRuntime
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
from tests.unit.meshproxy.proxy.test_http_proxy import RETRY, exchange, read_all
from tests.unit.meshproxy.proxy.test_tcp_proxy import reset_socket

A = WeightedCluster("a", 1)


def endpoint_of(mesh: Mesh) -> EndpointRuntime:
    return mesh.live.clusters["a"].endpoints[0]


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Upstream]:
    upstream = await Upstream(handler).start()
    try:
        yield upstream
    finally:
        await upstream.stop()


async def settled(condition, seconds: float = 30.0) -> None:
    """Until `condition()`; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("reset", [True, False])
async def test_an_upstream_that_ends_the_connection_at_once_is_a_failure_not_a_hang(reset):
    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reset:
            reset_socket(writer)

    async with serving(refuses) as upstream:
        config = snapshot(http_listener(A, retry=RETRY), static_cluster("a", upstream.endpoint))
        async with running(config) as mesh:
            for _ in range(20):
                reader, writer = await mesh.connect()
                answer = await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 503")
                writer.close()
            await settled(lambda: mesh.live.clusters["a"].connections == 0)
            assert mesh.live.clusters["a"].pending_requests == 0


async def test_bytes_that_are_no_body_in_the_middle_of_an_exchange_are_answered_400():
    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with (
        serving(waits) as upstream,
        running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh,
    ):
        reader, writer = await mesh.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await settled(lambda: endpoint_of(mesh).requests == 1)
        writer.write(b"no chunk\r\n")
        answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 400")
        writer.close()
        await settled(lambda: mesh.live.clusters["a"].connections == 0)
        assert mesh.live.clusters["a"].active_requests == 0


async def test_a_body_that_came_before_the_connection_is_paused_by_a_slow_upstream(monkeypatch):
    async def never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        try:
            await asyncio.Event().wait()
        finally:
            writer.transport.abort()

    async def connect_late(connector, target, protocol):
        await asyncio.sleep(0.1)  # the body comes first
        await connect_tcp(connector, target, protocol)
        sock = protocol._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # as a network would, not loopback

    connect_tcp = Connector._connect_tcp
    monkeypatch.setattr(Connector, "_connect_tcp", connect_late)
    async with (
        serving(never_reads) as upstream,
        running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh,
    ):
        _, writer = await mesh.connect()
        total = 64 * 1024 * 1024
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: %d\r\n\r\n" % total)
        writer.write(b"x" * total)
        left = -1
        while left != (left := writer.transport.get_write_buffer_size()):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        writer.transport.abort()
        assert left > total / 2


async def test_a_stream_that_moves_is_not_idle_however_long_it_lasts():
    async def trickles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")
        for _ in range(8):
            await more.acquire()
            writer.write(b"x")

    more = asyncio.Semaphore(0)
    async with serving(trickles) as upstream:
        listener = http_listener(A, stream_idle_timeout=60.0, timeout=0)
        async with running(snapshot(listener, static_cluster("a", upstream.endpoint))) as mesh:
            reader, writer = await mesh.connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.wait_for(read_head(reader), 30)
            for _ in range(8):
                mesh.pass_time(20.0)
                more.release()
                assert await asyncio.wait_for(reader.readexactly(1), 30) == b"x"
            writer.close()


async def test_a_stream_that_does_not_move_is_ended():
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(stalls) as upstream:
        listener = http_listener(A, stream_idle_timeout=60.0, timeout=0)
        async with running(snapshot(listener, static_cluster("a", upstream.endpoint))) as mesh:
            reader, writer = await mesh.connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await settled(lambda: endpoint_of(mesh).requests == 1)
            mesh.pass_time(1.0)  # what came since the last look is seen to have moved
            mesh.pass_time(61.0)
            assert (await read_all(reader)).startswith(b"HTTP/1.1 504")
            writer.close()


async def test_a_client_that_does_not_read_its_last_answer_does_not_get_408():
    async with serving(answering(ok(b"x" * 60_000))) as upstream:
        listener = http_listener(A, request_headers_timeout=60.0, timeout=0)
        async with running(snapshot(listener, static_cluster("a", upstream.endpoint))) as mesh:
            reader, writer = await asyncio.open_connection("127.0.0.1", mesh.port, limit=1024)
            requests = 300  # more than the sockets' buffers take
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * requests)
            seen = -1
            while seen != endpoint_of(mesh).requests:
                seen = endpoint_of(mesh).requests
                await asyncio.sleep(0.1)
            mesh.pass_time(61.0)
            for _ in range(requests):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
                assert head.startswith(b"HTTP/1.1 200")
                await asyncio.wait_for(reader.readexactly(60_000), 30)
            writer.close()


async def test_a_head_larger_than_the_pipeline_limit_is_read_to_its_end():
    async with serving(answering(ok())) as upstream:
        listener = http_listener(A, max_request_headers_kb=96)
        async with running(snapshot(listener, static_cluster("a", upstream.endpoint))) as mesh:
            reader, writer = await mesh.connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
            for index in range(20):
                writer.write(b"x-%d: %b\r\n" % (index, b"v" * 4000))
                await asyncio.sleep(0.001)
            answer = await exchange(reader, writer, b"\r\n")
            assert answer.startswith(b"HTTP/1.1 ")
            writer.close()


async def test_an_upstream_that_answers_without_reading_the_request_is_not_reused():
    async def answers_blindly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.transport.pause_reading()
        await asked.wait()
        writer.write(ok())
        await gone.wait()
        writer.transport.abort()

    asked, gone = asyncio.Event(), asyncio.Event()
    body = b"x" * (16 * 1024 * 1024)  # more than sockets' buffers take
    async with (
        serving(answers_blindly) as upstream,
        running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh,
    ):
        reader, writer = await mesh.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await settled(lambda: endpoint_of(mesh).requests == 1)
        await asyncio.sleep(0.1)
        asked.set()
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).startswith(b"HTTP/1.1 200")
        await settled(lambda: mesh.live.clusters["a"].connections == 0)  # although the peer reads nothing
        gone.set()
        writer.transport.abort()


async def test_a_client_that_never_takes_its_answers_is_cut_off():
    async with (
        serving(answering(ok(b"x" * 60_000))) as upstream,
        running(
            snapshot(
                http_listener(A, stream_idle_timeout=60.0, timeout=0), static_cluster("a", upstream.endpoint)
            )
        ) as mesh,
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", mesh.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 400)

        def is_cut() -> bool:
            mesh.pass_time(61.0)
            return mesh.worker.open_connections == 0

        await settled(lambda: endpoint_of(mesh).requests > 0)
        await settled(is_cut)
        assert endpoint_of(mesh).requests < 400
        writer.transport.abort()
