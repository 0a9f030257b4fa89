"""Which codec reads a client is the worker's choice, and clients notice only where it refuses more."""

import asyncio

import pytest

from meshproxy.config.route import WeightedCluster
from meshproxy.http import h1_scan, h1_strict
from tests.unit.meshproxy.proxy.harness import (
    Upstream,
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
)


@pytest.mark.parametrize(("codec", "reader"), [("scan", h1_scan), ("strict", h1_strict)])
async def test_requests_pass_alike_through_either_codec(codec, reader):
    seen: list[bytes] = []
    upstream = await Upstream(answering(ok(), seen)).start()
    config = snapshot(http_listener(WeightedCluster("a", 1)), static_cluster("a", upstream.endpoint))
    async with running(config, codec=codec) as mesh:
        client, writer = await mesh.connect()
        for _ in range(2):
            writer.write(b"POST /1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\nContent-Length: 2\r\n\r\nhi")
            answer = await asyncio.wait_for(client.readuntil(b"hello"), 30)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        [manager] = [manager for _, manager in mesh.worker._managers.values()]
        [connection] = manager.connections
        assert isinstance(connection._reader, reader.RequestReader)
        writer.close()
    await upstream.stop()
    assert seen[0].endswith(b"x-request-id: 7\r\n\r\n")


@pytest.mark.parametrize("codec", ["scan", "strict"])
async def test_what_is_no_http_is_refused_by_either(codec):
    config = snapshot(http_listener(WeightedCluster("a", 1)), static_cluster("a"))
    async with running(config, codec=codec) as mesh:
        client, writer = await mesh.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await asyncio.wait_for(client.read(-1), 30)).startswith(b"HTTP/1.1 400 ")
        writer.close()
