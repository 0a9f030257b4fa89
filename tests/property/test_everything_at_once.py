"""Every feature of a route at once, servers that misbehave, clients that leave: nothing is kept, no POST is
processed twice, and what is answered is what was sent."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest

from meshproxy.config.head_edit import AppendAction, HeaderMutations, HeaderOption, HeadMutations
from meshproxy.config.http_filter import (
    CookieSession,
    FaultAbort,
    FaultDelay,
    FaultSettings,
    Fraction,
    SessionSettings,
)
from meshproxy.config.model import Endpoint, HttpConnectionManager, OutlierDetection
from meshproxy.config.resilience import CircuitBreakerSettings
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import MirrorPolicy, Route, RouteAction, RouteTable, VirtualHost, WeightedCluster
from meshproxy.config.route_match import EVERY_PATH
from meshproxy.config.snapshot import ConfigSnapshot
from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    http_listener,
    read_head,
    running,
    snapshot,
    static_cluster,
)
from tests.unit.meshproxy.proxy.test_http_failure import settled
from tests.unit.meshproxy.proxy.test_outlier import serving

FAULT, SESSION = "envoy.filters.http.fault", "envoy.filters.http.stateful_session"
FAULTS = FaultSettings(FaultDelay(0.002, Fraction(30)), FaultAbort(503, Fraction(5)))
STICKY = SessionSettings(CookieSession("s"), strict=False)
RETRY = RetrySettings(
    frozenset({"5xx", "reset", "connect-failure"}),
    num_retries=3,
    base_interval=0.001,
    max_interval=0.004,
    per_try_timeout=0.05,
)
ADDS = HeadMutations(
    HeaderMutations(add=(HeaderOption("x-added", "1", AppendAction.OVERWRITE_IF_EXISTS_OR_ADD),)),
    HeaderMutations(add=(HeaderOption("x-shown", "1", AppendAction.APPEND_IF_EXISTS_OR_ADD),)),
)
CLIENTS, REQUESTS = 12, 40


class Server:
    """Answers with the length of the body it read, or fails in one of many ways."""

    def __init__(self, rng: random.Random, badness: float) -> None:
        self._rng = rng
        self._badness = badness
        self.bodies: dict[bytes, list[bytes]] = {}
        """By what a client calls its request."""
        self.posts: Counter[bytes] = Counter()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await read_head(reader)).lower()
            rng = self._rng
            is_bad, way = rng.random() < self._badness, rng.randrange(7)
            if is_bad and way == 0:
                return  # before the body
            if is_bad and way == 1:
                writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")  # early
                if b"content-length: 0" not in head and not head.startswith(b"get"):
                    return
                continue
            body = await _body(reader, head)
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            self.bodies.setdefault(fields[b"x-number"], []).append(body)
            if head.startswith(b"post"):
                self.posts[fields[b"x-number"]] += 1
            if is_bad and way == 2:
                writer.transport.abort()
                return
            if is_bad and way == 3:
                await reader.read()  # says nothing
                return
            if is_bad and way == 4:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut")
                return
            if is_bad and way == 5:
                writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno")
                continue
            said = b"%d" % len(body)
            if is_bad:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if rng.random() < 0.3:
                writer.write(
                    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nx-t: 1\r\n\r\n"
                    % (len(said), said)
                )
            else:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said))


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"transfer-encoding: chunked" in head:
        parts = []
        while size := int((await reader.readline()).strip(), 16):
            parts.append(await reader.readexactly(size))
            assert await reader.readexactly(2) == b"\r\n"
        while (await reader.readline()) != b"\r\n":
            pass
        return b"".join(parts)
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length: "):
            return await reader.readexactly(int(line[16:]))
    return b""


class Client:
    def __init__(self, mesh: Mesh, rng: random.Random, number: int) -> None:
        self._mesh = mesh
        self._rng = rng
        self._number = number
        self.answers = 0
        self.cookie = b""

    async def run(self) -> None:
        for index in range(REQUESTS):
            reader, writer = await self._mesh.connect()
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await asyncio.wait_for(self._exchange(reader, writer, b"%d-%d" % (self._number, index)), 30)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: bytes
    ) -> None:
        rng = self._rng
        body = name * rng.choice((0, 1, 1, 100, 30_000))
        method = rng.choice((b"GET", b"PUT", b"POST")) if body else b"GET"
        if method == b"GET":
            body = b""
        lines = b"%b / HTTP/1.1\r\nhost: a\r\nx-number: %b\r\n%b" % (method, name, self.cookie)
        if body and rng.random() < 0.5:
            cut = rng.randrange(len(body) + 1)
            parts = [part for part in (body[:cut], body[cut:]) if part]
            framed = (
                b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nx-trail: 1\r\n\r\n"
            )
            data = lines + b"transfer-encoding: chunked\r\n\r\n" + framed
        else:
            data = lines + b"content-length: %d\r\n\r\n%b" % (len(body), body)
        place = rng.randrange(len(data)) if rng.random() < 0.3 else len(data)
        writer.write(data[:place])
        if place < len(data):
            await asyncio.sleep(rng.random() * 0.01)
            if rng.random() < 0.3:
                return  # leaves in the middle
            writer.write(data[place:])
        if rng.random() < 0.1:
            await asyncio.sleep(rng.random() * 0.01)
            writer.transport.abort()
            return
        while (head := (await read_head(reader)).lower()).startswith(b"http/1.1 1"):
            pass
        assert head.count(b"content-length") + head.count(b"transfer-encoding") == 1
        answer = await _body(reader, head)
        self.answers += 1
        if head.startswith(b"http/1.1 200"):
            assert answer == b"%d" % len(body)
            assert head.count(b"x-shown: 1\r\n") == 1
            for line in head.split(b"\r\n"):
                if line.startswith(b"set-cookie: "):
                    self.cookie = b"cookie: " + line[12:].partition(b";")[0] + b"\r\n"


def _config(own: list[Endpoint], other: Endpoint, failure_threshold: int = 4) -> ConfigSnapshot:
    action = RouteAction(
        (WeightedCluster("a", 1),), timeout=1.0, retry=RETRY, mirrors=(MirrorPolicy("b", 0.5),)
    )
    route = Route(
        "r", EVERY_PATH, action, mutations=ADDS, filter_configs=((FAULT, FAULTS), (SESSION, STICKY))
    )
    host = VirtualHost("all", ("*",), (route,), attempt_count_in_request=True)
    plain = http_listener(WeightedCluster("a", 1))
    chain = plain.filter_chains[0]
    assert isinstance(chain.network, HttpConnectionManager)
    network = replace(
        chain.network,
        route_table=RouteTable("table", (host,)),
        http_filters=((FAULT, None), (SESSION, None)),
    )
    breaker = CircuitBreakerSettings(
        failure_threshold=failure_threshold, base_open=0.01, max_open=0.05, jitter=0.0
    )
    return snapshot(
        replace(plain, filter_chains=(replace(chain, network=network),)),
        static_cluster(
            "a", *own, circuit_breaker=breaker, max_requests=10, outlier_detection=OutlierDetection()
        ),
        static_cluster("b", other, max_requests=5),
    )


def _leftovers(mesh: Mesh) -> list[str]:
    left = []
    for name, cluster in mesh.live.clusters.items():
        for what in ("active_requests", "active_retries", "pending_requests"):
            if getattr(cluster, what):
                left.append(f"{name}.{what} {getattr(cluster, what)}")
        for one in cluster.endpoints:
            if one.active_requests or one.prober or one.waiters or one.connecting:
                left.append(f"{one.place}: {one.active_requests} {one.prober} {one.waiters} {one.connecting}")
            if one.connections != len(one.idle):
                left.append(f"{one.place}: {one.connections} connections, {len(one.idle)} idle")
        if cluster.connections != sum(one.connections for one in cluster.endpoints):
            left.append(f"{name}: {cluster.connections} connections")
    if mesh.worker.open_connections:
        left.append(f"{mesh.worker.open_connections} clients")
    return left


async def _change(mesh: Mesh, own: list[Endpoint], other: Endpoint, rng: random.Random) -> None:
    """Endpoints leave and return, clusters and policies too."""
    while True:
        await asyncio.sleep(rng.random() * 0.05)
        some = rng.sample(own, rng.randrange(1, 4))
        config = _config(some, other, failure_threshold=rng.choice((2, 4)))
        if rng.random() < 0.2:
            gone = rng.choice(("a", "b"))
            config = replace(config, clusters={n: one for n, one in config.clusters.items() if n != gone})
        await mesh.worker.apply(config)


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_kept_and_nothing_processed_twice_that_must_not_be(seed: int) -> None:
    rng = random.Random(seed)
    servers = [Server(rng, 0.5), Server(rng, 0.1), Server(rng, 0.0)]
    shadow = Server(rng, 0.5)
    async with serving(*(one.handle for one in servers), shadow.handle) as upstreams:
        *own, other = [one.endpoint for one in upstreams]
        async with running(_config(own, other)) as mesh:
            clients = [Client(mesh, rng, number) for number in range(CLIENTS)]
            updates = asyncio.create_task(_change(mesh, own, other, rng))
            await asyncio.gather(*(client.run() for client in clients))
            updates.cancel()
            with suppress(asyncio.CancelledError):
                await updates
            await mesh.worker.apply(_config(own, other))
            try:
                await settled(lambda: not _leftovers(mesh))
            except TimeoutError:
                raise AssertionError(_leftovers(mesh)) from None
    assert sum(client.answers for client in clients) > CLIENTS * REQUESTS // 2
    posts = sum((one.posts for one in servers), Counter[bytes]())
    assert set(posts.values()) == {1}
    for number in {number for one in servers for number in one.bodies}:
        bodies = [body for one in servers for body in one.bodies.get(number, ())]
        assert len({*bodies, *shadow.bodies.get(number, ())}) == 1
