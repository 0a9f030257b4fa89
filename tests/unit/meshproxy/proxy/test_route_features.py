"""What a route may say beside where to: the exchange carries it out."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from meshproxy.config.head_edit import (
    AppendAction,
    HeaderMutations,
    HeaderOption,
    HeadMutations,
    PathRewrite,
)
from meshproxy.config.load_balancing import Algorithm, LoadBalancing
from meshproxy.config.model import Endpoint, HttpConnectionManager, Listener
from meshproxy.config.retry import RateLimitedBackOff, ResetHeaderFormat, RetrySettings
from meshproxy.config.route import (
    DirectResponse,
    HashCookie,
    HashHeader,
    MirrorPolicy,
    Redirect,
    Route,
    RouteAction,
    RouteTable,
    VirtualHost,
    WeightedCluster,
)
from meshproxy.config.route_match import EVERY_PATH, PathMatch, PathMatchKind, RouteMatch
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
from tests.unit.meshproxy.proxy.test_http_failure import serving, settled

A = WeightedCluster("a", 1)
GET = b"GET / HTTP/1.1\r\nHost: shop:80\r\n\r\n"
QUICK = RetrySettings(frozenset(), num_retries=2, base_interval=0.001, max_interval=0.002)


def listener(*routes: Route, **host: object) -> Listener:
    table = RouteTable("table", (VirtualHost("all", ("*",), routes, **host),))  # type: ignore[arg-type]
    plain = http_listener(A)
    chain = plain.filter_chains[0]
    assert isinstance(chain.network, HttpConnectionManager)
    return replace(plain, filter_chains=(replace(chain, network=replace(chain.network, route_table=table)),))


def route(action: RouteAction | Redirect | DirectResponse, **more: object) -> Route:
    return Route("r", EVERY_PATH, action, **more)  # type: ignore[arg-type]


def to_a(**action: object) -> RouteAction:
    return RouteAction((A,), **action)  # type: ignore[arg-type]


def adds(name: str, value: str) -> HeaderMutations:
    return HeaderMutations(add=(HeaderOption(name, value, AppendAction.APPEND_IF_EXISTS_OR_ADD),))


async def ask(mesh: Mesh, request: bytes = GET) -> bytes:
    """Head and body of the answer, whose length is declared."""
    reader, writer = await mesh.connect()
    writer.write(request)
    head = await read_head(reader)
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    body = await reader.readexactly(length)
    writer.close()
    return head + body


async def test_heads_are_changed_in_both_directions_and_in_our_own_answers():
    seen: list[bytes] = []
    mutations = HeadMutations(adds("x-up", "1"), adds("x-down", "2"))
    async with serving(answering(ok(), seen)) as upstream:
        listening = listener(route(to_a(), mutations=mutations))
        async with running(snapshot(listening, static_cluster("a", upstream.endpoint))) as mesh:
            answer = await ask(mesh)
            assert b"x-up: 1\r\n" in seen[0]
            assert b"x-down: 2\r\n" in answer
        async with running(snapshot(listening, static_cluster("a"))) as mesh:
            answer = await ask(mesh)
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"x-down: 2\r\n" in answer


async def test_a_path_is_rewritten_with_its_query_kept():
    seen: list[bytes] = []
    match = RouteMatch(PathMatch(PathMatchKind.PATH_SEPARATED_PREFIX, "/a"))
    action = to_a(path_rewrite=PathRewrite(prefix="/b"), host_rewrite="inside")
    async with serving(answering(ok(), seen)) as upstream:
        config = snapshot(listener(Route("r", match, action)), static_cluster("a", upstream.endpoint))
        async with running(config) as mesh:
            await ask(mesh, b"GET /a/x?q=1 HTTP/1.1\r\nHost: shop\r\n\r\n")
    assert seen[0].startswith(b"GET /b/x?q=1 HTTP/1.1\r\n")
    assert b"host: inside\r\n" in seen[0]


async def test_a_redirect_says_where_to_and_leaves_the_connection_open():
    config = snapshot(listener(route(Redirect(status=308, scheme="https", host="other"))))
    async with running(config) as mesh:
        reader, writer = await mesh.connect()
        for _ in range(2):
            writer.write(b"GET /p?q HTTP/1.1\r\nHost: shop\r\n\r\n")
            head = await read_head(reader)
            assert head.startswith(b"HTTP/1.1 308")
            assert b"location: https://other/p?q\r\n" in head
            assert b"content-length: 0\r\n" in head
        writer.close()


@pytest.mark.parametrize(
    ("retry_on", "status", "tries"),
    [
        ("5xx", 500, 3),
        ("gateway-error", 500, 1),
        ("gateway-error", 503, 3),
        ("retriable-status-codes", 418, 3),
    ],
)
async def test_answers_are_retried_as_the_route_says(retry_on: str, status: int, tries: int):
    seen: list[bytes] = []
    settings = replace(QUICK, retry_on=frozenset({retry_on}), retriable_status_codes=frozenset({418}))
    refusing = b"HTTP/1.1 %d No\r\ncontent-length: 2\r\n\r\nno" % status
    async with serving(answering(refusing, seen)) as upstream:
        config = snapshot(listener(route(to_a(retry=settings))), static_cluster("a", upstream.endpoint))
        async with running(config) as mesh:
            answer = await ask(mesh)
            assert answer.startswith(b"HTTP/1.1 %d" % status)
            assert answer.endswith(b"no")
            flags = {3: "URX", 1: "-"}[tries]
            assert mesh.metric("istio_requests_total", response_code=str(status), response_flags=flags) == 1
        assert upstream.connections == 1  # a whole answer leaves its connection in order
    assert len(seen) == tries


async def test_a_post_that_may_have_been_processed_is_not_sent_again():
    seen: list[bytes] = []
    settings = replace(QUICK, retry_on=frozenset({"5xx"}))
    async with serving(answering(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", seen)) as upstream:
        config = snapshot(listener(route(to_a(retry=settings))), static_cluster("a", upstream.endpoint))
        async with running(config) as mesh:
            answer = await ask(mesh, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500")
    assert len(seen) == 1


async def test_a_retry_waits_as_long_as_the_answer_asks():
    seen: list[bytes] = []
    back_off = RateLimitedBackOff((("retry-after", ResetHeaderFormat.SECONDS),))
    settings = replace(
        QUICK,
        num_retries=1,
        retry_on=frozenset({"retriable-status-codes"}),
        retriable_status_codes=frozenset({429}),
        rate_limited=back_off,
    )
    busy = b"HTTP/1.1 429 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n"
    async with serving(answering(busy, seen)) as upstream:
        config = snapshot(listener(route(to_a(retry=settings))), static_cluster("a", upstream.endpoint))
        async with running(config) as mesh:
            await ask(mesh, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    assert len(seen) == 2  # 429: it was not processed, so a POST may go again


async def test_attempts_are_counted_in_both_directions():
    seen: list[bytes] = []
    settings = replace(QUICK, num_retries=1, retry_on=frozenset({"5xx"}))
    async with serving(answering(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", seen)) as upstream:
        listening = listener(
            route(to_a(retry=settings)), attempt_count_in_request=True, attempt_count_in_response=True
        )
        async with running(snapshot(listening, static_cluster("a", upstream.endpoint))) as mesh:
            answer = await ask(mesh)
    assert [b"x-envoy-attempt-count: %d\r\n" % n in head for n, head in enumerate(seen, 1)] == [True, True]
    assert b"x-envoy-attempt-count: 2\r\n" in answer


async def test_a_slow_attempt_is_given_up_for_another_endpoint():
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    settings = replace(QUICK, retry_on=frozenset({"reset"}), per_try_timeout=60.0)
    async with serving(stalls) as slow, serving(answering(ok())) as quick:
        cluster = static_cluster("a", slow.endpoint, quick.endpoint)
        config = snapshot(listener(route(to_a(retry=settings, timeout=0.0))), cluster)
        async with running(config) as mesh:
            asking = asyncio.ensure_future(ask(mesh))
            await settled(lambda: asking.done() or slow.connections == 1)
            if not slow.connections:  # the other one was first: it is this one's turn
                assert (await asking).endswith(b"hello")
                asking = asyncio.ensure_future(ask(mesh))
                await settled(lambda: slow.connections == 1)
            mesh.pass_time(61.0)
            assert (await asking).endswith(b"hello")
        assert slow.connections == 1


async def test_an_answer_to_a_timed_out_attempt_says_which_timeout():
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    settings = replace(QUICK, num_retries=0, per_try_timeout=60.0)
    async with serving(stalls) as slow:
        config = snapshot(
            listener(route(to_a(retry=settings, timeout=0.0))), static_cluster("a", slow.endpoint)
        )
        async with running(config) as mesh:
            asking = asyncio.ensure_future(ask(mesh))
            await settled(lambda: slow.connections == 1)
            mesh.pass_time(61.0)
            answer = await asking
    assert answer.startswith(b"HTTP/1.1 504")
    assert answer.endswith(b"per try timeout")


async def test_a_copy_goes_to_the_mirror_and_its_answer_nowhere():
    seen: list[bytes] = []
    copied = asyncio.Event()

    async def shadow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"abc"))
        writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
        copied.set()

    async with serving(answering(ok())) as upstream, serving(shadow) as other:
        config = snapshot(
            listener(route(to_a(mirrors=(MirrorPolicy("b"),)))),
            static_cluster("a", upstream.endpoint),
            static_cluster("b", other.endpoint),
        )
        async with running(config) as mesh:
            answer = await ask(mesh, b"POST /p HTTP/1.1\r\nHost: shop:80\r\nContent-Length: 3\r\n\r\nabc")
            await copied.wait()
    assert answer.startswith(b"HTTP/1.1 200")
    assert seen[0].startswith(b"POST /p HTTP/1.1\r\n")
    assert b"host: shop-shadow:80\r\n" in seen[0]


async def test_a_mirror_without_endpoints_is_not_felt():
    async with serving(answering(ok())) as upstream:
        config = snapshot(
            listener(route(to_a(mirrors=(MirrorPolicy("b"), MirrorPolicy("unknown"))))),
            static_cluster("a", upstream.endpoint),
            static_cluster("b", Endpoint("127.0.0.1", 1)),
        )
        async with running(config) as mesh:
            for _ in range(3):
                assert (await ask(mesh)).startswith(b"HTTP/1.1 200")
            assert mesh.live.clusters["b"].active_requests == 0


async def test_requests_of_one_hash_go_to_one_endpoint():
    hashed = to_a(hash_policy=(HashHeader("x-user"),))
    ring = LoadBalancing(Algorithm.RING_HASH)
    async with serving(answering(ok())) as one, serving(answering(ok())) as two:
        cluster = static_cluster("a", one.endpoint, two.endpoint, load_balancing=ring)
        async with running(snapshot(listener(route(hashed)), cluster)) as mesh:
            for user in range(20):
                before = (one.connections, two.connections)
                for _ in range(3):
                    await ask(
                        mesh, b"GET / HTTP/1.1\r\nHost: a\r\nx-user: %d\r\nConnection: close\r\n\r\n" % user
                    )
                assert (one.connections, two.connections).count(0) < 2 or before == (0, 0)
            requests = [endpoint.requests for endpoint in mesh.live.clusters["a"].endpoints]
    assert all(count % 3 == 0 for count in requests)
    assert all(requests)


async def test_a_cookie_is_made_for_a_client_without_one():
    hashed = to_a(hash_policy=(HashCookie("user", ttl=60.0, path="/"),))
    ring = LoadBalancing(Algorithm.RING_HASH)
    async with serving(answering(ok())) as one, serving(answering(ok())) as two:
        cluster = static_cluster("a", one.endpoint, two.endpoint, load_balancing=ring)
        async with running(snapshot(listener(route(hashed)), cluster)) as mesh:
            first = await ask(mesh)
            line = next(part for part in first.split(b"\r\n") if part.startswith(b"set-cookie: user="))
            cookie = line[len(b"set-cookie: ") :].partition(b";")[0]
            assert line.endswith(b"; Max-Age=60; Path=/; HttpOnly")
            for _ in range(4):
                answer = await ask(mesh, b"GET / HTTP/1.1\r\nHost: a\r\nCookie: x=1; %b\r\n\r\n" % cookie)
                assert b"set-cookie" not in answer
            assert sorted(endpoint.requests for endpoint in mesh.live.clusters["a"].endpoints) == [0, 5]
