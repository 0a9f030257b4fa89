"""Two sidecars that agree on HTTP/2 while both applications speak HTTP/1.1."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from meshproxy.config.model import Cluster
from meshproxy.config.snapshot import ConfigSnapshot
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, issue
from tests.unit.meshproxy.proxy.harness import (
    Handler,
    Upstream,
    answering,
    http_listener,
    ok,
    read_head,
    running,
    snapshot,
)
from tests.unit.meshproxy.proxy.test_http_failure import A, endpoint_of, settled
from tests.unit.meshproxy.proxy.test_http_proxy import exchange
from tests.unit.meshproxy.proxy.test_two_sidecars import (
    CATALOG_WORKLOAD,
    MESH_TLS,
    WEB_WORKLOAD,
    Pair,
    authority,
    inbound,
    outbound_cluster,
)
from tests.unit.meshproxy.proxy.test_upgrade import converse, echo_server

__all__ = ["authority"]

BOTH = ("istio-h2", "istio-http/1.1")
HTTP1 = ("istio-http/1.1",)
GET = b"GET /x HTTP/1.1\r\nHost: catalog:8080\r\n\r\n"
CLIENTS = 20


def accepting(alpn: tuple[str, ...], port: int) -> ConfigSnapshot:
    """The server's sidecar, which lets its clients choose between `alpn`."""
    config = inbound(port, upgrade_types=("websocket",))
    listener = config.listeners["listener"]
    http, tcp = listener.filter_chains
    match = replace(http.match, application_protocols=alpn)
    http = replace(http, match=match, tls=replace(MESH_TLS, alpn_protocols=(*alpn, "istio")))
    return replace(config, listeners={"listener": replace(listener, filter_chains=(http, tcp))})


def offering(cluster: Cluster, **changes: object) -> ConfigSnapshot:
    listener = http_listener(A, upgrade_types=("websocket",))
    return snapshot(listener, replace(cluster, name="a", **changes))  # type: ignore[arg-type]


@asynccontextmanager
async def upgraded(
    authority,
    app: Upstream,
    *,
    peer: tuple[str, ...] = BOTH,
    offer: tuple[str, ...] = BOTH,
    **changes: object,
) -> AsyncIterator[Pair]:
    server, client = issue(authority, CATALOG), issue(authority, WEB)
    where = ("127.0.0.1", app.port)
    async with running(accepting(peer, app.port), server, CATALOG_WORKLOAD, where) as catalog:
        config = offering(outbound_cluster(catalog.port), http2_alpn=offer, **changes)
        async with running(config, client, WEB_WORKLOAD) as web:
            yield Pair(web, catalog)


def all_at_once(count: int, seen: list[bytes]) -> Handler:
    """An application that answers nobody before `count` have asked."""
    everybody = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_head(reader))
            if len(seen) >= count:
                everybody.set()
            await everybody.wait()
            writer.write(ok())

    return handle


async def ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = await exchange(reader, writer, GET)
    writer.close()
    return answer


async def test_requests_of_many_connections_share_one_and_the_application_sees_http_1_1(authority):
    seen: list[bytes] = []
    app = await Upstream(all_at_once(CLIENTS, seen)).start()
    async with upgraded(authority, app) as pair:
        answers = await asyncio.gather(*(ask(pair.web.port) for _ in range(CLIENTS)))
        assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 200 OK"}
        assert {head.split(b"\r\n")[0] for head in seen} == {b"GET /x HTTP/1.1"}
        endpoint = endpoint_of(pair.web)
        assert (endpoint.connections, len(endpoint.multiplexed), len(endpoint.idle)) == (1, 1, 0)
        assert pair.catalog.worker.open_connections == 1
        assert pair.catalog.metric("istio_requests_total", response_code="200") == CLIENTS
    await app.stop()


async def test_a_peer_that_chooses_http_1_1_gets_a_connection_for_each(authority):
    app = await Upstream(all_at_once(CLIENTS, [])).start()
    async with upgraded(authority, app, peer=HTTP1) as pair:
        answers = await asyncio.gather(*(ask(pair.web.port) for _ in range(CLIENTS)))
        assert all(answer.endswith(b"hello") for answer in answers)
        endpoint = endpoint_of(pair.web)
        assert (endpoint.connections, len(endpoint.multiplexed)) == (CLIENTS, 0)
        await settled(lambda: len(endpoint.idle) == CLIENTS)
        await ask(pair.web.port)
        assert endpoint.connections == CLIENTS
    await app.stop()


async def test_an_endpoint_in_plaintext_is_spoken_http_1_1_to(authority):
    seen: list[bytes] = []
    app = await Upstream(answering(ok(), seen)).start()
    cluster = outbound_cluster(app.port)
    plain = tuple(replace(one, transport_socket_match=()) for one in cluster.endpoints)
    async with running(offering(cluster, endpoints=plain, http2_alpn=BOTH)) as web:
        assert (await ask(web.port)).endswith(b"hello")
    assert seen[0].startswith(b"GET /x HTTP/1.1\r\n")
    await app.stop()


async def test_websockets_have_connections_of_http_1_1_beside(authority):
    async with echo_server() as port:
        app = Upstream(answering(ok()), port=port)
        async with upgraded(authority, app) as pair:
            await converse(pair.web.port, 200)
            await settled(lambda: pair.catalog.worker.open_connections == 0)
            assert pair.catalog.metric("istio_requests_total", response_code="101") == 1
            endpoint = endpoint_of(pair.web)
            assert (endpoint.connections, endpoint.alone, endpoint.multiplexed) == (0, [], [])


async def test_an_upgrade_that_is_refused_leaves_no_connection_of_http_1_1(authority):
    app = await Upstream(answering(ok())).start()
    async with upgraded(authority, app) as pair:
        reader, writer = await pair.web.connect()
        request = GET.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert (await exchange(reader, writer, request)).startswith(b"HTTP/1.1 200")
        assert (await exchange(reader, writer, GET)).startswith(b"HTTP/1.1 200")
        endpoint = endpoint_of(pair.web)
        await settled(lambda: endpoint.connections == 1)
        assert len(endpoint.multiplexed) == 1
        writer.close()
    await app.stop()


async def test_an_upgrade_beyond_the_limit_of_connections_is_refused(authority):
    app = await Upstream(answering(ok())).start()
    async with upgraded(authority, app, max_connections=1) as pair:
        await ask(pair.web.port)
        reader, writer = await pair.web.connect()
        request = GET.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert (await exchange(reader, writer, request)).startswith(b"HTTP/1.1 503")
        assert pair.web.metric("istio_requests_total", response_flags="UO") == 1
        writer.close()
    await app.stop()


async def test_a_policy_that_comes_and_goes_holds_from_the_next_request_on(authority):
    app = await Upstream(answering(ok())).start()
    async with upgraded(authority, app, offer=()) as pair:
        cluster = pair.web.live.clusters["a"].cluster
        await ask(pair.web.port)
        endpoint = endpoint_of(pair.web)
        await settled(lambda: len(endpoint.idle) == 1)
        for offer in (BOTH, ()):
            await pair.web.worker.apply(offering(cluster, http2_alpn=offer))
            assert (await ask(pair.web.port)).endswith(b"hello")
            assert len(endpoint.multiplexed) == len(offer) // 2
            await settled(lambda: endpoint.connections == 1)
        assert endpoint_of(pair.web) is endpoint
    await app.stop()
