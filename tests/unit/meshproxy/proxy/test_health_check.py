"""Active health checks: who passes gets requests, who does not gets none; seen from both ends of a worker."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace as changed

import pytest

from certs.spiffe_id import SpiffeId
from meshproxy.config.health_check import HealthCheck, HttpCheck, TcpCheck
from meshproxy.config.model import OutlierDetection, UpstreamTls
from meshproxy.config.resilience import HealthCheckSettings
from meshproxy.config.route import WeightedCluster
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, issue, new_authority
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
from tests.unit.meshproxy.proxy.sleeper import Sleeper
from tests.unit.meshproxy.proxy.test_outlier import FAILED, ManualClock, serving, statuses
from tests.unit.meshproxy.proxy.test_two_sidecars import inbound, outbound_cluster

A = WeightedCluster("a", 1)
SETTINGS = HealthCheckSettings(timeout=30.0, interval=10.0, unhealthy_threshold=2, healthy_threshold=2)
HTTP = HealthCheck(HttpCheck("/healthz", "catalog.shop"), SETTINGS)


class App:
    """Answers checks and requests, each as it is told."""

    def __init__(self, check: bytes = b"") -> None:
        self.check = check or ok()
        self.otherwise = ok()
        self.checks: list[bytes] = []
        self.requests = 0
        self.connections = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            head = await read_head(reader)
            if head.startswith(b"GET /healthz "):
                self.checks.append(head)
                if not self.check:
                    return
                writer.write(self.check)
            else:
                self.requests += 1
                writer.write(self.otherwise)


def answer(status: bytes, fields: bytes = b"") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + fields + b"content-length: 0\r\n\r\n"


def config(upstreams: list[Upstream], check: HealthCheck = HTTP, **changes: object):
    cluster = static_cluster("a", *(one.endpoint for one in upstreams), health_check=check, **changes)
    return snapshot(http_listener(A), cluster)


def checks(mesh: Mesh, result: str) -> float:
    return mesh.metric("meshproxy_health_checks_total", cluster="a", result=result)


async def test_who_fails_its_checks_gets_nothing_until_it_passed_enough_of_them() -> None:
    bad, good, sleeper = App(answer(b"503 No")), App(), Sleeper()
    async with (
        serving(bad.handle, good.handle) as upstreams,
        running(config(upstreams), sleep=sleeper.sleep) as mesh,
    ):
        assert await sleeper.asleep(2) == [60.0, 60.0]  # no traffic yet
        assert await statuses(mesh, 10) == {200: 10}
        assert (bad.requests, good.requests) == (0, 10)
        assert (checks(mesh, "unwell"), checks(mesh, "success")) == (1, 1)
        head = good.checks[0]
        assert head.startswith(b"GET /healthz HTTP/1.1\r\nhost: catalog.shop\r\n")

        bad.check = ok()
        assert await sleeper.next_round(2) == [10.0, 10.0]
        await statuses(mesh, 10)
        assert bad.requests == 0  # it has to pass twice
        await sleeper.next_round(2)
        await statuses(mesh, 10)
        assert bad.requests == 5
        assert (good.connections, len(good.checks)) == (2, 3)  # the checks keep theirs

        good.check = b""  # closes instead of answering
        await sleeper.next_round(2)
        await statuses(mesh, 10)
        assert good.requests == 30  # once may happen
        await sleeper.next_round(2)
        await statuses(mesh, 10)
        assert good.requests == 30
        assert checks(mesh, "network") == 2


async def test_all_are_used_when_too_few_are_well() -> None:
    apps, sleeper = [App(answer(b"500 No")) for _ in range(2)], Sleeper()
    async with serving(*(app.handle for app in apps)) as upstreams:
        async with running(config(upstreams), sleep=sleeper.sleep) as mesh:
            await sleeper.asleep(2)
            assert await statuses(mesh, 4) == {200: 4}
            assert mesh.metric("meshproxy_upstream_healthy_panic_total", cluster="a") == 4
        sleeper = Sleeper()
        strict = config(upstreams, healthy_panic_threshold=0.0)
        async with running(strict, sleep=sleeper.sleep) as mesh:
            await sleeper.asleep(2)
            assert await statuses(mesh, 4) == {503: 4}


async def test_before_the_first_check_of_all_who_was_there_serves_and_who_joins_waits() -> None:
    first, joins, sleeper = App(), App(answer(b"500 No")), Sleeper()
    slow = changed(HTTP, settings=changed(SETTINGS, initial_jitter=5.0))
    async with serving(first.handle, joins.handle) as upstreams:
        before = config(upstreams[:1], slow, healthy_panic_threshold=0.0)
        async with running(before, sleep=sleeper.sleep) as mesh:
            await sleeper.asleep(1)
            assert await statuses(mesh, 2) == {200: 2}
            after = config(upstreams, slow, healthy_panic_threshold=0.0)
            await mesh.worker.apply(changed(after, listeners=before.listeners))
            await sleeper.asleep(2)
            assert await statuses(mesh, 4) == {200: 4}
            assert joins.requests == 0


async def test_who_says_that_it_is_going_is_out_at_once_and_no_outage() -> None:
    going, stays, sleeper = App(), App(), Sleeper()
    async with (
        serving(going.handle, stays.handle) as upstreams,
        running(config(upstreams), sleep=sleeper.sleep) as mesh,
    ):
        await sleeper.asleep(2)
        going.otherwise = answer(b"200 OK", b"x-envoy-immediate-health-check-fail: true\r\n")
        assert await statuses(mesh, 10) == {200: 10}
        assert (going.requests, stays.requests) == (1, 9)
        assert not mesh.live.clusters["a"].is_panicking
        stays.check = answer(b"200 OK", b"x-envoy-immediate-health-check-fail: true\r\n")
        await sleeper.next_round(2)
        assert [one.fitness.value for one in mesh.live.clusters["a"].endpoints] == ["excluded", "excluded"]


async def test_a_degraded_endpoint_serves_when_the_others_cannot() -> None:
    degraded, good, sleeper = App(answer(b"200 OK", b"x-envoy-degraded: 1\r\n")), App(), Sleeper()
    async with (
        serving(degraded.handle, good.handle) as upstreams,
        running(config(upstreams, healthy_panic_threshold=0.0), sleep=sleeper.sleep) as mesh,
    ):
        await sleeper.asleep(2)
        await statuses(mesh, 50)
        assert degraded.requests < good.requests
        good.check = answer(b"500 No")
        await sleeper.next_round(2)
        before = good.requests
        assert await statuses(mesh, 10) == {200: 10}
        assert good.requests == before


async def test_a_check_that_passes_ends_an_ejection() -> None:
    app, other, sleeper, clock = App(), App(), Sleeper(), ManualClock()
    app.otherwise = FAILED
    outlier = OutlierDetection(always_eject_one_host=True)
    async with (
        serving(app.handle, other.handle) as upstreams,
        running(config(upstreams, outlier_detection=outlier), clock=clock, sleep=sleeper.sleep) as mesh,
    ):
        await sleeper.asleep(2)
        assert await statuses(mesh, 20) == {500: 5, 200: 15}
        assert mesh.live.clusters["a"].ejected == 1
        await sleeper.next_round(2)
        assert mesh.live.clusters["a"].ejected == 0


def _tcp(check: TcpCheck, timeout: float = 30.0) -> HealthCheck:
    return HealthCheck(check, changed(SETTINGS, timeout=timeout))


async def _pongs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await reader.readexactly(4) == b"PING"
    writer.write(b"+PO")
    await writer.drain()
    writer.write(b"NG\r\n")
    await reader.read()


async def _babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"x" * 100_000)
    await reader.read()


async def _hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def _says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(
    ("handler", "check", "result"),
    [
        (_pongs, TcpCheck(b"PING", (b"PO", b"NG")), "success"),
        (_says_nothing, TcpCheck(), "success"),
        (_says_nothing, TcpCheck(b"PING"), "success"),
        (_babbles, TcpCheck(b"PING", (b"PONG",)), "network"),
        (_hangs_up, TcpCheck(b"PING", (b"PONG",)), "network"),
        (_says_nothing, TcpCheck(b"PING", (b"PONG",)), "network"),
    ],
)
async def test_tcp(handler: Handler, check: TcpCheck, result: str) -> None:
    is_late = handler is _says_nothing and result == "network"
    sleeper = Sleeper()
    async with serving(handler) as upstreams:
        health_check = _tcp(check, timeout=0.01) if is_late else _tcp(check)
        cluster = static_cluster("a", upstreams[0].endpoint, health_check=health_check)
        async with running(snapshot(tcp_listener("a"), cluster), sleep=sleeper.sleep) as mesh:
            await sleeper.asleep(1)
            assert checks(mesh, result) == 1


async def test_an_endpoint_that_is_not_there_or_cannot_prove_itself_fails() -> None:
    sleeper = Sleeper()
    async with serving(App().handle, App().handle) as upstreams:
        await upstreams[1].stop()
        mutual = UpstreamTls("sni", san_matchers=("spiffe://cluster.local/ns/shop/sa/catalog",))
        for tls, failed in ((None, 1), (mutual, 2)):
            async with running(config(upstreams, tls=tls), sleep=sleeper.sleep) as mesh:
                await sleeper.asleep(2)
                assert checks(mesh, "network") == failed
            sleeper.wake()


async def test_checks_end_with_the_endpoint_the_checks_and_the_cluster() -> None:
    apps, sleeper = [App(), App()], Sleeper()
    async with serving(*(app.handle for app in apps)) as upstreams:
        first = config(upstreams)
        async with running(first, sleep=sleeper.sleep) as mesh:
            await sleeper.asleep(2)
            cluster = first.clusters["a"]
            left = changed(cluster, endpoints=cluster.endpoints[1:])
            await mesh.worker.apply(changed(first, clusters={"a": left}))
            await asyncio.sleep(0)
            assert len(await sleeper.asleep(1)) == 1
            await mesh.worker.apply(changed(first, clusters={"a": changed(left, health_check=None)}))
            await asyncio.sleep(0)
            assert await sleeper.asleep(0) == []
            assert mesh.live.clusters["a"].endpoints[0].check is None
            await mesh.worker.apply(first)
            await sleeper.asleep(2)
            runtime = mesh.live.clusters["a"]
            await mesh.worker.apply(changed(first, listeners={}, clusters={}))
            await asyncio.sleep(0)
            assert await sleeper.asleep(0) == []
            assert runtime.endpoints == []


async def test_no_more_than_a_few_are_asked_at_once() -> None:
    under_way, most, release = Counter[str](), 0, asyncio.Event()

    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        under_way["now"] += 1
        most = max(most, under_way["now"])
        await read_head(reader)
        await release.wait()
        under_way["now"] -= 1
        writer.write(ok())

    async with serving(counts) as upstreams:
        endpoints = [changed(upstreams[0].endpoint, hash_key=str(index)) for index in range(40)]
        cluster = static_cluster("a", *endpoints, health_check=HTTP)
        sleeper = Sleeper()
        async with running(snapshot(http_listener(A), cluster), sleep=sleeper.sleep):
            async with asyncio.timeout(30):
                while most < 32:  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
            release.set()
            await sleeper.asleep(40)
            assert most == 32


@pytest.mark.parametrize(("identity", "result"), [(CATALOG, "success"), (WEB, "network")])
async def test_in_the_mesh_checks_are_made_over_mutual_tls(identity: SpiffeId, result: str) -> None:
    authority, app, sleeper = new_authority(), App(), Sleeper()
    async with serving(app.handle) as upstreams:
        place = ("127.0.0.1", upstreams[0].port)
        served = running(inbound(upstreams[0].port), issue(authority, CATALOG), original_dst=place)
        async with served as catalog:
            cluster = changed(outbound_cluster(catalog.port, spiffe_id=str(identity)), health_check=HTTP)
            wanted = snapshot(http_listener(WeightedCluster("catalog", 1)), cluster)
            async with running(wanted, issue(authority, WEB), sleep=sleeper.sleep) as web:
                await sleeper.asleep(1)
                await sleeper.next_round(1)
                count = web.metric("meshproxy_health_checks_total", cluster="catalog", result=result)
                assert count == 2
                assert len(app.checks) == (2 if result == "success" else 0)
                # One handshake: the connection is kept.
                handshakes = web.metric("meshproxy_tls_handshakes_total", side="upstream")
                assert handshakes == (1 if result == "success" else 2)
