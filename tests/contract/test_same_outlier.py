"""Outlier detection as the control plane configures it: stock Envoy and this proxy count, eject and panic
alike."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
from google.protobuf.json_format import MessageToDict

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.snapshot import CLUSTER_TYPE
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import WeightedCluster
from meshproxy.xds.clusters import translate_cluster
from tests.fuzz import envoy
from tests.unit.control_plane.translate import mesh as translation
from tests.unit.meshproxy.proxy.harness import (
    Handler,
    Upstream,
    answering,
    http_listener,
    ok,
    read_head,
    running,
    snapshot,
    static_cluster,
)

REQUESTS = 120
EJECTED_WITHIN = 20
TIMEOUT = 2.0
"""Seconds a request may take: time enough for those that are answered."""
PREVIOUS_HOSTS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
RETRY = RetrySettings(
    frozenset({"connect-failure", "reset"}), num_retries=2, base_interval=0.001, max_interval=0.01
)


@dataclass(frozen=True)
class Seen:
    """What a proxy made of `REQUESTS` requests."""

    statuses: dict[int, int]
    ejected: int
    refused_ejections: int
    panics: int
    retries: int


@dataclass(frozen=True)
class Proxy:
    port: int
    see: Callable[[dict[int, int]], Awaitable[Seen]]


def _emitted() -> Cluster:
    """A Service's cluster as the translator makes it."""
    built = translation.translate(translation.shop())
    name = next(name for name in built.of_type(CLUSTER_TYPE) if name.startswith("outbound|8080||"))
    return translation.cluster(built, name)


@asynccontextmanager
async def _envoy(ports: list[int]) -> AsyncIterator[Proxy]:
    emitted = MessageToDict(_emitted(), preserving_proto_field_name=True)
    fields = {key: emitted[key] for key in ("outlier_detection", "common_lb_config", "circuit_breakers")}
    predicate = {"@type": f"type.googleapis.com/{PREVIOUS_HOSTS}"}
    policy = {
        "retry_on": "connect-failure,reset",
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.001s"},
        "retry_host_predicate": [{"name": "previous_hosts", "typed_config": predicate}],
        "host_selection_retry_max_attempts": 5,
    }
    listener = envoy.listener("a", timeout=f"{TIMEOUT}s", retry_policy=policy)
    async with envoy.started([listener], [envoy.cluster("a", *ports, **fields)]) as server:

        async def see(statuses: dict[int, int]) -> Seen:
            stats = await server.stats()
            outlier = "cluster.a.outlier_detection."
            return Seen(
                statuses,
                stats[outlier + "ejections_active"],
                stats[outlier + "ejections_overflow"],
                stats["cluster.a.lb_healthy_panic"],
                stats["cluster.a.upstream_rq_retry"],
            )

        yield Proxy(server.ports["a"], see)


@asynccontextmanager
async def _ours(ports: list[int]) -> AsyncIterator[Proxy]:
    emitted = translate_cluster(_emitted(), "emitted")
    cluster = static_cluster(
        "a",
        *(Upstream(answering(b""), port=port).endpoint for port in ports),
        outlier_detection=emitted.outlier_detection,
        healthy_panic_threshold=emitted.healthy_panic_threshold,
        max_retries=emitted.max_retries,
        retry_budget=emitted.retry_budget,
    )
    listener = http_listener(WeightedCluster("a", 1), timeout=TIMEOUT, retry=RETRY)
    async with running(snapshot(listener, cluster)) as mesh:

        async def see(statuses: dict[int, int]) -> Seen:
            return Seen(
                statuses,
                int(mesh.metric("meshproxy_outlier_ejections_active")),
                int(mesh.metric("meshproxy_outlier_ejections_overflowed_total")),
                int(mesh.metric("meshproxy_upstream_healthy_panic_total")),
                int(mesh.metric("meshproxy_upstream_retries_total")),
            )

        yield Proxy(mesh.port, see)


async def _fetch(port: int) -> int:
    """Status of one request on a connection of its own; 0 when it was reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    try:
        answer = await reader.read()
    except ConnectionError:
        return 0
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return int(answer.split(b" ", 2)[1])


async def _resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_head(reader)


async def _hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_head(reader)
    await reader.read()


GOOD = answering(ok())
BAD = answering(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize("proxy", [_envoy, _ours])
@pytest.mark.parametrize(
    ("upstreams", "expected"),
    [
        ([BAD, GOOD, GOOD], Seen({200: 115, 500: 5}, 1, 0, 0, 0)),
        ([BAD, GOOD], Seen({200: 115, 500: 5}, 1, 0, 0, 0)),
        ([BAD], Seen({500: 120}, 1, 0, 115, 0)),
        ([_resets, GOOD, GOOD], Seen({200: 120}, 1, 0, 0, 5)),
        ([None, GOOD, GOOD], Seen({200: 120}, 1, 0, 0, 5)),
        ([_hangs, GOOD, GOOD], Seen({200: 115, 504: 5}, 1, 0, 0, 0)),
    ],
    ids=["bad_of_three", "bad_of_two", "only_one", "resets", "dead", "hangs"],
)
async def test_a_broken_endpoint_costs_the_same(
    proxy: Callable[[list[int]], AbstractAsyncContextManager[Proxy]],
    upstreams: list[Handler | None],
    expected: Seen,
) -> None:
    async with AsyncExitStack() as stack:
        ports = []
        for handler in upstreams:
            upstream = await Upstream(handler or GOOD).start()
            ports.append(upstream.port)
            if handler is None:
                await upstream.stop()  # refuses from now on
            else:
                stack.push_async_callback(upstream.stop)
        running_proxy = await stack.enter_async_context(proxy(ports))
        statuses: Counter[int] = Counter()
        for number in range(REQUESTS):
            statuses[await _fetch(running_proxy.port)] += 1
            if number < EJECTED_WITHIN:
                await running_proxy.see({})  # Envoy ejects on its main thread, which answers this after it
        assert await running_proxy.see(dict(statuses)) == expected
