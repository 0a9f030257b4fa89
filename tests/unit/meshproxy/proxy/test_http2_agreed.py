"""What was agreed on before the first request of HTTP/2: the version by TLS, the size of header tables."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from h2.settings import SettingCodes

from meshproxy.config.model import EdgeSettings, FilterChain, FilterChainMatch
from meshproxy.config.route import WeightedCluster
from meshproxy.config.tls import EdgeTls
from meshproxy.http.h2.error import PROTOCOL_ERROR
from meshproxy.http.h2.frame import GOAWAY, SETTINGS, word
from tests.unit.meshproxy.proxy.h2_peer import Message, Peer, connect, echo
from tests.unit.meshproxy.proxy.harness import http_listener, running, snapshot, static_cluster
from tests.unit.meshproxy.proxy.outside import authority
from tests.unit.meshproxy.proxy.test_http2 import h2_mesh

ONE = WeightedCluster("a", 1)


def allow_no_table(peer: Peer) -> None:
    """From its acknowledgement on python-hyper refuses blocks that do not say that they use none."""
    peer.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 0})
    peer.flush()


async def test_peers_on_both_sides_that_allow_no_header_table() -> None:
    async def echo_without_table(peer: Peer, message: Message) -> None:
        if message.fields[b":path"] == b"/first":
            allow_no_table(peer)
        await echo(peer, message)

    async with h2_mesh(echo_without_table) as (mesh, upstream):
        client = await connect(mesh.port)
        allow_no_table(client)
        for path in (b"/first", b"/second", b"/third"):
            message = await client.request(path=path).end()
            assert (message.reset, message.trailers) == (None, {b"x-size": b"0"})
        assert len(upstream.connections) == 1
        client.close()


@pytest.mark.parametrize("first", [b"INVALID PREFACE\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
async def test_where_tls_settled_on_http2_nothing_is_answered_in_http1(first: bytes) -> None:
    """RFC 9113 section 3.4."""
    world = authority("world")
    secret = world.secret("exact", "a.example")
    listener = http_listener(ONE, edge=EdgeSettings())
    tls = EdgeTls(secret.name, ("h2", "http/1.1"))
    match = FilterChainMatch(transport_protocol="tls", server_names=("a.example",))
    chain = FilterChain("https", match, listener.filter_chains[0].network, tls)
    config = snapshot(replace(listener, filter_chains=(chain,), tls_inspector=True), static_cluster("a"))
    async with running(replace(config, secrets={secret.name: secret})) as mesh:
        context = world.client()
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", mesh.port, ssl=context, server_hostname="a.example"
        )
        writer.write(first)
        answer = await asyncio.wait_for(reader.read(), 30)
        assert answer[3] == SETTINGS
        goaway = answer.rindex(bytes((GOAWAY, 0, 0, 0, 0, 0)))  # type, flags, stream
        assert word(answer, goaway + 10) == PROTOCOL_ERROR
        writer.close()
