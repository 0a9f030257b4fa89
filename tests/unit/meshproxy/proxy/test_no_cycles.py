"""Connections and exchanges are freed when they end, without the garbage collector: what it once looked at is
exempt from later collections, so a cycle would stay for ever. On uvloop, as the sidecar runs: asyncio's own
transports are cycles.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from meshproxy.config.route import WeightedCluster
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, issue, new_authority
from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    Upstream,
    answering,
    http_listener,
    ok,
    read_head,
    running,
    snapshot,
    static_cluster,
    tcp_listener,
)
from tests.unit.meshproxy.proxy.test_http_proxy import exchange
from tests.unit.meshproxy.proxy.test_two_sidecars import inbound, outbound_cluster
from tests.unit.meshproxy.proxy.test_upgrade import ASK, SWITCH, sidecar

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CONNECTIONS = 10


async def over_http(found: list[object]) -> None:
    upstream = await Upstream(answering(ok())).start()
    config = snapshot(http_listener(WeightedCluster("a", 1)), static_cluster("a", upstream.endpoint))
    async with running(config) as mesh:
        await _watch(mesh, found)
    await upstream.stop()


async def over_mtls(found: list[object]) -> None:
    authority = new_authority()
    app = await Upstream(answering(ok())).start()
    identity = issue(authority, CATALOG)
    async with running(inbound(app.port), identity, original_dst=("127.0.0.1", app.port)) as catalog:
        config = snapshot(http_listener(WeightedCluster("catalog", 1)), outbound_cluster(catalog.port))
        async with running(config, issue(authority, WEB)) as web:
            await _watch(web, found)
    await app.stop()


async def over_tcp(found: list[object]) -> None:
    upstream = await Upstream(answering(ok())).start()
    async with running(snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))) as mesh:
        await _watch(mesh, found)
    await upstream.stop()


async def over_websocket(found: list[object]) -> None:
    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(SWITCH)
        while await reader.read(100):
            writer.write(ok())
        writer.close()

    upstream = await Upstream(agree).start()
    async with sidecar(upstream.port) as mesh:
        await _watch(mesh, found, switch=True)
    await upstream.stop()


async def _watch(mesh: Mesh, found: list[object], *, switch: bool = False) -> None:
    await _connections(mesh, switch)  # imports and memories
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await _connections(mesh, switch)
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def _connections(mesh: Mesh, switch: bool) -> None:
    """Each with an upstream connection of its own."""
    for _ in range(CONNECTIONS):
        for endpoint in (one for cluster in mesh.live.clusters.values() for one in cluster.endpoints):
            for idle in endpoint.idle.clear():
                idle.close()
        reader, writer = await mesh.connect()
        if switch:
            writer.write(ASK)
            await read_head(reader)
        assert (await exchange(reader, writer, GET)).endswith(b"hello")
        writer.close()
        await writer.wait_closed()
    while mesh.worker.open_connections:  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.parametrize("scenario", [over_http, over_mtls, over_tcp, over_websocket])
def test_connections_leave_nothing_for_the_collector(
    scenario: Callable[[list[object]], Coroutine[None, None, None]],
) -> None:
    found: list[object] = []
    uvloop.run(scenario(found))
    assert Counter(type(one).__qualname__ for one in found) == {}
