"""Configuration that changes under live connections: nothing is lost, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import ssl

import pytest

from meshproxy.clock import SystemClock
from meshproxy.config.model import DownstreamTls, Endpoint, Listener
from meshproxy.config.route import RouteTable, VirtualHost, WeightedCluster
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.identity import contexts
from meshproxy.identity.identity import Identity
from meshproxy.routing.table import CompiledRouteTable
from meshproxy.slicing import SLICE_SECONDS
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, issue, new_authority
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
from tests.unit.meshproxy.proxy.test_http_proxy import RETRY, exchange, read_all
from tests.unit.meshproxy.proxy.test_two_sidecars import inbound, outbound_cluster

A = WeightedCluster("a", 1)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_two_hundred_updates_under_load_lose_no_request():
    upstreams = [await Upstream(answering(ok())).start() for _ in range(3)]
    endpoints = [upstream.endpoint for upstream in upstreams]
    rng = random.Random(7)
    answers: list[bytes] = []

    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not updated.is_set():
            answer = await exchange(reader, writer, GET)
            answers.append(answer)
            if b"connection: close" in answer:  # the listener was replaced
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    updated = asyncio.Event()
    config = snapshot(http_listener(A, retry=RETRY), static_cluster("a", *endpoints))
    async with running(config) as mesh:
        clients = [asyncio.create_task(client(mesh.port)) for _ in range(4)]
        for _ in range(200):
            kept = rng.sample(endpoints, rng.randint(1, 3))
            cluster = static_cluster("a", *kept, connect_timeout=rng.choice((1.0, 5.0)))
            listener = http_listener(A, retry=RETRY, idle_timeout=rng.choice((60.0, 600.0)))
            await mesh.worker.apply(snapshot(listener, cluster))
            await asyncio.sleep(0.002)
        updated.set()
        await asyncio.gather(*clients)
    for upstream in upstreams:
        await upstream.stop()
    assert len(answers) > 200
    assert {answer.split(b" ")[1] for answer in answers} == {b"200"}


async def test_a_connection_of_a_replaced_listener_ends_with_its_next_answer_and_counts_until_then():
    upstream = await Upstream(answering(ok())).start()
    cluster = static_cluster("a", upstream.endpoint)
    async with running(snapshot(http_listener(A), cluster)) as mesh:
        reader, writer = await mesh.connect()
        assert b"connection: close" not in await exchange(reader, writer, GET)
        await mesh.worker.apply(snapshot(http_listener(A, idle_timeout=60.0), cluster))
        assert mesh.worker.open_connections == 1
        writer.write(GET)
        assert b"connection: close" in await read_all(reader)
        writer.close()
    await upstream.stop()


async def test_a_connection_of_a_replaced_listener_still_idles_out():
    async with running(snapshot(http_listener(A, idle_timeout=5.0), static_cluster("a"))) as mesh:
        reader, writer = await mesh.connect()
        while not mesh.worker.open_connections:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await mesh.worker.apply(snapshot(http_listener(A, idle_timeout=60.0), static_cluster("a")))
        mesh.worker._sweep(mesh.services.clock.monotonic() + 6.0)
        assert await read_all(reader) == b""
        writer.close()


async def test_a_listener_translated_anew_to_the_same_values_keeps_its_connections():
    upstream = await Upstream(answering(ok())).start()
    cluster = static_cluster("a", upstream.endpoint)
    async with running(snapshot(http_listener(A, retry=RETRY), cluster)) as mesh:
        reader, writer = await mesh.connect()
        await exchange(reader, writer, GET)
        await mesh.worker.apply(snapshot(http_listener(A, retry=RETRY), cluster))
        assert b"connection: close" not in await exchange(reader, writer, GET)
        writer.close()
    await upstream.stop()


async def test_listeners_come_go_and_move():
    upstream = await Upstream(answering(ok())).start()
    cluster = static_cluster("a", upstream.endpoint)
    first = http_listener(A)
    async with running(snapshot(first, cluster)) as mesh:
        old = mesh.port
        reader, writer = await mesh.connect()
        moved = dataclasses.replace(first, address="127.0.0.2")
        await mesh.worker.apply(snapshot(moved, cluster))
        new_reader, new_writer = await asyncio.open_connection("127.0.0.2", mesh.port)
        assert (await exchange(new_reader, new_writer, GET)).endswith(b"hello")
        assert (await exchange(reader, writer, GET)).endswith(b"hello")  # accepted before the move
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", old)
        await mesh.worker.apply(ConfigSnapshot(clusters={"a": cluster}))
        assert not mesh.worker.listeners.listeners
        assert (await exchange(new_reader, new_writer, GET)).endswith(b"hello")
        new_writer.close()
        writer.close()
    await upstream.stop()


async def test_a_listener_that_becomes_virtual_gives_its_socket_up():
    async with running(snapshot(http_listener(A))) as mesh:
        port = mesh.port
        virtual = dataclasses.replace(http_listener(A), bind_to_port=False)
        await mesh.worker.apply(snapshot(virtual))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_an_address_that_cannot_be_bound_changes_nothing():
    upstream = await Upstream(answering(ok())).start()
    cluster = static_cluster("a", upstream.endpoint)
    listener = http_listener(A)
    async with running(snapshot(listener, cluster)) as mesh:
        port = mesh.port
        bad = Listener("bad", listener.direction, "192.0.2.1", 80, listener.filter_chains)
        with pytest.raises(OSError, match="assign"):
            await mesh.worker.apply(ConfigSnapshot(listeners={"listener": listener, "bad": bad}))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await exchange(reader, writer, GET)).endswith(b"hello")
        writer.close()
    await upstream.stop()


async def test_an_endpoint_removed_in_mid_exchange_finishes_it_and_is_not_kept():
    asked, go = asyncio.Event(), asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await go.wait()
        writer.write(ok())
        assert await reader.read() == b""
        ended.set()

    ended = asyncio.Event()
    upstream = await Upstream(waits).start()
    listener = http_listener(A)
    async with running(snapshot(listener, static_cluster("a", upstream.endpoint))) as mesh:
        cluster = mesh.live.clusters["a"]
        reader, writer = await mesh.connect()
        answer = asyncio.create_task(exchange(reader, writer, GET))
        await asked.wait()
        await mesh.worker.apply(snapshot(listener, static_cluster("a", Endpoint("127.0.0.2", 1))))
        await mesh.worker.apply(snapshot(listener))
        go.set()
        assert (await answer).endswith(b"hello")
        await asyncio.wait_for(ended.wait(), 30)
        while cluster.connections:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert cluster.active_requests == 0
        writer.close()
    await upstream.stop()


async def test_an_identity_that_rotates_during_a_handshake_lets_it_finish():
    """Contexts belong to the identity a connection began with; the next connection uses the new one."""
    authority = new_authority()
    app = await Upstream(answering(ok())).start()
    old, new = issue(authority, CATALOG), issue(authority, CATALOG)
    served: list[Identity] = []
    async with running(inbound(app.port), old, original_dst=("127.0.0.1", app.port)) as catalog:

        def rotating(tls: DownstreamTls) -> ssl.SSLContext:
            served.append(new if served else old)  # the agent publishes the next one while the first is used
            return contexts.server_context(
                served[-1], require_client_certificate=True, alpn=tls.alpn_protocols
            )

        services = catalog.worker.listeners._services
        catalog.worker.listeners._services = dataclasses.replace(services, server_context=rotating)
        config = snapshot(http_listener(WeightedCluster("catalog", 1)), outbound_cluster(catalog.port))
        async with running(config, issue(authority, WEB)) as web:
            for _ in range(2):
                reader, writer = await web.connect()
                assert (await exchange(reader, writer, GET)).endswith(b"hello")
                writer.close()
                await web.worker.apply(snapshot(config.listeners["listener"]))  # ends pooled connections
                await web.worker.apply(config)
    assert served == [old, new]
    await app.stop()


async def test_what_did_not_change_keeps_its_live_twin_and_a_compiled_table_is_used():
    names = [f"c{number}" for number in range(100)]
    clusters = [static_cluster(name, Endpoint("127.0.0.1", 1)) for name in names]
    hosts = tuple(VirtualHost(name, (name,), ()) for name in names)
    table = RouteTable("80", hosts)
    async with running(snapshot(http_listener(A), *clusters)) as mesh:
        before = mesh.live.clusters
        compiled = CompiledRouteTable(table)
        config = snapshot(http_listener(A), *clusters, static_cluster("new"))
        await mesh.worker.apply(dataclasses.replace(config, routes={"80": table}, compiled={"80": compiled}))
        assert mesh.live.tables["80"] is compiled
        assert {name for name, live in mesh.live.clusters.items() if before.get(name) is live} == set(names)
        changed = RouteTable("80", (*hosts[1:], VirtualHost("new", ("new",), ())))
        await mesh.worker.apply(dataclasses.replace(config, routes={"80": changed}))
        tables = mesh.live.tables
        assert tables["80"].virtual_host("c1") is compiled.virtual_host("c1")
        assert tables["80"].virtual_host("c0") is None
        await mesh.worker.apply(
            dataclasses.replace(config, routes={"80": changed}, compiled={"80": compiled})
        )
        assert mesh.live.tables["80"] is tables["80"]  # the same table as before: its memory is warm


async def test_requests_are_served_while_a_big_configuration_is_put_in_force():
    upstream = await Upstream(answering(ok())).start()
    cluster = static_cluster("a", upstream.endpoint)
    clock = SteppingClock()
    async with running(snapshot(http_listener(A), cluster), clock=clock) as mesh:
        clock.step = SLICE_SECONDS  # each look at the clock finds a slice over
        many = [static_cluster(f"c{number}", Endpoint("127.0.0.1", 1)) for number in range(300)]
        applied = asyncio.create_task(mesh.worker.apply(snapshot(http_listener(A), cluster, *many)))
        reader, writer = await mesh.connect()
        assert (await exchange(reader, writer, GET)).endswith(b"hello")
        assert not applied.done()
        assert set(mesh.live.clusters) == {"a"}
        await applied
        assert len(mesh.live.clusters) == 301
        writer.close()
    await upstream.stop()


class SteppingClock(SystemClock):
    """Goes on by itself with every look."""

    step = 0.0
    gone = 0.0

    def monotonic(self) -> float:
        self.gone += self.step
        return self.gone
