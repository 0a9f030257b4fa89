"""Listeners behind a proxy that says who its client is."""

import asyncio
from dataclasses import replace

import pytest

from meshproxy.config.model import EdgeSettings
from meshproxy.config.route import WeightedCluster
from tests.unit.meshproxy.proxy.harness import (
    Upstream,
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
)
from tests.unit.meshproxy.proxy.test_edge_tls import CA, gateway, tls_of, with_secrets

HEADER = b"PROXY TCP4 203.0.113.7 192.0.2.1 1000 443\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
LISTENER = replace(http_listener(WeightedCluster("a", 1), edge=EdgeSettings()), proxy_protocol=True)


@pytest.mark.parametrize("parts", [[HEADER + REQUEST], [HEADER, REQUEST], [HEADER[:9], HEADER[9:] + REQUEST]])
async def test_the_client_is_who_the_header_names(parts):
    seen: list[bytes] = []
    upstream = await Upstream(answering(ok(), seen)).start()
    async with running(snapshot(LISTENER, static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        await asyncio.wait_for(reader.readuntil(b"hello"), 30)
        writer.close()
    await upstream.stop()
    assert b"\r\nx-forwarded-for: 203.0.113.7\r\n" in seen[0]


async def test_tls_begins_behind_the_header():
    seen: list[bytes] = []
    secret = CA.secret("one", "a.example")
    upstream = await Upstream(answering(ok(), seen)).start()
    listener = gateway((("a.example",), tls_of(secret)), proxy_protocol=True)
    async with running(with_secrets(listener, upstream, secret)) as mesh:
        reader, writer = await mesh.connect()
        writer.write(HEADER)
        await writer.start_tls(CA.client(), server_hostname="a.example")
        writer.write(REQUEST)
        await asyncio.wait_for(reader.readuntil(b"hello"), 30)
        writer.close()
    await upstream.stop()
    assert b"\r\nx-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: https\r\n" in seen[0]


async def test_a_connection_without_header_is_reset_and_counted():
    async with running(snapshot(LISTENER, static_cluster("a"))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(REQUEST)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(reader.readexactly(1), 30)
        assert mesh.refused == [("listener", "proxy_protocol")]
        writer.close()


async def test_who_sends_no_header_in_time_is_refused_even_where_silence_is_allowed():
    listener = replace(LISTENER, listener_filters_timeout=0.01, continue_on_listener_filters_timeout=True)
    async with running(snapshot(listener, static_cluster("a"))) as mesh:
        reader, writer = await mesh.connect()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(reader.readexactly(1), 30)
        assert mesh.refused == [("listener", "detection_timeout")]
        writer.close()
