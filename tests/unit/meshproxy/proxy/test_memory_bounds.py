"""What a peer can make the sidecar keep: bounded, whatever it sends or leaves unread."""

from __future__ import annotations

import asyncio
import socket

import pytest

from meshproxy.config.model import Direction
from meshproxy.proxy import http_connection, peer
from meshproxy.transport import socket_option
from meshproxy.upstream.connector import Connector
from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
    tcp_listener,
)
from tests.unit.meshproxy.proxy.test_http_failure import A, serving, settled
from tests.unit.meshproxy.proxy.test_http_proxy import exchange

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def only_connection(mesh: Mesh) -> http_connection.HttpServerConnection:
    (connection,) = [item for manager in mesh.worker._serving for item in manager.connections]
    return connection


async def test_claims_of_a_caller_that_proved_nothing_are_not_remembered():
    async with serving(answering(ok())) as upstream:
        config = snapshot(
            http_listener(A, direction=Direction.INBOUND), static_cluster("a", upstream.endpoint)
        )
        async with running(config) as mesh:
            reader, writer = await mesh.connect()
            for number in range(20):
                claim = b"x-envoy-peer-metadata: %d%b\r\n\r\n" % (number, b"A" * 30_000)
                await exchange(reader, writer, GET[:-2] + claim)
            assert len(only_connection(mesh).facts.series) == 1
            writer.close()


def test_claims_that_are_too_long_to_be_ours_are_not_remembered():
    before = peer._decode.cache_info().currsize
    for number in range(5):
        assert peer.decode(b"%d" % number + b"A" * 60_000) is None
    assert peer._decode.cache_info().currsize == before


async def test_a_client_that_leaves_its_last_answer_unread_is_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(http_connection, "_LINGER_SECONDS", 0.01)
    monkeypatch.setattr(socket_option, "TCP_USER_TIMEOUT_MS", 54_321)
    async with (
        serving(answering(ok(b"x" * 50_000))) as upstream,
        running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh,
    ):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", mesh.port))
            await settled(lambda: mesh.worker.open_connections == 1)
            transport = only_connection(mesh)._transport
            server_socket = transport.get_extra_info("socket")
            server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n")
            await settled(lambda: mesh.metric("istio_requests_total", response_code="200") == 1)
            assert transport.get_write_buffer_size() > 0
            level, name = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
            assert server_socket.getsockopt(level, name) == 54_321
            server_socket.setsockopt(level, name, 100)  # as if so much of it had passed
            await settled(lambda: mesh.worker.open_connections == 0)


@pytest.mark.parametrize("after", ["connected", "error"])
async def test_a_relay_whose_upstream_is_lost_while_it_is_joined_gives_everything_back(monkeypatch, after):
    connect_tcp = Connector._connect_tcp

    async def connect_and_lose(connector, target, protocol):
        await connect_tcp(connector, target, protocol)
        if after == "error":
            raise RuntimeError("bug")
        protocol.transport.abort()
        while not protocol.is_lost:  # noqa: ASYNC110
            await asyncio.sleep(0)

    monkeypatch.setattr(Connector, "_connect_tcp", connect_and_lose)
    async with (
        serving(answering(ok())) as upstream,
        running(snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))) as mesh,
    ):
        reader, writer = await mesh.connect()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        writer.close()
        cluster = mesh.live.clusters["a"]
        await settled(lambda: len(mesh.services.tasks._tasks) == 1)
        assert cluster.connections == 0
        assert cluster.endpoints[0].active_requests == 0


async def test_relays_that_are_being_dialled_count_against_the_limit(monkeypatch):
    go = asyncio.Event()
    connect_tcp = Connector._connect_tcp

    async def connect_later(connector, target, protocol):
        await go.wait()
        await connect_tcp(connector, target, protocol)

    monkeypatch.setattr(Connector, "_connect_tcp", connect_later)
    async with serving(answering(ok())) as upstream:
        cluster = static_cluster("a", upstream.endpoint, max_connections=2)
        async with running(snapshot(tcp_listener("a"), cluster)) as mesh:
            pairs = [await mesh.connect() for _ in range(5)]
            live = mesh.live.clusters["a"]
            await settled(lambda: live.overflows == 3)
            assert live.connections == 2
            go.set()
            for _, writer in pairs:
                writer.transport.abort()
            await settled(lambda: live.connections == 0)
