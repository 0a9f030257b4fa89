"""A worker that leaves under load: no request fails, and idle clients do not all come back at once."""

from __future__ import annotations

import asyncio
import random

import pytest

from meshproxy.clock import SystemClock
from meshproxy.proxy import drain, worker
from meshproxy.proxy.drain import DrainSchedule
from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
)
from tests.unit.meshproxy.proxy.test_http_failure import A, serving, settled
from tests.unit.meshproxy.proxy.test_http_proxy import exchange


def rests(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Connections count as idle after so many seconds."""
    for module in (drain, worker):
        monkeypatch.setattr(module, "REST", seconds)


POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"


class Client:
    """Sends one POST after the other and counts on each answer; goes where `home` says when it is told to
    close its connection."""

    def __init__(self, home: list[Mesh]) -> None:
        self._home = home
        self.answers = 0
        self.connections = 0
        self.stop = False

    async def run(self) -> None:
        while not self.stop:
            reader, writer = await self._home[0].connect()
            self.connections += 1
            answer = b""
            while not self.stop and b"connection: close" not in answer:
                answer = await exchange(reader, writer, POST)
                assert answer.startswith(b"HTTP/1.1 200")
                self.answers += 1
            writer.close()


def test_responses_end_connections_with_a_probability_that_grows_to_one():
    schedule, rng = DrainSchedule(started_at=100.0, over=30.0), random.Random(1)

    def share(now: float) -> float:
        return sum(schedule.closes(now, rng.random()) for _ in range(10_000)) / 10_000

    assert share(100.0) == 0.0
    assert share(103.0) == pytest.approx(0.1, abs=0.02)
    assert share(115.0) == pytest.approx(0.5, abs=0.02)
    assert share(130.0) == share(1000.0) == 1.0


def test_clients_leave_over_the_whole_time_and_all_before_its_end():
    """Simulated: 200 clients with a request each second."""
    schedule, rng = DrainSchedule(started_at=0.0, over=30.0), random.Random(2)
    left: list[float] = []
    for client in range(200):
        now = client / 200
        while not schedule.closes(now, rng.random()):
            now += 1.0
        left.append(now)
    seconds = [sum(second <= end < second + 1 for end in left) for second in range(32)]
    assert sum(seconds) == 200
    assert max(seconds) <= 30  # not all at once
    assert sum(count > 0 for count in seconds) >= 12
    assert max(left) < 31.0


def test_without_time_every_response_ends_its_connection():
    schedule = DrainSchedule(started_at=5.0, over=0.0)
    assert all(schedule.closes(5.0, draw) for draw in (0.0, 0.5, 0.999))


@pytest.mark.parametrize(
    ("over", "draw", "ends_at"),
    [(3.0, 0.0, 10.5), (3.0, 0.5, 11.75), (3.0, 0.999, 12.9975), (0.1, 0.9, 10.5), (0.0, 0.0, 10.5)],
)
def test_idle_connections_end_between_a_rest_and_the_end_of_the_spread(over, draw, ends_at):
    assert DrainSchedule(10.0, over).idle_ends_at(draw) == pytest.approx(ends_at)


def test_the_spread_leaves_time_for_what_is_under_way():
    assert drain.spread(5.0) == 3.0
    assert drain.spread(0.0) == 0.0


async def test_a_connection_that_was_just_used_is_not_ended_idle():
    async with (
        serving(answering(ok())) as upstream,
        running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh,
    ):
        clock = mesh.services.clock.monotonic
        reader, writer = await mesh.connect()
        await exchange(reader, writer, POST)
        (connection,) = (c for _, m in mesh.worker._managers.values() for c in m.connections)
        assert not connection.drain(clock() - 60.0)
        assert b"connection: close" not in await exchange(reader, writer, POST)
        assert connection.drain(clock())
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_one_that_comes_during_the_drain_and_says_nothing_is_ended_too(monkeypatch):
    rests(monkeypatch, 0.05)
    async with (
        serving(answering(ok())) as upstream,
        running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh,
    ):
        mesh.worker.begin_drain(0.05)
        reader, writer = await mesh.connect()
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_no_request_fails_while_sixteen_clients_send(monkeypatch):
    rests(monkeypatch, 3600.0)  # on a machine that stalls, a client's next request may be as late as a rest
    async with serving(answering(ok())) as upstream:
        config = snapshot(http_listener(A), static_cluster("a", upstream.endpoint))
        async with running(config) as leaving, running(config) as staying:
            home = [leaving]
            clients = [Client(home) for _ in range(16)]
            tasks = [asyncio.create_task(client.run()) for client in clients]
            await settled(lambda: min(client.answers for client in clients) >= 10)

            leaving.worker.begin_drain(0.3)
            # Peers learn only gradually: for a while they still come, with a connection for each request.
            await settled(lambda: min(client.connections for client in clients) >= 5)
            home[0] = staying
            await settled(lambda: leaving.worker.open_connections == 0)
            leaving.worker.end_drain()

            before = [client.answers for client in clients]
            await settled(
                lambda: all(client.answers > then + 5 for client, then in zip(clients, before, strict=True))
            )
            for client in clients:
                client.stop = True
            await asyncio.wait_for(asyncio.gather(*tasks), 30)
            total = sum(client.answers for client in clients)
            served = sum(
                mesh.metric("istio_requests_total", response_code="200") for mesh in (leaving, staying)
            )
            assert served == total
            assert leaving.metric("istio_requests_total", response_code="200") < total


async def test_the_end_waits_until_nobody_comes_any_more(monkeypatch):
    monkeypatch.setattr(drain, "POLL", 0.0)
    looks = iter([1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 9])

    async def open_connections() -> int:
        return next(looks)

    await drain.until_quiet(open_connections, SystemClock(), 5.0)
    assert list(looks) == [9]


async def test_the_end_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(drain, "POLL", 0.01)

    async def open_connections() -> int:
        return 1

    clock = SystemClock()
    began = clock.monotonic()
    await drain.until_quiet(open_connections, clock, 0.05)
    assert 0.05 <= clock.monotonic() - began < 5.0


async def test_idle_connections_end_one_by_one(monkeypatch):
    rests(monkeypatch, 600.0)
    async with serving(answering(ok())) as upstream:
        config = snapshot(http_listener(A), static_cluster("a", upstream.endpoint))
        async with running(config) as mesh:
            pairs = [await mesh.connect() for _ in range(20)]
            for pair in pairs:
                await exchange(*pair, POST)

            def still_open() -> int:
                connections = [c for _, m in mesh.worker._managers.values() for c in m.connections]
                return sum(not connection._closing for connection in connections)

            mesh.worker.begin_drain(2600.0)
            open_after = []
            for _ in range(4):
                mesh.pass_time(500.0)
                open_after.append(still_open())
            assert open_after[0] == 20  # they have not rested for long enough
            assert 20 > open_after[1] > open_after[2] > open_after[3] > 0
            mesh.pass_time(700.0)
            for reader, writer in pairs:
                assert await asyncio.wait_for(reader.read(), 30) == b""
                writer.close()


async def test_an_exchange_under_way_outlives_the_end_of_idle_connections(monkeypatch):
    rests(monkeypatch, 0.0)
    go = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        writer.write(ok())

    async with (
        serving(waits) as upstream,
        running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh,
    ):
        busy, idle = await mesh.connect(), await mesh.connect()
        answer = asyncio.create_task(exchange(*busy, POST))
        await settled(lambda: mesh.live.clusters["a"].active_requests == 1)
        mesh.worker.begin_drain()
        assert await asyncio.wait_for(idle[0].read(), 30) == b""
        go.set()
        assert b"connection: close" in await answer
        for _, writer in (busy, idle):
            writer.close()
