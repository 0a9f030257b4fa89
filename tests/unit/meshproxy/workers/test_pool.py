"""Two real worker processes on loopback: one address, one set of metrics, one life."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from certs.spiffe_id import SpiffeId, TrustDomain
from meshproxy.clock import SystemClock
from meshproxy.config.model import DownstreamTls, FilterChainMatch
from meshproxy.config.route import RouteTable, VirtualHost, WeightedCluster
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.config.tls import EdgeTls
from meshproxy.errors import ConfigError
from meshproxy.identity import contexts
from meshproxy.identity.identity import Identity
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.workers.message import Begin, CountConnections
from meshproxy.workers.pool import WorkerPool
from tests.unit.meshproxy.identity.mesh import issue, new_authority
from tests.unit.meshproxy.proxy import outside
from tests.unit.meshproxy.proxy.harness import (
    OWN,
    Upstream,
    answering,
    http_listener,
    ok,
    read_head,
    snapshot,
    static_cluster,
)

TIMEOUT = 60.0
WEB = SpiffeId.for_workload(TrustDomain("cluster.local"), "shop", "web")
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture
def port() -> Iterator[int]:
    """A port that nobody else gets and the workers can share: bound here too, but not listened on."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted is whole, however slow the workers are."""
    monkeypatch.setattr("meshproxy.workers.pool.REFRESH_TIMEOUT", TIMEOUT)


@dataclass
class Pool:
    pool: WorkerPool
    metrics: MeshMetrics

    async def pids(self) -> list[int]:
        """Of the workers that serve, once there are two."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                workers = self.pool.info()["workers"]
                assert isinstance(workers, list)
                pids = [worker["pid"] for worker in workers if worker["serving"]]
                if len(pids) == 2:
                    return pids
                await asyncio.sleep(0.01)

    async def count(self, name: str) -> float:
        await self.pool.refresh_metrics()
        families = text_string_to_metric_families("".join(self.metrics.exposition()))
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)


@contextlib.asynccontextmanager
async def _running(codec: str = "scan") -> AsyncIterator[Pool]:
    metrics = MeshMetrics()
    begin = Begin(OWN, str(WEB), "info", downstream_codec=codec)
    pool = WorkerPool(2, begin, metrics, clock=SystemClock(), rng=random.Random(1))
    pool.start()
    try:
        async with asyncio.timeout(2 * TIMEOUT):
            yield Pool(pool, metrics)
    finally:
        await pool.close()


def _serving(upstream: Upstream, port: int) -> ConfigSnapshot:
    listener = replace(http_listener(WeightedCluster("c", 1)), port=port)
    return snapshot(listener, static_cluster("c", upstream.endpoint))


class _Client:
    """A keep-alive connection, and the worker process that has its other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int) -> None:
        self._reader, self._writer, self.pid = reader, writer, pid

    @classmethod
    async def connect(cls, port: int, pids: list[int]) -> "_Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = cls(reader, writer, 0)
        await client.get()  # whoever answered has accepted it
        client.pid = _owner(writer.get_extra_info("sockname")[1], port, pids)
        return client

    async def get(self) -> bytes:
        self._writer.write(REQUEST)
        head = await self._reader.readuntil(b"\r\n\r\n")
        await self._reader.readexactly(5)
        return head

    def close(self) -> None:
        self._writer.close()


def _owner(client_port: int, port: int, pids: list[int]) -> int:
    """Which of `pids` holds the server's end of a connection, by its inode in /proc/net/tcp."""
    wanted = f"{port:04X}", f"{client_port:04X}"
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table]
    inodes = {row[9] for row in rows if (row[1][-4:], row[2][-4:]) == wanted}
    for pid in pids:
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if (
                    os.readlink(f"/proc/{pid}/fd/{entry}").removeprefix("socket:[").removesuffix("]")
                    in inodes
                ):
                    return pid
    raise AssertionError(f"nobody of {pids} has the connection {wanted}")


async def _clients_of_both(port: int, pids: list[int]) -> dict[int, _Client]:
    """One connection to each worker: the kernel deals them out by a hash."""
    found: dict[int, _Client] = {}
    while set(found) != set(pids):
        client = await _Client.connect(port, pids)
        if found.setdefault(client.pid, client) is not client:
            client.close()
    return found


async def test_two_workers_share_an_address_and_their_counts_are_added_up(port: int) -> None:
    upstream = await Upstream(answering(ok())).start()
    async with _running() as running:
        pool = running.pool
        assert pool.not_ready()
        await pool.apply(_serving(upstream, port))
        assert pool.not_ready() == []
        clients = await _clients_of_both(port, await running.pids())
        before = await running.count("istio_requests_total")
        for client in clients.values():
            for _ in range(10):
                await client.get()
        assert await running.count("istio_requests_total") == before + 20
        assert await running.count("istio_request_duration_milliseconds_count") == before + 20
        assert await running.count("meshproxy_workers_serving") == 2
        await pool.refresh_pages()
        (cluster,), (listener,) = pool.clusters(), pool.listeners()
        assert cluster["connections"] == upstream.connections
        assert listener["bound_ports"] == [port]
        for client in clients.values():
            client.close()
    await upstream.stop()


async def test_workers_of_a_gateway_end_tls_with_its_certificate(port: int) -> None:
    upstream = await Upstream(answering(ok())).start()
    authority = outside.authority("world")
    secret = authority.secret("cert", "a.example")
    config = _serving(upstream, port)
    listener = config.listeners["listener"]
    chain = replace(listener.filter_chains[0], tls=EdgeTls(secret.name, ("http/1.1",)))
    config = replace(
        config,
        listeners={"listener": replace(listener, filter_chains=(chain,))},
        secrets={secret.name: secret},
    )
    async with _running("strict") as running:
        await running.pool.apply(config)
        for _ in range(4):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=authority.client(), server_hostname="a.example"
            )
            writer.write(REQUEST)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")
            writer.close()
    await upstream.stop()


async def test_a_killed_worker_is_replaced_and_the_others_connections_live(port: int) -> None:
    upstream = await Upstream(answering(ok())).start()
    async with _running() as running:
        await running.pool.apply(_serving(upstream, port))
        pids = await running.pids()
        clients = await _clients_of_both(port, pids)
        victim, survivor = pids
        counted = await running.count("istio_requests_total")
        load = asyncio.create_task(_get_until_cancelled(clients[survivor]))
        os.kill(victim, signal.SIGKILL)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await _get_until_cancelled(clients[victim])
        seen = [counted]
        async with asyncio.timeout(TIMEOUT):
            while victim in (now := await running.pids()) or set(now) == {survivor}:
                seen.append(await running.count("istio_requests_total"))
        seen.append(await running.count("istio_requests_total"))
        assert not load.done()  # no request of the other worker has failed
        load.cancel()
        assert seen == sorted(seen)
        assert survivor in now
        assert await running.count("meshproxy_worker_restarts_total") == 1
        again = await _clients_of_both(port, now)  # the new one serves too
        for client in (*clients.values(), *again.values()):
            client.close()
    await upstream.stop()


async def _get_until_cancelled(client: _Client) -> None:
    while True:
        await client.get()


async def test_what_one_configuration_cannot_be_leaves_the_last_one_with_all(port: int) -> None:
    upstream = await Upstream(answering(ok())).start()
    async with _running() as running:
        good = _serving(upstream, port)
        await running.pool.apply(good)
        clients = await _clients_of_both(port, await running.pids())
        with socket.create_server(("127.0.0.1", 0)) as taken:
            elsewhere = replace(good.listeners["listener"], name="elsewhere", port=taken.getsockname()[1])
            bad = replace(good, listeners={**good.listeners, "elsewhere": elsewhere})
            with pytest.raises(ConfigError, match="in use"):
                await running.pool.apply(bad)
        assert running.pool.not_ready() == []
        for client in clients.values():
            await client.get()
            client.close()
        await running.pool.apply(
            replace(good, routes={"r": RouteTable("r", (VirtualHost("v", ("*",), ()),))})
        )
    await upstream.stop()


async def test_what_cannot_be_sent_is_refused(port: int) -> None:
    async with _running() as running:
        with pytest.raises(ConfigError, match="cannot be sent to the workers"):
            await running.pool.apply(ConfigSnapshot(routes={"r": (n for n in ())}))  # type: ignore[dict-item]
        await running.pool.apply(ConfigSnapshot())


async def test_a_worker_that_is_stopped_keeps_no_page_waiting_and_is_replaced_when_it_owes_an_answer(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = await Upstream(answering(ok())).start()
    async with _running() as running:
        await running.pool.apply(_serving(upstream, port))
        stopped, other = await running.pids()
        os.kill(stopped, signal.SIGSTOP)
        (child,) = [child for child in running.pool._children.values() if child.pid == stopped]
        with monkeypatch.context() as short:
            short.setattr("meshproxy.workers.pool.REFRESH_TIMEOUT", 0.05)
            await running.count("istio_requests_total")
        with monkeypatch.context() as short:
            short.setattr("meshproxy.workers.child.ANSWER_TIMEOUT", 0.05)
            child.order(CountConnections())
        while stopped in (now := await running.pids()):  # noqa: ASYNC110  processes set no event
            await asyncio.sleep(0.01)
        assert other in now
    await upstream.stop()


async def test_a_drain_is_told_to_all_and_ends_when_the_last_connection_has(port: int) -> None:
    asked, may_answer = asyncio.Semaphore(0), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_head(reader):
            asked.release()
            await may_answer.wait()
            writer.write(ok())

    upstream = await Upstream(wait).start()
    may_answer.set()
    async with _running() as running:
        await running.pool.apply(_serving(upstream, port))
        clients = await _clients_of_both(port, await running.pids())
        while not asked.locked():
            await asked.acquire()
        may_answer.clear()
        answers = [asyncio.ensure_future(client.get()) for client in clients.values()]
        for _ in answers:
            await asked.acquire()
        running.pool.begin_drain(0.0)
        assert await running.pool.open_connections() == 2  # an order behind the other
        may_answer.set()
        for answer in answers:
            assert b"connection: close" in await answer
        for client in clients.values():
            client.close()
        while await running.pool.open_connections():  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)
        await running.pool.end_drain()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    await upstream.stop()


async def test_a_worker_that_dies_while_draining_is_not_replaced(port: int) -> None:
    async with _running() as running:
        await running.pool.apply(ConfigSnapshot())
        pids = await running.pids()
        running.pool.begin_drain(0.0)
        os.kill(pids[0], signal.SIGKILL)
        workers: object = None
        while workers != [{"number": 2, "pid": pids[1], "serving": True}]:
            await asyncio.sleep(0.01)
            workers = running.pool.info()["workers"]
        assert await running.pool.open_connections() == 0
        assert running.pool.info()["worker_restarts"] == 0


async def test_all_workers_prove_the_newest_identity_also_one_that_is_new(port: int) -> None:
    upstream = await Upstream(answering(ok())).start()
    authority = new_authority()
    first, second = issue(authority, WEB), issue(authority, WEB)
    async with _running() as running:
        running.pool.use_identity(first)
        await running.pool.apply(_over_tls(_serving(upstream, port)))
        pids = await running.pids()
        assert await _serials(first, port) == {first.serial_number}
        running.pool.use_identity(second)
        os.kill(pids[0], signal.SIGKILL)
        while pids[0] in await running.pids():  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)
        assert await _serials(first, port) == {second.serial_number}
    await upstream.stop()


def _over_tls(config: ConfigSnapshot) -> ConfigSnapshot:
    listener = config.listeners["listener"]
    match = FilterChainMatch(transport_protocol="tls")
    chain = replace(listener.filter_chains[0], match=match, tls=DownstreamTls())
    inspected = replace(listener, filter_chains=(chain,), tls_inspector=True)
    return replace(config, listeners={"listener": inspected})


async def _serials(identity: Identity, port: int) -> set[int]:
    """Of the certificates that are shown on 16 connections: all of one worker only once in 2**15 runs."""
    serials = set()
    context = contexts.client_context(identity, alpn=())
    for _ in range(16):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(REQUEST)
        await reader.readuntil(b"hello")
        serials.add(int(writer.get_extra_info("peercert")["serialNumber"], 16))
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
    return serials


async def test_workers_end_with_the_main_process(port: int) -> None:
    async with _running() as running:
        pids = await running.pids()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_workers_import_no_grpc_protobuf_or_cryptography() -> None:
    program = "import sys, meshproxy.workers.process; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "meshproxy.proxy.worker" in loaded
    heavy = {"grpc", "cryptography", "google.protobuf", "control_plane", "h11", "httptools", "pydantic"}
    assert not loaded & heavy
