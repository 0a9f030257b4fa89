"""Endpoints that fail get no requests for a while, and retries have a limit: seen from both ends of a
worker."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from dataclasses import replace as changed

import pytest

from meshproxy.config.model import OutlierDetection
from meshproxy.config.route import WeightedCluster
from tests.unit.meshproxy.proxy.harness import (
    Handler,
    Mesh,
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

A = WeightedCluster("a", 1)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 3\r\n\r\nbad"
MESH_DEFAULT = OutlierDetection(always_eject_one_host=True)


@dataclass
class ManualClock:
    now: float = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@dataclass
class Answers:
    """Scripted: `script(n)` is the answer to the n-th request, from 0; empty ends the connection instead."""

    script: dict[int, bytes] = field(default_factory=dict)
    otherwise: bytes = field(default_factory=ok)
    requests: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            answer = self.script.get(self.requests, self.otherwise)
            self.requests += 1
            if not answer:
                return
            writer.write(answer)


@asynccontextmanager
async def serving(*handlers: Handler) -> AsyncIterator[list[Upstream]]:
    upstreams = [await Upstream(handler).start() for handler in handlers]
    try:
        yield upstreams
    finally:
        for upstream in upstreams:
            await upstream.stop()


async def statuses(mesh: Mesh, count: int) -> Counter[int]:
    """Of `count` requests, one after the other."""
    reader, writer = await mesh.connect()
    found: Counter[int] = Counter()
    for _ in range(count):
        found[int((await exchange(reader, writer, GET)).split(b" ", 2)[1])] += 1
    writer.close()
    return found


def config(upstreams: list[Upstream], **changes: object):
    endpoints = [upstream.endpoint for upstream in upstreams]
    cluster = static_cluster("a", *endpoints, **{"outlier_detection": MESH_DEFAULT, **changes})
    return snapshot(http_listener(A, retry=RETRY), cluster)


def swept(mesh: Mesh, clock: ManualClock, seconds: float) -> None:
    """Let the clock pass and the worker see it."""
    clock.now += seconds
    mesh.worker._sweep(clock.now)


async def test_one_bad_of_three_gets_nothing_after_five_errors_and_comes_back_in_time():
    bad, good, fine = Answers(otherwise=FAILED), Answers(), Answers()
    clock = ManualClock()
    async with (
        serving(bad.handle, good.handle, fine.handle) as upstreams,
        running(config(upstreams), clock=clock) as mesh,
    ):
        assert await statuses(mesh, 300) == {200: 295, 500: 5}
        assert bad.requests == 5
        assert good.requests + fine.requests == 295
        assert abs(good.requests - fine.requests) <= 5
        assert mesh.metric("meshproxy_outlier_ejections_active", cluster="a") == 1
        assert mesh.metric("meshproxy_outlier_ejections_enforced_total", cluster="a") == 1

        clock.now += 29.0
        await asyncio.sleep(0.05)
        assert await statuses(mesh, 30) == {200: 30}

        swept(mesh, clock, 11.0)
        assert mesh.metric("meshproxy_outlier_ejections_active", cluster="a") == 0
        bad.otherwise = ok()
        assert await statuses(mesh, 30) == {200: 30}
        assert bad.requests == 15


async def test_a_dead_endpoint_is_ejected_by_failed_connections_which_no_client_notices():
    good, fine = Answers(), Answers()
    async with serving(good.handle, fine.handle, Answers().handle) as upstreams:
        await upstreams[2].stop()
        async with running(config(upstreams)) as mesh:
            assert await statuses(mesh, 60) == {200: 60}
            dead = mesh.live.clusters["a"].endpoints[2]
            assert (dead.connect_failures, dead.health.is_ejected) == (5, True)
            assert mesh.metric("meshproxy_upstream_retries_total", cluster="a") == 5
            assert mesh.live.clusters["a"].active_retries == 0


async def test_no_more_than_the_cap_are_ejected():
    handlers = [Answers(otherwise=FAILED), Answers(otherwise=FAILED), Answers()]
    async with serving(*(one.handle for one in handlers)) as upstreams, running(config(upstreams)) as mesh:
        await statuses(mesh, 90)
        assert sum(one.health.is_ejected for one in mesh.live.clusters["a"].endpoints) == 1
        assert mesh.metric("meshproxy_outlier_ejections_enforced_total", cluster="a") == 1
        assert mesh.metric("meshproxy_outlier_ejections_overflowed_total", cluster="a") > 3


@pytest.mark.parametrize(("threshold", "status", "panicked"), [(50.0, 500, 15), (0.0, 503, 0)])
async def test_the_last_endpoint_is_used_in_panic_only(threshold: float, status: int, panicked: int):
    bad = Answers(otherwise=FAILED)
    async with (
        serving(bad.handle) as upstreams,
        running(config(upstreams, healthy_panic_threshold=threshold)) as mesh,
    ):
        assert await statuses(mesh, 5) == {500: 5}
        assert await statuses(mesh, 15) == {status: 15}
        assert mesh.metric("meshproxy_upstream_healthy_panic_total", cluster="a") == panicked
        assert bad.requests == 5 + panicked


async def test_one_percent_of_resets_cost_as_many_retries_and_no_ejection():
    faulty = [Answers(dict.fromkeys(range(49 + shift, 300, 100), b"")) for shift in (0, 20, 40)]
    async with serving(*(one.handle for one in faulty)) as upstreams, running(config(upstreams)) as mesh:
        assert await statuses(mesh, 600) == {200: 600}
        expected = sum(sum(index < one.requests for index in one.script) for one in faulty)
        assert expected == 6  # 1 % of 600
        assert mesh.metric("meshproxy_upstream_retries_total", cluster="a", reason="reset_before_response")
        assert mesh.metric("meshproxy_upstream_retries_total", cluster="a") == expected
        assert sum(one.requests for one in faulty) == 600 + expected
        assert mesh.metric("meshproxy_outlier_ejections_enforced_total", cluster="a") == 0


async def test_one_percent_of_500s_reach_the_client_and_eject_nobody():
    faulty = [Answers(dict.fromkeys(range(50, 200, 100), FAILED)) for _ in range(3)]
    async with serving(*(one.handle for one in faulty)) as upstreams, running(config(upstreams)) as mesh:
        assert await statuses(mesh, 600) == {200: 594, 500: 6}
        assert mesh.metric("meshproxy_upstream_retries_total", cluster="a") == 0
        assert mesh.metric("meshproxy_outlier_ejections_enforced_total", cluster="a") == 0


async def test_answers_cut_short_or_too_late_count_too():
    cut, asked = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nha", asyncio.Event()

    async def cuts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(cut)

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await reader.read()

    for handler in (cuts, waits):
        async with serving(handler) as upstreams:
            cluster = static_cluster("a", upstreams[0].endpoint, outlier_detection=MESH_DEFAULT)
            async with running(snapshot(http_listener(A, timeout=60.0), cluster)) as mesh:
                reader, writer = await mesh.connect()
                writer.write(GET)
                if handler is waits:
                    await asyncio.wait_for(asked.wait(), 30)
                    mesh.pass_time(61.0)
                await reader.read(10)
                health = mesh.live.clusters["a"].endpoints[0].health
                async with asyncio.timeout(30):
                    while health.failures != 1:  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
                writer.close()


async def test_a_client_that_leaves_says_nothing_of_the_endpoint():
    reached = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        reached.set()
        await reader.read()

    async with serving(waits) as upstreams, running(config(upstreams)) as mesh:
        _, writer = await mesh.connect()
        writer.write(GET)
        await reached.wait()
        writer.close()
        async with asyncio.timeout(30):
            while mesh.live.clusters["a"].active_requests:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert mesh.live.clusters["a"].endpoints[0].health.failures == 0


async def test_an_ejected_endpoint_stays_so_across_updates_and_counts_no_more_when_it_left():
    bad, good = Answers(otherwise=FAILED), Answers()
    async with serving(bad.handle, good.handle) as upstreams:
        first = config(upstreams)
        async with running(first) as mesh:
            await statuses(mesh, 12)
            assert bad.requests == 5
            cluster = first.clusters["a"]
            await mesh.worker.apply(changed(first, clusters={"a": changed(cluster, connect_timeout=2.0)}))
            assert await statuses(mesh, 12) == {200: 12}
            await mesh.worker.apply(changed(first, clusters={"a": changed(cluster, outlier_detection=None)}))
            assert await statuses(mesh, 12) == {200: 6, 500: 6}
            assert mesh.metric("meshproxy_outlier_ejections_active", cluster="a") == 0
            await mesh.worker.apply(first)
            await statuses(mesh, 12)
            assert mesh.metric("meshproxy_outlier_ejections_active", cluster="a") == 1
            left = changed(cluster, endpoints=(upstreams[1].endpoint,))
            await mesh.worker.apply(changed(first, clusters={"a": left}))
            assert mesh.metric("meshproxy_outlier_ejections_active", cluster="a") == 0
            assert not mesh.live.clusters["a"].is_panicking


async def test_tcp_connections_that_fail_eject_too():
    async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(1))

    async with serving(echoes, echoes) as upstreams:
        await upstreams[0].stop()
        cluster = static_cluster(
            "a", *(upstream.endpoint for upstream in upstreams), outlier_detection=MESH_DEFAULT
        )
        async with running(snapshot(tcp_listener("a"), cluster)) as mesh:
            for _ in range(20):
                reader, writer = await mesh.connect()
                writer.write(b"x")
                assert await reader.read(1) == b"x"
                writer.close()
            dead = mesh.live.clusters["a"].endpoints[0]
            assert (dead.health.is_ejected, dead.connect_failures) == (True, 5)


@pytest.mark.parametrize("limit", [0, 1])
async def test_no_more_retries_at_once_than_the_circuit_limit(limit: int):
    retried, go_on, seen = asyncio.Event(), asyncio.Event(), set[bytes]()

    async def resets_each_first_try(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await read_head(reader)).split(b" ", 2)[1]
        if path not in seen:
            seen.add(path)
            return
        retried.set()
        await go_on.wait()
        writer.write(ok())

    async with (
        serving(resets_each_first_try) as upstreams,
        running(config(upstreams, max_retries=limit)) as mesh,
    ):
        live = mesh.live.clusters["a"]
        first, writer = await mesh.connect()
        writer.write(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
        if limit:
            await retried.wait()
            assert live.active_retries == 1
        second, other_writer = await mesh.connect()
        refused = await exchange(second, other_writer, b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 503")
        go_on.set()
        expected = b"HTTP/1.1 200" if limit else b"HTTP/1.1 503"
        assert (await first.readuntil(b"\r\n\r\n")).startswith(expected)
        assert live.active_retries == 0
        assert mesh.metric("meshproxy_upstream_retries_overflowed_total", cluster="a") == 2 - limit
        assert mesh.metric("istio_requests_total", response_flags="UC,UO") == 2 - limit
        writer.close()
        other_writer.close()
