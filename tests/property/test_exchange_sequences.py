"""Random exchanges over real sockets, everybody misbehaving at once while the configuration changes.

Whatever the order of events: an answer belongs to the request it follows, nothing that was counted stays
counted, and no connection, timer or task is left. Seeds are fixed; a failing one replays nearly the same
sequence (sockets have a say in it too).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import uvloop

from meshproxy.config.model import Cluster, Endpoint
from meshproxy.config.route import WeightedCluster
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.proxy.http_connection import HttpServerConnection
from meshproxy.proxy.http_stream import HttpStream
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.endpoint import EndpointRuntime
from meshproxy.upstream.http_connection import HttpUpstreamConnection
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, issue, new_authority
from tests.unit.meshproxy.proxy.harness import Mesh, Upstream, http_listener, running, static_cluster
from tests.unit.meshproxy.proxy.test_http_proxy import RETRY
from tests.unit.meshproxy.proxy.test_two_sidecars import (
    CATALOG_WORKLOAD,
    WEB_WORKLOAD,
    inbound,
    outbound_cluster,
)

CLIENTS = 12
REQUESTS = 12
BODY_SIZES = (0, 1, 300, 20_000, 200_000)
ANSWERS = (
    "ok", "ok", "ok", "big", "slow", "chunked", "trailers", "interim", "until_close", "empty", "close",
    "early", "extra", "reset", "reset_late", "cut", "silent", "garbage", "bad_chunk",
)  # fmt: skip


def pattern(number: int, size: int) -> bytes:
    """Bytes that no other request has."""
    unit = b"<%d>" % number
    return (unit * (size // len(unit) + 1))[:size]


@dataclass
class Script:
    """What the upstreams do, and what they and the clients found wrong."""

    rng: random.Random
    wrong: list[str] = field(default_factory=list)
    complete: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            line, *fields = head.lower().split(b"\r\n")
            method, target, _ = line.split(b" ")
            number, answer, size = target.decode().strip("/").split("/")
            if answer == "early":
                await self.answer(writer, answer, int(number), method)
                if self.rng.random() < 0.5:
                    return
            await self.check_body(reader, fields, int(number), int(size))
            if answer == "early":
                continue
            if await self.answer(writer, answer, int(number), method):
                return

    async def check_body(
        self, reader: asyncio.StreamReader, fields: list[bytes], number: int, size: int
    ) -> None:
        if b"transfer-encoding: chunked" in fields:
            body = b"".join([part async for part in read_chunks(reader)])
        else:
            lengths = [int(item.split(b":")[1]) for item in fields if item.startswith(b"content-length:")]
            body = await reader.readexactly(lengths[0]) if lengths else b""
        if body != pattern(number, size):
            self.wrong.append(f"upstream got a body that is not request {number}'s")

    async def answer(self, writer: asyncio.StreamWriter, answer: str, number: int, method: bytes) -> bool:
        """Send it; True when the connection is to end."""
        size = 150_000 if answer == "big" else 40
        body = pattern(number, size)
        start = b"HTTP/1.1 200 OK\r\nx-number: %d\r\n" % number
        whole = start + b"content-length: %d\r\n\r\n" % size + (b"" if method == b"head" else body)
        half = whole[: len(whole) - 20]
        chunks = start + b"transfer-encoding: chunked\r\n\r\n"
        if method != b"head":
            chunks += (
                b"28\r\n" + body + b"\r\n0\r\n" + (b"x-end: 1\r\n\r\n" if answer == "trailers" else b"\r\n")
            )
        match answer:
            case "slow":
                await asyncio.sleep(self.rng.random() * 0.03)
                writer.write(whole)
            case "chunked" | "trailers":
                writer.write(chunks)
            case "interim":
                writer.write(
                    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + whole
                )
            case "until_close":
                writer.write(start + b"\r\n" + (b"" if method == b"head" else body))
                return True
            case "empty":
                writer.write(b"HTTP/1.1 204 No Content\r\nx-number: %d\r\n\r\n" % number)
            case "close":
                writer.write(whole)
                return True
            case "extra":
                writer.write(whole + b"HTTP/1.1 200 OK\r\nx-number: 0\r\ncontent-length: 4\r\n\r\nevil")
            case "reset":
                writer.transport.abort()
                return True
            case "reset_late":
                await asyncio.sleep(self.rng.random() * 0.02)
                writer.transport.abort()
                return True
            case "cut":
                writer.write(half)
                return True
            case "silent":
                await asyncio.sleep(0.4)
                return True
            case "garbage":
                writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
            case "bad_chunk":
                writer.write(start + b"transfer-encoding: chunked\r\n\r\nzz\r\n")
            case _:
                writer.write(whole)
        await writer.drain()
        return False


async def read_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass


class Client:
    """One connection after the other; on each some requests, perhaps pipelined, perhaps abandoned."""

    def __init__(self, script: Script, port: Callable[[], int], numbers: range) -> None:
        self._script = script
        self._rng = script.rng
        self._port = port
        self._numbers = list(numbers)

    async def run(self) -> None:
        while self._numbers:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
                await self._connection()

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port(), limit=65536)
        try:
            async with asyncio.timeout(5):
                while self._numbers and not writer.is_closing():
                    batch = [
                        self._numbers.pop(0)
                        for _ in range(min(len(self._numbers), self._rng.choice((1, 1, 3))))
                    ]
                    requests = [self._request(number) for number in batch]
                    sending = self._start(writer, [data for _, _, data in requests])
                    try:
                        for number, method, _ in requests:
                            if self._rng.random() < 0.1:
                                await asyncio.sleep(self._rng.random() * 0.02)
                                return
                            if not await self._read(reader, number, method):
                                return
                    finally:
                        sending.cancel()
                        await asyncio.gather(sending, return_exceptions=True)
        finally:
            if self._rng.random() < 0.5:
                writer.transport.abort()
            writer.close()

    def _start(self, writer: asyncio.StreamWriter, requests: list[list[bytes]]) -> asyncio.Task[None]:
        return asyncio.create_task(self._send(writer, requests))

    def _request(self, number: int) -> tuple[int, bytes, list[bytes]]:
        rng = self._rng
        method = rng.choice((b"GET", b"GET", b"HEAD", b"POST", b"PUT"))
        size = rng.choice(BODY_SIZES) if method in (b"POST", b"PUT") else 0
        body = pattern(number, size)
        path = f"/{number}/{rng.choice(ANSWERS)}/{size}".encode()
        head = method + b" " + path + b" HTTP/1.1\r\nHost: a\r\n"
        if size and rng.random() < 0.5:
            middle = size // 2
            return number, method, [
                head + b"transfer-encoding: chunked\r\n\r\n",
                *(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:middle], body[middle:]) if part),
                b"0\r\nx-end: 1\r\n\r\n",
            ]  # fmt: skip
        return number, method, [head + b"content-length: %d\r\n\r\n" % size, body]

    async def _send(self, writer: asyncio.StreamWriter, requests: list[list[bytes]]) -> None:
        stops = self._rng.random() < 0.05
        for parts in requests:
            for part in parts:
                writer.write(part)
                await writer.drain()
                if self._rng.random() < 0.2:
                    await asyncio.sleep(self._rng.random() * 0.01)
                if stops and self._rng.random() < 0.5:
                    writer.write_eof()
                    return

    async def _read(self, reader: asyncio.StreamReader, number: int, method: bytes) -> bool:
        """One answer; False when the connection ends with it."""
        status = 100
        while status < 200:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head.split(b" ")[1])
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        if method == b"HEAD" or status == 204:
            body = b""
        elif fields.get(b"transfer-encoding") == b"chunked":
            body = b"".join([part async for part in read_chunks(reader)])
        else:
            body = await reader.readexactly(int(fields[b"content-length"]))
        if b"x-number" in fields:
            self._script.complete += 1
            if int(fields[b"x-number"]) != number or body != pattern(number, len(body)):
                self._script.wrong.append(f"request {number} got the answer of {fields[b'x-number']!r}")
        elif status < 400:
            self._script.wrong.append(f"request {number} got {status} of nobody")
        return fields.get(b"connection") != b"close"


async def change(
    mesh: Mesh,
    rng: random.Random,
    cluster: Callable[[tuple[Endpoint, ...]], Cluster],
    all_: tuple[Endpoint, ...],
) -> None:
    """Snapshots with endpoints, the cluster and the listener's details coming and going."""
    while True:
        kept = tuple(endpoint for endpoint in all_ if rng.random() < 0.8)
        clusters = {} if rng.random() < 0.08 else {"a": cluster(kept)}
        await mesh.worker.apply(ConfigSnapshot(listeners={"listener": listener(rng)}, clusters=clusters))
        await asyncio.sleep(rng.random() * 0.02)


def listener(rng: random.Random):
    return http_listener(
        WeightedCluster("a", 1), timeout=0.25, retry=RETRY, stream_idle_timeout=rng.choice((30.0, 300.0))
    )


async def left_alone(mesh: Mesh) -> None:
    """Until nothing is under way in `mesh`; fails when something stays."""

    def is_at_rest() -> bool:
        tasks = mesh.services.tasks._tasks  # one is the worker's own
        return not mesh.worker.open_connections and mesh.services.timers.is_empty and len(tasks) == 1

    async with asyncio.timeout(30):
        while not is_at_rest():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def assert_nothing_left(workers: int) -> None:
    """Every machine of this process is at rest, those of clusters that are gone included."""
    ended = []
    gc.collect()
    for item in gc.get_objects():
        if isinstance(item, ClusterRuntime):
            idle = sum(len(endpoint.idle) for endpoint in item.endpoints)
            assert (item.active_requests, item.pending_requests, item.connections) == (0, 0, idle)
            assert item.active_retries == 0
        elif isinstance(item, EndpointRuntime):
            assert (item.active_requests, item.connecting, len(item.waiters)) == (0, 0, 0)
            assert item.connections == len(item.idle)
            assert not (item.is_removed and item.idle)
        elif isinstance(item, HttpUpstreamConnection):
            assert item._sink is None
        elif isinstance(item, HttpStream):
            ended.append(item)
            assert item.is_done
        elif isinstance(item, HttpServerConnection):
            assert item._closing
            assert not item.is_busy
    assert len(ended) <= workers, "only a worker's loop may still name its last timer's exchange"


async def storm(
    mesh: Mesh, script: Script, cluster: Callable[[tuple[Endpoint, ...]], Cluster], all_: tuple[Endpoint, ...]
) -> None:
    changing = asyncio.create_task(change(mesh, script.rng, cluster, all_))
    clients = [
        Client(script, lambda: mesh.port, range(first * 1000 + 1, first * 1000 + 1 + REQUESTS))
        for first in range(1, CLIENTS + 1)
    ]
    await asyncio.gather(*(client.run() for client in clients))
    changing.cancel()
    await asyncio.gather(changing, return_exceptions=True)


async def plain(seed: int) -> Script:
    script = Script(random.Random(seed))
    upstreams = [await Upstream(script.serve).start() for _ in range(3)]
    dead = Endpoint("127.0.0.1", 1)
    all_ = (*(upstream.endpoint for upstream in upstreams), dead)
    try:
        async with running(ConfigSnapshot(listeners={"listener": listener(script.rng)})) as mesh:
            await storm(mesh, script, lambda kept: static_cluster("a", *kept), all_)
            await left_alone(mesh)
            await asyncio.sleep(0.05)
            assert_nothing_left(workers=1)
    finally:
        for upstream in upstreams:
            await upstream.stop()
    return script


LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.SelectorEventLoop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@LOOPS
@pytest.mark.parametrize("seed", range(3))
def test_plaintext(seed, loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        script = runner.run(plain(seed))
    assert not script.wrong
    assert script.complete > 3


async def through_mtls(seed: int) -> Script:
    """The same with two sidecars and the peer's inbound side in between."""
    script = Script(random.Random(seed))
    authority = new_authority()
    web, catalog = issue(authority, WEB), issue(authority, CATALOG)
    apps = [await Upstream(script.serve).start() for _ in range(2)]
    try:
        async with contextlib.AsyncExitStack() as stack:
            peers = [
                await stack.enter_async_context(
                    running(inbound(app.port), catalog, CATALOG_WORKLOAD, ("127.0.0.1", app.port))
                )
                for app in apps
            ]
            first = ConfigSnapshot(listeners={"listener": listener(script.rng)})
            mesh = await stack.enter_async_context(running(first, web, WEB_WORKLOAD))
            template = outbound_cluster(*(peer.port for peer in peers))

            def cluster(kept: tuple[Endpoint, ...]) -> Cluster:
                return dataclasses.replace(template, endpoints=kept)

            await storm(mesh, script, cluster, template.endpoints)
            await mesh.worker.apply(ConfigSnapshot())
            for one in (mesh, *peers):
                await left_alone(one)
            await asyncio.sleep(0.05)
            assert_nothing_left(workers=3)
    finally:
        for app in apps:
            await app.stop()
    return script


@LOOPS
@pytest.mark.parametrize("seed", range(10, 12))
def test_through_two_sidecars_and_mtls(seed, loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        script = runner.run(through_mtls(seed))
    assert not script.wrong
    assert script.complete > 3
