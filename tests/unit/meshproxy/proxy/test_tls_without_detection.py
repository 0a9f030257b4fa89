"""A chain that is settled at accept, without the client's first bytes, and wants TLS: on both loops."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import replace

import pytest
import uvloop

from certs.spiffe_id import SpiffeId
from meshproxy.config.model import DownstreamTls
from meshproxy.config.route import WeightedCluster
from meshproxy.identity import contexts
from tests.unit.meshproxy.identity.mesh import issue, new_authority
from tests.unit.meshproxy.proxy.harness import (
    Upstream,
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
)


async def _exchanges(number: int) -> None:
    identity = issue(new_authority(), SpiffeId.parse("spiffe://cluster.local/ns/shop/sa/web"))
    upstream = await Upstream(answering(ok())).start()
    listener = http_listener(WeightedCluster("c", 1))
    chain = replace(listener.filter_chains[0], tls=DownstreamTls())
    config = snapshot(replace(listener, filter_chains=(chain,)), static_cluster("c", upstream.endpoint))
    async with running(config, identity) as mesh:
        context: ssl.SSLContext = contexts.client_context(identity, alpn=())
        for _ in range(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", mesh.port, ssl=context)
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            writer.close()
        assert mesh.refused == []
    await upstream.stop()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_every_connection_shakes_hands_once(run: Callable[[Coroutine[None, None, None]], None]) -> None:
    run(_exchanges(5))
