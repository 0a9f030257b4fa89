"""Limits on what a client may take: each with a clear answer, and counted."""

from __future__ import annotations

import asyncio

from tests.unit.meshproxy.proxy.harness import (
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
)
from tests.unit.meshproxy.proxy.test_http_failure import A, serving, settled
from tests.unit.meshproxy.proxy.test_http_proxy import RETRY, exchange, read_all
from tests.unit.meshproxy.proxy.test_memory_bounds import only_connection

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_more_fields_than_allowed_are_answered_431():
    async with serving(answering(ok())) as upstream:
        config = snapshot(http_listener(A, max_headers_count=10), static_cluster("a", upstream.endpoint))
        async with running(config) as mesh:
            reader, writer = await mesh.connect()
            fields = b"".join(b"x-%d: 1\r\n" % number for number in range(9))
            assert (await exchange(reader, writer, GET[:-2] + fields + b"\r\n")).startswith(b"HTTP/1.1 200")
            writer.write(GET[:-2] + fields + b"x-9: 1\r\n\r\n")
            assert (await asyncio.wait_for(read_all(reader), 5)).startswith(b"HTTP/1.1 431")
            writer.close()


async def test_a_head_that_takes_too_long_is_answered_408():
    async with serving(answering(ok())) as upstream:
        listener = http_listener(A, request_headers_timeout=10.0)
        async with running(snapshot(listener, static_cluster("a", upstream.endpoint))) as mesh:
            reader, writer = await mesh.connect()
            assert (await exchange(reader, writer, GET)).startswith(b"HTTP/1.1 200")
            connection, now = only_connection(mesh), mesh.services.clock.monotonic()
            writer.write(GET[:20])
            await settled(lambda: not connection._reader.is_idle)
            # It had waited for long when the head began: what counts is the head's own time.
            connection.check_idle(now + 100.0)
            connection.check_idle(now + 109.0)
            assert not connection._closing
            connection.check_idle(now + 111.0)
            answer = await asyncio.wait_for(read_all(reader), 5)
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"connection: close" in answer
            writer.close()


async def test_heads_that_are_unfinished_at_each_look_but_become_requests_are_not_slow():
    async with serving(answering(ok())) as upstream:
        listener = http_listener(A, request_headers_timeout=10.0)
        async with running(snapshot(listener, static_cluster("a", upstream.endpoint))) as mesh:
            reader, writer = await mesh.connect()
            await exchange(reader, writer, GET)
            connection = only_connection(mesh)
            for _ in range(3):
                now = mesh.services.clock.monotonic()
                writer.write(GET[:20])
                await settled(lambda: not connection._reader.is_idle)
                connection.check_idle(now)
                assert (await exchange(reader, writer, GET[20:])).startswith(b"HTTP/1.1 200")
                connection._head_began_at -= 60.0  # as if a minute had passed since
            writer.close()


async def test_a_connection_ends_after_its_last_request_downstream():
    async with serving(answering(ok())) as upstream:
        listener = http_listener(A, max_requests_per_connection=3)
        async with running(snapshot(listener, static_cluster("a", upstream.endpoint))) as mesh:
            reader, writer = await mesh.connect()
            for _ in range(2):
                assert b"connection: close" not in await exchange(reader, writer, GET)
            writer.write(GET * 2)  # the one behind the last is never begun
            answer = await asyncio.wait_for(read_all(reader), 5)
            assert b"connection: close" in answer
            assert answer.count(b"HTTP/1.1 200") == 1
            writer.close()
            assert mesh.metric("istio_requests_total") == 3


async def test_a_connection_ends_after_its_last_request_upstream():
    async with serving(answering(ok())) as upstream:
        cluster = static_cluster("a", upstream.endpoint, max_requests_per_connection=3)
        async with running(snapshot(http_listener(A, retry=RETRY), cluster)) as mesh:
            reader, writer = await mesh.connect()
            for _ in range(7):
                assert (await exchange(reader, writer, GET)).startswith(b"HTTP/1.1 200")
            assert upstream.connections == 3
            writer.close()


async def test_requests_beyond_the_pending_limit_are_answered_503_at_once():
    never = asyncio.Event()

    async def holds(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never.wait()

    async with serving(holds) as upstream:
        cluster = static_cluster("a", upstream.endpoint, max_connections=2)
        async with running(snapshot(http_listener(A), cluster)) as mesh:
            pairs = [await mesh.connect() for _ in range(2)]
            for _, writer in pairs:
                writer.write(GET)
            await settled(lambda: mesh.live.clusters["a"].active_requests == 2)
            reader, writer = await mesh.connect()
            answer = await exchange(reader, writer, GET)
            assert answer.startswith(b"HTTP/1.1 503")
            assert mesh.metric("istio_requests_total", response_flags="UO") == 1
            for _, other in [*pairs, (reader, writer)]:
                other.close()
