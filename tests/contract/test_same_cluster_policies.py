"""Circuit limits, health checks, priorities and names: a cluster in xDS is the same on Envoy and here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

import pytest
from google.protobuf.json_format import ParseDict

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from meshproxy.config.route import WeightedCluster
from meshproxy.xds.clusters import translate_cluster
from meshproxy.xds.strict import check
from tests.fuzz import envoy
from tests.unit.meshproxy.proxy.harness import Upstream, http_listener, ok, read_head, running, snapshot

Fields = dict[str, object]
Proxy = Callable[[Fields], AbstractAsyncContextManager[int]]
"""The port of a proxy whose one cluster, `a`, has these fields."""


@asynccontextmanager
async def _envoy(cluster: Fields) -> AsyncIterator[int]:
    at_once = {"update_merge_window": "0s"}  # else it collects changes of health for a second
    async with envoy.started([envoy.listener("a")], [{**cluster, "common_lb_config": at_once}]) as server:
        yield server.ports["a"]


@asynccontextmanager
async def _ours(cluster: Fields) -> AsyncIterator[int]:
    message = ParseDict(cluster, Cluster())
    check(message, "cluster")
    wanted = translate_cluster(message, "cluster")
    async with running(snapshot(http_listener(WeightedCluster("a", 1)), wanted)) as mesh:
        yield mesh.port


class App:
    """Counts requests; holds them while told to; answers checks with a status."""

    def __init__(self, check_status: int = 200) -> None:
        self.check_status = check_status
        self.requests = 0
        self.checks = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            if b"/healthz" in head:
                self.checks += 1
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % self.check_status)
                continue
            self.requests += 1
            await self.go_on.wait()
            writer.write(ok())


async def _fetch(port: int) -> tuple[int, bool]:
    """(status, `x-envoy-overloaded`) of one request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await reader.readuntil(b"\r\n\r\n")  # Envoy delays the end behind answers of its own
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]), b"x-envoy-overloaded: true" in answer


@asynccontextmanager
async def _serving(*apps: App) -> AsyncIterator[list[int]]:
    async with AsyncExitStack() as stack:
        ports = []
        for app in apps:
            upstream = await Upstream(app.handle).start()
            stack.push_async_callback(upstream.stop)
            ports.append(upstream.port)
        yield ports


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110  (another process)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("proxy", [_envoy, _ours])
@pytest.mark.parametrize(
    ("limits", "refused"),
    [
        ({"max_requests": 2}, 2),
        ({"max_connections": 2, "max_pending_requests": 1}, 1),
        ({"max_connections": 1}, 0),
    ],
)
async def test_circuit_limits(proxy: Proxy, limits: Fields, refused: int) -> None:
    """Four requests, one after the other, while none is answered."""
    app = App()
    async with _serving(app) as ports:
        cluster = envoy.cluster("a", *ports, circuit_breakers={"thresholds": [limits]})
        async with proxy(cluster) as port:
            app.go_on.clear()
            tasks = []
            for number in range(4):
                tasks.append(asyncio.create_task(_fetch(port)))
                most = min(number + 1, 4 - refused, _at_once(limits))
                await _until(lambda most=most: app.requests == most)  # type: ignore[misc]
                await asyncio.wait(tasks, timeout=0.05)
            await _until(lambda: sum(task.done() for task in tasks) >= refused)
            done, _ = await asyncio.wait(tasks, timeout=0.2)
            assert {task.result() for task in done} <= {(503, True)}
            assert len(done) == refused
            app.go_on.set()
            answers = Counter(await asyncio.gather(*tasks))
            assert answers == Counter({(200, False): 4 - refused, (503, True): refused})


def _at_once(limits: Fields) -> int:
    return min(int(str(limits.get(name, 4))) for name in ("max_connections", "max_requests"))


HTTP_CHECK: Fields = {"http_health_check": {"path": "/healthz", "host": "a"}}
TIMES: Fields = {
    "timeout": "30s",
    "interval": "0.05s",
    "no_traffic_interval": "0.05s",
    "unhealthy_threshold": 2,
    "healthy_threshold": 2,
}


@pytest.mark.parametrize("proxy", [_envoy, _ours])
async def test_health_checks_by_http(proxy: Proxy) -> None:
    apps = [App(503), App(), App()]
    async with AsyncExitStack() as stack:
        ports = await stack.enter_async_context(_serving(*apps))
        checked = envoy.cluster("a", *ports, health_checks=[{**TIMES, **HTTP_CHECK}])
        port = await stack.enter_async_context(proxy(checked))
        await _checked(*apps)
        statuses = Counter([await _fetch(port) for _ in range(12)])
        assert statuses == Counter({(200, False): 12})
        assert [app.requests for app in apps] == [0, 6, 6]
        apps[0].check_status = 200
        await _checked(*apps)
        apps[1].check_status = 500
        await _checked(*apps)
        before = [app.requests for app in apps]
        for _ in range(12):
            await _fetch(port)
        gained = [app.requests - had for app, had in zip(apps, before, strict=True)]
        assert gained == [6, 0, 6]


async def _checked(*apps: App) -> None:
    """Often enough for the thresholds."""
    seen = [app.checks for app in apps]
    await _until(lambda: all(app.checks >= had + 4 for app, had in zip(apps, seen, strict=True)))


@pytest.mark.parametrize("proxy", [_envoy, _ours])
async def test_an_endpoint_that_is_not_there_fails_its_checks_by_tcp(proxy: Proxy) -> None:
    app, gone = App(), App()
    async with _serving(app) as ports:
        async with _serving(gone) as others:
            pass  # its port refuses from now on
        checked = envoy.cluster("a", *ports, *others, health_checks=[{**TIMES, "tcp_health_check": {}}])
        async with proxy(checked) as port, asyncio.timeout(30):
            while {await _fetch(port) for _ in range(12)} != {(200, False)}:
                pass  # not checked often enough yet


@pytest.mark.parametrize("proxy", [_envoy, _ours])
async def test_priorities_and_health_that_discovery_tells(proxy: Proxy) -> None:
    apps = [App(), App(), App()]
    async with _serving(*apps) as ports:
        cluster = envoy.cluster("a", *ports)
        groups = []
        for number, port in enumerate(ports):
            address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
            status = "UNHEALTHY" if number == 0 else "HEALTHY"
            host = {"endpoint": {"address": address}, "health_status": status}
            groups.append({"lb_endpoints": [host], "priority": number})
        cluster["load_assignment"] = {"cluster_name": "a", "endpoints": groups}
        async with proxy(cluster) as port:
            for _ in range(12):
                await _fetch(port)
            assert [app.requests for app in apps] == [0, 12, 0]


@pytest.mark.parametrize("proxy", [_envoy, _ours])
async def test_a_name_is_looked_up(proxy: Proxy) -> None:
    app = App()
    async with _serving(app) as ports:
        cluster = envoy.cluster("a", *ports, type="STRICT_DNS", dns_lookup_family="V4_ONLY")
        address = {"socket_address": {"address": "localhost", "port_value": ports[0]}}
        hosts = [{"endpoint": {"address": address}}]
        cluster["load_assignment"] = {"cluster_name": "a", "endpoints": [{"lb_endpoints": hosts}]}
        async with proxy(cluster) as port:
            assert await _fetch(port) == (200, False)
