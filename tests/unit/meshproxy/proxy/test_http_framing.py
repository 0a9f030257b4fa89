"""Bodies and heads in every framing through a worker on loopback, both ways."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.meshproxy.proxy.harness import (
    Upstream,
    answering,
    http_listener,
    ok,
    read_head,
    running,
    snapshot,
    static_cluster,
)
from tests.unit.meshproxy.proxy.test_http_proxy import A, exchange, read_all


async def echo_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads a body, fixed or chunked, and answers with it, chunked."""
    while True:
        head = (await read_head(reader)).lower()
        body = b""
        if b"transfer-encoding: chunked" in head:
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        elif b"content-length:" in head:
            body = await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 1000):
            piece = body[start : start + 1000]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")
        await writer.drain()


async def read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


@pytest.mark.parametrize("size", [0, 1, 5_000, 300_000])
async def test_fixed_and_chunked_bodies_pass_both_ways(size):
    upstream = await Upstream(echo_body).start()
    body = bytes(i % 251 for i in range(size))
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        assert await read_chunked(reader) == body
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, size, 700):
            piece = body[start : start + 700]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await read_chunked(reader) == body
        writer.close()
    await upstream.stop()
    assert upstream.connections == 1


async def test_head_204_and_304_have_no_body_and_keep_the_connection():
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for response in (
            b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
            ok(b"end"),
        ):
            await read_head(reader)
            writer.write(response)

    upstream = await Upstream(script).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        for method, status in ((b"HEAD", b"200"), (b"GET", b"204"), (b"GET", b"304")):
            writer.write(b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % method)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.split(b" ")[1] == status
            assert (b"content-length: 100" in head) == (method == b"HEAD")
        assert (await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).endswith(b"end")
        writer.close()
    await upstream.stop()
    assert upstream.connections == 1


async def test_100_continue_goes_end_to_end():
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        assert b"expect: 100-continue" in head.lower()
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(3) == b"abc"
        writer.write(ok(b"got it"))

    upstream = await Upstream(script).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        assert (await exchange(reader, writer, b"abc")).endswith(b"got it")
        writer.close()
    await upstream.stop()


async def test_a_response_that_ends_with_its_connection_becomes_chunked():
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        await writer.drain()

    upstream = await Upstream(script).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            assert await read_chunked(reader) == b"until the end"
        writer.close()
    await upstream.stop()
    assert upstream.connections == 2


async def test_http_1_0_clients_get_a_connection_that_ends_unless_they_ask():
    upstream = await Upstream(answering(ok())).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        answer = await exchange(
            reader, writer, b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
        )
        assert b"connection: keep-alive" in answer
        writer.write(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        assert b"connection: close" in await read_all(reader)
        writer.close()
    await upstream.stop()
