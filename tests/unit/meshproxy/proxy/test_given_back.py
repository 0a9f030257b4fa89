"""Whatever an exchange takes (seats, retries, a breaker's probe, copies) it gives back, however it ends."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

from meshproxy.config.model import HttpConnectionManager
from meshproxy.config.resilience import CircuitBreakerSettings
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import MirrorPolicy
from meshproxy.proxy.http_stream import HttpStream
from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    answering,
    http_listener,
    ok,
    read_head,
    running,
    snapshot,
    static_cluster,
)
from tests.unit.meshproxy.proxy.test_http_failure import endpoint_of, serving, settled
from tests.unit.meshproxy.proxy.test_http_proxy import DEAD, A, exchange
from tests.unit.meshproxy.proxy.test_outlier import FAILED, GET, ManualClock
from tests.unit.meshproxy.proxy.test_route_features import ask, listener, route, to_a
from tests.unit.meshproxy.proxy.test_upgrade import ASK, SWITCH

ONE = CircuitBreakerSettings(failure_threshold=1, base_open=1.0, max_open=60.0, jitter=0.0)
SLOW = RetrySettings(frozenset({"5xx", "connect-failure"}), 2, base_interval=60.0, max_interval=60.0)
QUICK = replace(SLOW, base_interval=0.001, max_interval=0.002)
LARGE = 200_000


def _streams() -> list[HttpStream]:
    return [one for one in gc.get_objects() if isinstance(one, HttpStream)]


def is_idle(mesh: Mesh) -> bool:
    return all(
        not (cluster.active_requests or cluster.active_retries or cluster.pending_requests)
        and not any(one.active_requests or one.prober for one in cluster.endpoints)
        for cluster in mesh.live.clusters.values()
    )


async def test_a_web_socket_that_was_the_probe_closes_the_breaker() -> None:
    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await read_head(reader):
            if b"upgrade" in head:
                writer.write(SWITCH)
                await reader.read()
                return
            writer.write(FAILED)

    clock = ManualClock()
    async with serving(chat) as upstream:
        cluster = static_cluster("a", upstream.endpoint, circuit_breaker=ONE)
        config = snapshot(http_listener(A, upgrade_types=("websocket",)), cluster)
        async with running(config, clock=clock) as mesh:
            first, other = await mesh.connect(), await mesh.connect()
            assert (await exchange(*first, GET)).startswith(b"HTTP/1.1 500")
            assert (await exchange(*first, GET)).startswith(b"HTTP/1.1 503")
            clock.now += 1.1
            assert (await exchange(*other, ASK)).startswith(b"HTTP/1.1 101")
            assert endpoint_of(mesh).prober is None
            assert (await exchange(*first, GET)).startswith(b"HTTP/1.1 500")
            other[1].close()
            first[1].close()
            await settled(lambda: is_idle(mesh))


async def test_a_web_socket_that_came_about_by_a_retry_is_no_retry_under_way() -> None:
    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(SWITCH)
        await reader.read()

    async with serving(chat) as upstream:
        config = snapshot(
            http_listener(A, retry=QUICK, upgrade_types=("websocket",)),
            static_cluster("a", DEAD, upstream.endpoint, retry_budget=None),
        )
        async with running(config) as mesh:
            sockets = [await mesh.connect() for _ in range(2)]  # one of them goes to the dead one first
            for one in sockets:
                assert (await exchange(*one, ASK)).startswith(b"HTTP/1.1 101")
            assert mesh.live.clusters["a"].active_requests == 2
            assert mesh.live.clusters["a"].active_retries == 0
            for _, writer in sockets:
                writer.close()
            await settled(lambda: is_idle(mesh))


async def test_a_client_that_leaves_while_a_retry_waits_leaves_nothing_behind() -> None:
    others = _streams()  # of other tests, not collected yet
    async with serving(answering(FAILED)) as upstream:
        config = snapshot(http_listener(A, retry=SLOW), static_cluster("a", upstream.endpoint))
        async with running(config) as mesh:
            _, writer = await mesh.connect()
            writer.write(GET)
            await settled(lambda: mesh.live.clusters["a"].active_retries == 1)
            writer.close()
            await settled(lambda: is_idle(mesh))
            assert all(one in others for one in _streams())  # no timer holds it


async def test_a_copy_of_a_body_that_came_at_once_is_whole() -> None:
    """The exchange lets go of a body too large to be held as soon as it is sent; the copy needs it, too."""
    copied: asyncio.Queue[bytes] = asyncio.Queue()

    async def shadow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            await copied.put(await reader.readexactly(LARGE))
            writer.write(ok())

    async def takes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            await reader.readexactly(LARGE)
            writer.write(ok())

    async with serving(takes) as upstream, serving(shadow) as other:
        config = snapshot(
            listener(route(to_a(mirrors=(MirrorPolicy("b"),)))),
            static_cluster("a", upstream.endpoint),
            static_cluster("b", other.endpoint),
        )
        async with running(config) as mesh:
            post = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGE
            for _ in range(3):  # the first finds no connection yet; later ones find one
                assert (await ask(mesh, post + b"x" * LARGE)).startswith(b"HTTP/1.1 200")
                await settled(lambda: is_idle(mesh))
            while not copied.empty():
                assert copied.get_nowait() == b"x" * LARGE


async def test_the_attempt_count_is_ours_alone() -> None:
    seen: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\nX-Envoy-Attempt-Count: 7\r\ncontent-length: 0\r\n\r\n"
    counted = listener(route(to_a()), attempt_count_in_request=True, attempt_count_in_response=True)
    async with (
        serving(answering(answer, seen)) as upstream,
        running(snapshot(counted, static_cluster("a", upstream.endpoint))) as mesh,
    ):
        told = b"GET / HTTP/1.1\r\nHost: a\r\nX-Envoy-Attempt-Count: 9\r\n\r\n"
        answered = await ask(mesh, told)
    for head in (seen[0].lower(), answered.lower()):
        assert head.count(b"x-envoy-attempt-count:") == head.count(b"x-envoy-attempt-count: 1\r\n") == 1


async def test_a_copy_of_an_upgrade_ends_when_its_server_agrees() -> None:
    """It would be kept open, and what its server sends kept for nobody, as long as the server likes."""
    ended = asyncio.Event()

    async def agrees(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(SWITCH + b"x" * 1000)
        try:
            await reader.read()
        finally:
            ended.set()

    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(SWITCH)
        await reader.read()

    mirrored = to_a(mirrors=(MirrorPolicy("b"),), timeout=0.0)
    async with serving(chat) as upstream, serving(agrees) as other:
        plain = listener(route(mirrored))
        chain = plain.filter_chains[0]
        assert isinstance(chain.network, HttpConnectionManager)
        network = replace(chain.network, upgrade_types=("websocket",))
        config = snapshot(
            replace(plain, filter_chains=(replace(chain, network=network),)),
            static_cluster("a", upstream.endpoint),
            static_cluster("b", other.endpoint),
        )
        async with running(config) as mesh:
            one = await mesh.connect()
            assert (await exchange(*one, ASK)).startswith(b"HTTP/1.1 101")
            await asyncio.wait_for(ended.wait(), 30)
            assert mesh.live.clusters["b"].active_requests == 0
            one[1].close()
            await settled(lambda: is_idle(mesh))
