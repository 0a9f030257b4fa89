"""Limits on what a client may take: each with a clear answer, and counted."""

from __future__ import annotations

import asyncio
import resource
import sys

import pytest

from meshproxy.config.model import Endpoint
from meshproxy.transport import connection_limit
from meshproxy.upstream.connector import Connector
from tests.unit.meshproxy.proxy.harness import (
    Upstream,
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
    tcp_listener,
)
from tests.unit.meshproxy.proxy.test_http_failure import A, serving, settled
from tests.unit.meshproxy.proxy.test_http_proxy import RETRY, exchange, read_all
from tests.unit.meshproxy.proxy.test_memory_bounds import only_connection
from tests.unit.meshproxy.proxy.test_two_sidecars import authority, sidecars

__all__ = ["authority"]

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_more_fields_than_allowed_are_answered_431():
    async with serving(answering(ok())) as upstream:
        config = snapshot(http_listener(A, max_headers_count=10), static_cluster("a", upstream.endpoint))
        async with running(config) as mesh:
            reader, writer = await mesh.connect()
            fields = b"".join(b"x-%d: 1\r\n" % number for number in range(9))
            assert (await exchange(reader, writer, GET[:-2] + fields + b"\r\n")).startswith(b"HTTP/1.1 200")
            writer.write(GET[:-2] + fields + b"x-9: 1\r\n\r\n")
            assert (await asyncio.wait_for(read_all(reader), 30)).startswith(b"HTTP/1.1 431")
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
            answer = await asyncio.wait_for(read_all(reader), 30)
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
            answer = await asyncio.wait_for(read_all(reader), 30)
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


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_connections_beyond_the_listeners_limit_are_reset_and_counted(monkeypatch, kind):
    monkeypatch.setattr(connection_limit, "MAX_CONNECTIONS", 3)
    async with serving(answering(ok())) as upstream:
        listener = http_listener(A) if kind == "http" else tcp_listener("a")
        async with running(snapshot(listener, static_cluster("a", upstream.endpoint))) as mesh:
            pairs = [await mesh.connect() for _ in range(3)]
            for reader, writer in pairs:
                assert (await exchange(reader, writer, GET)).startswith(b"HTTP/1.1 200")
            refused, writer = await mesh.connect()
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(refused.read(), 30)
            assert mesh.refused == [("listener", "connection_limit")]
            writer.close()
            for how in (lambda writer: writer.close(), lambda writer: writer.transport.abort()):
                how(pairs.pop()[1])
                await settled(lambda: mesh.worker.listeners.connections("listener").open == 2)
                pairs.append(await mesh.connect())
                assert (await exchange(*pairs[-1], GET)).startswith(b"HTTP/1.1 200")
            for _, writer in pairs:
                writer.close()
            await settled(lambda: mesh.worker.listeners.connections("listener").open == 0)


async def test_handshakes_that_come_to_nothing_give_their_place_back(authority):
    app = await Upstream(answering(ok())).start()
    async with sidecars(authority, app) as pair:
        count = pair.catalog.worker.listeners.connections("listener")
        for said in (b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01"):
            _, writer = await pair.catalog.connect()
            writer.write(said)
            await settled(lambda: count.open == 1)
            writer.transport.abort()
            await settled(lambda: count.open == 0)
        reader, writer = await pair.web.connect()
        assert (await exchange(reader, writer, GET)).startswith(b"HTTP/1.1 200")
        assert count.open == 1
        writer.close()
    await app.stop()


def test_the_default_leaves_files_for_everything_else(monkeypatch):
    def limit(files: int) -> int:
        monkeypatch.setattr(connection_limit.resource, "getrlimit", lambda kind: (files, files))
        return connection_limit.allowed_connections()

    assert limit(1_000_000) == 10_000
    assert limit(resource.RLIM_INFINITY) == 10_000
    assert limit(1024) * 4 < 1024
    assert limit(64) == 1
    assert connection_limit.allowed_connections(20_000) == 1
    assert connection_limit.highest_file() == 64 - 1 - 16
    assert limit(1_000_000) == 10_000
    assert connection_limit.allowed_connections(20_000) == 20_000
    assert connection_limit.highest_file() == 1_000_000 - 1 - 128
    limit(resource.RLIM_INFINITY)
    assert connection_limit.allowed_connections(20_000) == 20_000
    assert connection_limit.highest_file() == sys.maxsize


def test_as_many_files_as_are_allowed(monkeypatch):
    made = []
    monkeypatch.setattr(connection_limit.resource, "getrlimit", lambda kind: (1024, 4096))
    monkeypatch.setattr(connection_limit.resource, "setrlimit", lambda kind, pair: made.append(pair))
    connection_limit.raise_file_limit()
    assert made == [(4096, 4096)]


async def test_requests_beyond_the_pending_limit_are_answered_503_at_once(monkeypatch):
    never = asyncio.Event()

    async def connects_never(connector, target, protocol):
        await never.wait()

    monkeypatch.setattr(Connector, "_connect_tcp", connects_never)
    cluster = static_cluster("a", Endpoint("127.0.0.1", 1), max_pending_requests=2)
    async with running(snapshot(http_listener(A), cluster)) as mesh:
        pairs = [await mesh.connect() for _ in range(2)]
        for _, writer in pairs:
            writer.write(GET)
        await settled(lambda: mesh.live.clusters["a"].pending_requests == 2)
        reader, writer = await mesh.connect()
        assert (await exchange(reader, writer, GET)).startswith(b"HTTP/1.1 503")
        assert mesh.metric("istio_requests_total", response_flags="UO") == 1
        assert mesh.metric("meshproxy_upstream_overflowed_total", cluster="a", limit="pending") == 1
        assert mesh.metric("meshproxy_upstream_overflowed_total") == 1
        for _, other in [*pairs, (reader, writer)]:
            other.close()


async def test_requests_beyond_the_request_limit_are_answered_503_at_once():
    never = asyncio.Event()

    async def holds(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never.wait()

    async with serving(holds) as upstream:
        cluster = static_cluster("a", upstream.endpoint, max_requests=1)
        async with running(snapshot(http_listener(A), cluster)) as mesh:
            first = await mesh.connect()
            first[1].write(GET)
            await settled(lambda: upstream.connections == 1)
            for refused in (1, 2):
                reader, writer = await mesh.connect()
                assert (await exchange(reader, writer, GET)).startswith(b"HTTP/1.1 503")
                assert (
                    mesh.metric("meshproxy_upstream_overflowed_total", cluster="a", limit="requests")
                    == mesh.metric("meshproxy_upstream_overflowed_total")
                    == mesh.metric("istio_requests_total", response_flags="UO")
                    == refused
                )
                writer.close()
            assert upstream.connections == 1
            first[1].close()


async def test_requests_beyond_the_connection_limit_are_answered_503_at_once():
    never = asyncio.Event()

    async def holds(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never.wait()

    async with serving(holds) as upstream:
        cluster = static_cluster("a", upstream.endpoint, max_connections=2, max_pending_requests=1)
        async with running(snapshot(http_listener(A), cluster)) as mesh:
            pairs = []
            for count in range(1, 4):  # the third waits
                pairs.append(await mesh.connect())
                pairs[-1][1].write(GET)
                await settled(lambda count=count: upstream.connections == min(count, 2))
            live = mesh.live.clusters["a"]
            await settled(lambda: live.pending_requests == 1)
            assert mesh.metric("meshproxy_upstream_overflowed_total", limit="connections") == 1
            reader, writer = await mesh.connect()
            answer = await exchange(reader, writer, GET)
            assert answer.startswith(b"HTTP/1.1 503")
            assert mesh.metric("istio_requests_total", response_flags="UO") == 1
            for _, other in [*pairs, (reader, writer)]:
                other.close()
