"""A circuit breaker for each endpoint, seen from both ends of a worker: open, one probe, closed."""

from __future__ import annotations

import asyncio
import socket

from meshproxy.config.model import Endpoint
from meshproxy.config.resilience import CircuitBreakerSettings
from meshproxy.config.route import WeightedCluster
from tests.unit.meshproxy.proxy.harness import (
    Upstream,
    http_listener,
    ok,
    read_head,
    running,
    snapshot,
    static_cluster,
    tcp_listener,
)
from tests.unit.meshproxy.proxy.test_http_proxy import RETRY, exchange
from tests.unit.meshproxy.proxy.test_outlier import FAILED, GET, Answers, ManualClock, serving, statuses

A = WeightedCluster("a", 1)
THREE = CircuitBreakerSettings(failure_threshold=3, base_open=1.0, max_open=60.0, jitter=0.0)


def config(upstreams: list[Upstream], settings: CircuitBreakerSettings = THREE, **changes: object):
    endpoints = [one.endpoint for one in upstreams]
    cluster = static_cluster("a", *endpoints, circuit_breaker=settings, **changes)
    return snapshot(http_listener(A, retry=RETRY), cluster)


async def test_open_then_one_probe_at_a_time_each_after_twice_the_wait() -> None:
    bad, good, clock = Answers(otherwise=FAILED), Answers(), ManualClock()
    async with (
        serving(bad.handle, good.handle) as upstreams,
        running(config(upstreams), clock=clock) as mesh,
    ):
        assert await statuses(mesh, 20) == {500: 3, 200: 17}
        for opened, wait in enumerate((1.0, 2.0, 4.0), 1):
            assert mesh.metric("meshproxy_circuit_breaker_opened_total", cluster="a") == opened
            clock.now += wait - 0.01
            assert await statuses(mesh, 5) == {200: 5}
            clock.now += 0.02
            assert await statuses(mesh, 10) == {500: 1, 200: 9}  # the probe
        clock.now += 8.1
        bad.otherwise = ok()
        before = bad.requests
        assert await statuses(mesh, 10) == {200: 10}
        assert bad.requests == before + 5
        assert not mesh.live.clusters["a"].endpoints[0].is_watched


async def test_where_every_endpoint_is_open_requests_fail_at_once_panic_or_not() -> None:
    bad, clock = Answers(otherwise=FAILED), ManualClock()
    async with serving(bad.handle) as upstreams, running(config(upstreams), clock=clock) as mesh:
        assert await statuses(mesh, 10) == {500: 3, 503: 7}
        assert bad.requests == 3
        assert mesh.metric("istio_requests_total", response_flags="UH") == 7
        assert mesh.metric("meshproxy_upstream_healthy_panic_total", cluster="a") == 0


async def test_only_the_probes_own_answer_decides() -> None:
    """A request from before the breaker opened is answered while the probe is under way."""
    clock, slow, probe = ManualClock(), asyncio.Event(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = (await read_head(reader)).split(b" ", 2)[1]
            if path == b"/slow":
                await slow.wait()
                writer.write(ok())
            elif path == b"/probe":
                await probe.wait()
                writer.write(ok())
            else:
                writer.write(FAILED)

    async with serving(handle) as upstreams, running(config(upstreams), clock=clock) as mesh:
        endpoint = mesh.live.clusters["a"].endpoints[0]
        old_reader, old_writer = await mesh.connect()
        old_writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(30):
            while not endpoint.active_requests:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        assert await statuses(mesh, 3) == {500: 3}
        clock.now += 1.1
        reader, writer = await mesh.connect()
        writer.write(b"GET /probe HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(30):
            while endpoint.prober is None:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        assert await statuses(mesh, 2) == {503: 2}
        slow.set()
        assert (await old_reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await statuses(mesh, 2) == {503: 2}  # still only the probe
        probe.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert endpoint.breaker is not None
        assert not endpoint.breaker.is_open
        writer.close()
        old_writer.close()


async def test_a_probe_whose_client_leaves_is_due_again() -> None:
    clock, hangs = ManualClock(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            if head.startswith(b"GET /hang "):
                hangs.set()
                await reader.read()
                return
            writer.write(FAILED)

    async with serving(handle) as upstreams, running(config(upstreams), clock=clock) as mesh:
        endpoint = mesh.live.clusters["a"].endpoints[0]
        assert await statuses(mesh, 3) == {500: 3}
        clock.now += 1.1
        _, writer = await mesh.connect()
        writer.write(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        await hangs.wait()
        assert endpoint.prober is not None
        writer.close()
        async with asyncio.timeout(30):
            while endpoint.prober is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        assert await statuses(mesh, 2) == {500: 1, 503: 1}


async def test_an_endpoint_that_is_gone_opens_it_and_retries_go_elsewhere() -> None:
    good, clock = Answers(), ManualClock()
    async with serving(Answers().handle, good.handle) as upstreams:
        await upstreams[0].stop()
        async with running(config(upstreams), clock=clock) as mesh:
            assert await statuses(mesh, 20) == {200: 20}
            dead = mesh.live.clusters["a"].endpoints[0]
            assert dead.connect_failures == 3
            assert mesh.metric("meshproxy_upstream_retries_total", cluster="a") == 3


async def test_tcp_connections_open_and_probe_it_too() -> None:
    clock = ManualClock()

    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    with socket.socket() as place:  # bound, and not listening yet
        place.bind(("127.0.0.1", 0))
        endpoint_config = Endpoint("127.0.0.1", place.getsockname()[1])
        cluster = static_cluster("a", endpoint_config, circuit_breaker=THREE)
        async with running(snapshot(tcp_listener("a"), cluster), clock=clock) as mesh:

            async def connect() -> bytes:
                reader, writer = await mesh.connect()
                try:
                    return await reader.read(5)
                except ConnectionError:
                    return b""
                finally:
                    writer.close()

            endpoint = mesh.live.clusters["a"].endpoints[0]
            for _ in range(5):
                assert await connect() == b""
            assert endpoint.connect_failures == 3
            server = await asyncio.start_server(greets, sock=place)
            assert await connect() == b""
            clock.now += 1.1
            assert await connect() == b"hello"
            assert await connect() == b"hello"
            assert endpoint.breaker is not None
            assert not endpoint.breaker.is_open
            server.close()
            await server.wait_closed()


async def test_a_breaker_that_is_taken_away_bars_nobody() -> None:
    bad, clock = Answers(otherwise=FAILED), ManualClock()
    async with serving(bad.handle) as upstreams:
        first = config(upstreams)
        async with running(first, clock=clock) as mesh:
            assert await statuses(mesh, 5) == {500: 3, 503: 2}
            without = config(upstreams, None)  # type: ignore[arg-type]
            await mesh.worker.apply(without)
            reader, writer = await mesh.connect()
            assert (await exchange(reader, writer, GET)).startswith(b"HTTP/1.1 500")
            writer.close()
