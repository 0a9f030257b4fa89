"""Relayed TCP: bytes, half-close, resets and silence are what they were on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest

from meshproxy.upstream.connector import Connector
from tests.unit.meshproxy.proxy.harness import Upstream, running, snapshot, static_cluster, tcp_listener
from tests.unit.meshproxy.proxy.test_http_proxy import DEAD


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def test_bytes_pass_both_ways_and_are_counted():
    upstream = await Upstream(echo).start()
    async with running(snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"x" * 200_000)
        assert await asyncio.wait_for(reader.readexactly(200_000), 30) == b"x" * 200_000
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        await writer.wait_closed()
        assert mesh.metric("istio_tcp_received_bytes_total") == 200_000
        assert mesh.metric("istio_tcp_sent_bytes_total") == 200_000
        assert mesh.metric("istio_tcp_connections_opened_total") == 1
        assert mesh.metric("istio_tcp_connections_closed_total") == 1
    await upstream.stop()


async def test_a_server_that_speaks_first_is_heard():
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        writer.write(await reader.readline())

    upstream = await Upstream(banner).start()
    async with running(snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        assert await asyncio.wait_for(reader.readline(), 30) == b"220 ready\r\n"
        writer.write(b"EHLO\n")
        assert await asyncio.wait_for(reader.read(), 30) == b"EHLO\n"
        writer.close()
    await upstream.stop()


async def test_what_a_server_says_while_it_is_joined_goes_to_the_client_only(monkeypatch):
    connect_tcp = Connector._connect_tcp

    async def connect_and_hear(connector, target, protocol):
        await connect_tcp(connector, target, protocol)
        while not (protocol.bytes_received and protocol.eof_received_from):  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def banner_and_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        writer.write_eof()
        heard.set_result(await reader.read())

    monkeypatch.setattr(Connector, "_connect_tcp", connect_and_hear)
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    upstream = await Upstream(banner_and_end).start()
    async with running(snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"EHLO\n")
        assert await asyncio.wait_for(reader.read(), 30) == b"220 ready\r\n"
        writer.close()
        assert await asyncio.wait_for(heard, 30) == b"EHLO\n"
    await upstream.stop()


async def test_a_client_that_sends_much_is_held_back_while_its_upstream_is_dialled_and_does_not_read(
    monkeypatch,
):
    size, connect_tcp = 32 << 20, Connector._connect_tcp
    may_connect, may_read = asyncio.Event(), asyncio.Event()

    async def connect_late(connector, target, protocol):
        await may_connect.wait()
        await connect_tcp(connector, target, protocol)

    async def reads_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # its own buffer would take 128 KiB
        await may_read.wait()
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        got = 0
        while data := await reader.read(1 << 20):
            got += len(data)
        writer.write(b"got %d" % got)

    async def turns() -> None:
        for _ in range(300):
            await asyncio.sleep(0)

    async def settled(condition) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0)

    monkeypatch.setattr(Connector, "_connect_tcp", connect_late)
    upstream = await Upstream(reads_late).start()
    async with running(snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(bytes(size))
        writer.write_eof()
        await settled(lambda: len(mesh.worker._relays) == 1)
        (relay,) = mesh.worker._relays
        await turns()
        assert sum(map(len, relay.downstream.held)) <= 262_144
        may_connect.set()
        await settled(lambda: upstream.connections == 1 and not relay.downstream.held)
        await turns()
        assert relay.upstream.transport is not None
        assert relay.upstream.transport.get_write_buffer_size() <= 2 * 262_144
        may_read.set()
        assert await asyncio.wait_for(reader.read(), 20) == b"got %d" % size
        writer.close()
    await upstream.stop()


async def test_a_half_close_arrives_and_the_answer_still_comes_back():
    async def after_eof(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        everything = await reader.read()
        writer.write(b"got %d" % len(everything))

    upstream = await Upstream(after_eof).start()
    async with running(snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"y" * 1000)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 30) == b"got 1000"
        writer.close()
    await upstream.stop()


async def test_a_half_close_of_the_server_leaves_the_other_direction_open():
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def closes_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.write_eof()
        got.put_nowait(await reader.read())

    upstream = await Upstream(closes_first).start()
    async with running(snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        assert await asyncio.wait_for(reader.read(), 30) == b"bye"
        writer.write(b"late")
        writer.write_eof()
        assert await asyncio.wait_for(got.get(), 30) == b"late"
        writer.close()
    await upstream.stop()


def reset_socket(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_a_reset_of_the_server_is_a_reset_for_the_client():
    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        reset_socket(writer)

    upstream = await Upstream(resets).start()
    async with running(snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    await upstream.stop()


async def test_a_reset_of_the_client_is_a_reset_for_the_server():
    ended: asyncio.Queue[str] = asyncio.Queue()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"!")
        try:
            await reader.read()
            ended.put_nowait("clean")
        except ConnectionResetError:
            ended.put_nowait("reset")

    upstream = await Upstream(waits).start()
    async with running(snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        assert await asyncio.wait_for(reader.readexactly(1), 30) == b"!"
        reset_socket(writer)
        assert await asyncio.wait_for(ended.get(), 30) == "reset"
    await upstream.stop()


async def test_no_upstream_is_a_reset_and_counted():
    async with running(snapshot(tcp_listener("a"), static_cluster("a", DEAD))) as mesh:
        reader, writer = await mesh.connect()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        assert mesh.metric("meshproxy_upstream_connect_failures_total", cluster="a") == 1
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_another_endpoint_is_tried_when_one_cannot_be_reached():
    upstream = await Upstream(echo).start()
    async with running(snapshot(tcp_listener("a"), static_cluster("a", DEAD, upstream.endpoint))) as mesh:
        for _ in range(4):
            reader, writer = await mesh.connect()
            writer.write(b"hi")
            assert await asyncio.wait_for(reader.readexactly(2), 30) == b"hi"
            writer.close()
    await upstream.stop()


async def test_silence_ends_a_relay_after_the_idle_timeout():
    upstream = await Upstream(echo).start()
    config = snapshot(tcp_listener("a", idle_timeout=60.0), static_cluster("a", upstream.endpoint))
    async with running(config) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"x")
        assert await asyncio.wait_for(reader.readexactly(1), 30) == b"x"
        mesh.pass_time(61.0)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
    await upstream.stop()
