"""Routes, policies and filters do not notice which version a request came by or goes on by."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from meshproxy.config.head_edit import (
    AppendAction,
    HeaderMutations,
    HeaderOption,
    HeadMutations,
    PathRewrite,
)
from meshproxy.config.http_filter import (
    ALWAYS,
    CookieSession,
    CorsSettings,
    FaultAbort,
    FaultDelay,
    FaultSettings,
    RateLimitSettings,
    SessionSettings,
)
from meshproxy.config.load_balancing import Algorithm, LoadBalancing
from meshproxy.config.model import OutlierDetection
from meshproxy.config.resilience import TokenBucketSettings
from meshproxy.config.route import (
    DirectResponse,
    HashCookie,
    MirrorPolicy,
    Redirect,
    VirtualHost,
    WeightedCluster,
)
from meshproxy.config.route_match import StringMatch, StringMatchKind
from tests.unit.meshproxy.proxy.either_version import Asked
from tests.unit.meshproxy.proxy.every_version import (
    A,
    B,
    Versions,
    echo,
    listener,
    listener_of,
    route,
    saying,
    to,
    versions,
)
from tests.unit.meshproxy.proxy.harness import http_listener

__all__ = ["versions"]

CORS, LIMIT = "envoy.filters.http.cors", "envoy.filters.http.local_ratelimit"
FAULT, SESSION = "envoy.filters.http.fault", "envoy.filters.http.stateful_session"
CHAIN = ((CORS, None), (LIMIT, None), (FAULT, None), (SESSION, None))


async def test_path_and_host_say_where_to(versions: Versions) -> None:
    hosts = (
        VirtualHost("shop", ("shop", "*.shop.test"), (route(to(A), "/a"), route(to(B)))),
        VirtualHost("rest", ("*",), (route(to(A), "/only"),)),
    )
    async with versions.serving(saying(b"a"), saying(b"b")) as (one, two):
        clusters = versions.cluster("a", one), versions.cluster("b", two)
        async with versions.mesh(listener_of(*hosts), *clusters) as (_, client):
            for host, path, name in (
                (b"shop", b"/a/x?q=1", b"a"),
                (b"SHOP", b"/ab", b"b"),
                (b"x.shop.test", b"/", b"b"),
                (b"other", b"/only", b"a"),
            ):
                answer = await client.ask(path, (b"host", host))
                assert (answer.status, answer.body) == (200, name)
            assert (await client.ask(b"/", (b"host", b"other"))).status == 404
        assert [(asked.authority, asked.path) for asked in one.asked] == [
            (b"shop", b"/a/x?q=1"),
            (b"other", b"/only"),
        ]


async def test_a_split_is_kept(versions: Versions) -> None:
    split = WeightedCluster("a", 3), WeightedCluster("b", 1), WeightedCluster("none", 0)
    async with versions.serving(saying(b"a"), saying(b"b")) as (one, two):
        clusters = versions.cluster("a", one), versions.cluster("b", two)
        async with versions.mesh(http_listener(*split), *clusters) as (_, client):
            found = Counter([(await client.ask()).body for _ in range(60)])
    assert found.keys() == {b"a", b"b"}
    assert found[b"a"] > found[b"b"]


async def test_heads_are_changed_in_both_directions_and_in_answers_of_ours(versions: Versions) -> None:
    overwrite = AppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    change = HeaderMutations(
        (HeaderOption("x-added", "1"), HeaderOption("x-set", "new", overwrite)), remove=("x-gone",)
    )
    given = (b"x-set", b"old"), (b"x-gone", b"1"), (b"x-many", b"1"), (b"x-many", b"2")

    async def answer_with_fields(asked: Asked) -> None:
        await asked.reply(200, *given)

    config = listener(
        route(to(WeightedCluster("b", 1)), "/none", mutations=HeadMutations(change, change)),
        route(to(A), mutations=HeadMutations(change, change)),
    )
    async with versions.through(answer_with_fields, config) as (_, client, server):
        answer = await client.ask(b"/", *given)
        for fields in (answer.fields, server.asked[0].fields):
            assert (fields[b"x-added"], fields[b"x-set"], fields[b"x-many"]) == (b"1", b"new", b"1, 2")
            assert b"x-gone" not in fields
        local = await client.ask(b"/none")
        assert (local.status, local.fields[b"x-added"], local.fields[b"x-set"]) == (503, b"1", b"new")


async def test_path_and_host_are_rewritten(versions: Versions) -> None:
    action = to(A, path_rewrite=PathRewrite(prefix="/new"), host_rewrite="inside")
    async with versions.through(echo, listener(route(action, "/old"))) as (_, client, server):
        assert (await client.ask(b"/old/x?q=/old")).status == 200
        assert (server.asked[0].path, server.asked[0].authority) == (b"/new/x?q=/old", b"inside")


async def test_redirects_and_direct_answers(versions: Versions) -> None:
    config = listener(
        route(Redirect(status=308, scheme="https", host="other"), "/moved"),
        route(DirectResponse(418, b"short and stout"), "/teapot"),
    )
    async with versions.mesh(config) as (mesh, client):
        moved = await client.ask(b"/moved/x?q")
        assert (moved.status, moved.fields[b"location"]) == (308, b"https://other/moved/x?q")
        teapot = await client.ask(b"/teapot", method=b"POST", body=b"tea")
        assert (teapot.status, teapot.body) == (418, b"short and stout")
        head = await client.ask(b"/teapot", method=b"HEAD")
        assert (head.status, head.body, head.fields[b"content-length"]) == (418, b"", b"15")
        assert mesh.metric("istio_requests_total", response_code="418", request_protocol="http") == 2


async def test_what_the_mesh_says_is_not_believed_of_a_client(versions: Versions) -> None:
    async with versions.through(echo) as (_, client, server):
        forged = (b"x-forwarded-client-cert", b"URI=spiffe://x"), (b"x-envoy-peer-metadata", b"abc")
        await client.ask(b"/", *forged, (b"x-keep", b"1"))
        fields = server.asked[0].fields
        assert fields[b"x-keep"] == b"1"
        assert not fields.keys() & {name for name, _ in forged}
        assert len(fields[b"x-request-id"]) == 36
        await client.ask(b"/", (b"x-request-id", b"mine"))
        assert server.asked[1].fields[b"x-request-id"] == b"mine"


async def test_cookies_come_as_one_field(versions: Versions) -> None:
    async with versions.through(echo) as (_, client, server):
        await client.ask(b"/", (b"cookie", b"a=1; b=2"))
        assert server.asked[0].fields[b"cookie"] == b"a=1; b=2"


@pytest.mark.parametrize("trailers", [(), ((b"x-sum", b"abc"),)])
async def test_a_mirror_gets_the_same_and_answers_nobody(
    versions: Versions, trailers: tuple[tuple[bytes, bytes], ...]
) -> None:
    config = http_listener(A, action={"mirrors": (MirrorPolicy("b"),)})
    copied = asyncio.Event()

    async def copy(asked: Asked) -> None:
        await asked.whole()
        copied.set()
        await asked.reply(500)

    body = b"x" * 30_000
    async with versions.serving(echo, copy) as (one, two):
        clusters = versions.cluster("a", one), versions.cluster("b", two)
        async with versions.mesh(config, *clusters) as (mesh, client):
            answer = await client.ask(b"/p", method=b"POST", body=body, trailers=trailers)
            assert (answer.status, answer.body) == (200, body)
            await asyncio.wait_for(copied.wait(), 30)
            assert mesh.metric("istio_requests_total") == 1
        (asked,) = two.asked
        assert (asked.method, asked.path, asked.authority) == (b"POST", b"/p", b"web-shadow")
        assert asked.body == one.asked[0].body == body


async def test_requests_of_one_hash_stay_together(versions: Versions) -> None:
    config = http_listener(A, action={"hash_policy": (HashCookie("user", ttl=60.0, path="/"),)})
    ring = LoadBalancing(Algorithm.RING_HASH)
    async with versions.serving(saying(b"one"), saying(b"two")) as servers:
        cluster = versions.cluster("a", *servers, load_balancing=ring)
        async with versions.mesh(config, cluster) as (_, client):
            first = await client.ask()
            cookie = first.fields[b"set-cookie"].partition(b";")[0]
            for _ in range(5):
                again = await client.ask(b"/", (b"cookie", cookie))
                assert again.body == first.body
                assert b"set-cookie" not in again.fields


async def test_faults(versions: Versions) -> None:
    abort = FaultSettings(abort=FaultAbort(503, ALWAYS))
    late = FaultSettings(delay=FaultDelay(0.01, ALWAYS))
    config = listener(
        route(to(A), "/abort", filter_configs=((FAULT, abort),)),
        route(to(A), "/late", filter_configs=((FAULT, late),)),
        http_filters=CHAIN,
    )
    async with versions.through(echo, config) as (mesh, client, server):
        answer = await client.ask(b"/abort", method=b"PUT", body=b"x")
        assert (answer.status, answer.body) == (503, b"fault filter abort")
        assert not server.asked
        slow = await client.ask(b"/late", method=b"PUT", body=b"kept for later")
        assert (slow.status, slow.body) == (200, b"kept for later")
        assert mesh.metric("istio_requests_total", response_flags="FI") == 1
        assert mesh.metric("istio_requests_total", response_flags="DI") == 1


async def test_a_rate_limit(versions: Versions) -> None:
    limit = RateLimitSettings("x", TokenBucketSettings(1, 1, 1000.0), ALWAYS, ALWAYS, says_limits=True)
    config = listener(route(to(A), filter_configs=((LIMIT, limit),)), http_filters=CHAIN)
    async with versions.through(echo, config) as (_, client, server):
        assert (await client.ask()).fields[b"x-ratelimit-remaining"] == b"0"
        refused = await client.ask()
        assert (refused.status, refused.body) == (429, b"local_rate_limited")
        assert refused.fields[b"retry-after"] == b"1000"
        assert len(server.asked) == 1


async def test_browsers_are_answered(versions: Versions) -> None:
    origin = StringMatch(StringMatchKind.EXACT, "http://a")
    policy = CorsSettings(allow_origins=(origin,), allow_methods="*")
    config = listener(route(to(A), filter_configs=((CORS, policy),)), http_filters=CHAIN)
    async with versions.through(saying(b"page"), config) as (_, client, server):
        asked = (b"origin", b"http://a"), (b"access-control-request-method", b"PUT")
        preflight = await client.ask(b"/", *asked, method=b"OPTIONS")
        assert (preflight.status, preflight.fields[b"access-control-allow-methods"]) == (200, b"PUT")
        assert not server.asked
        answer = await client.ask(b"/", asked[0])
        assert (answer.body, answer.fields[b"access-control-allow-origin"]) == (b"page", b"http://a")


async def test_a_session_stays_where_it_began(versions: Versions) -> None:
    settings = SessionSettings(CookieSession("sid"))
    config = listener(route(to(A), filter_configs=((SESSION, settings),)), http_filters=CHAIN)
    async with versions.serving(saying(b"one"), saying(b"two")) as servers:
        cluster = versions.cluster("a", *servers)
        async with versions.mesh(config, cluster) as (_, client):
            first = await client.ask()
            cookie = first.fields[b"set-cookie"].partition(b";")[0]
            for _ in range(5):
                assert (await client.ask(b"/", (b"cookie", cookie))).body == first.body


async def test_an_endpoint_that_fails_is_ejected(versions: Versions) -> None:
    detection = OutlierDetection(consecutive_5xx=3, always_eject_one_host=True)
    async with versions.serving(saying(b"bad", 500), saying(b"good")) as servers:
        cluster = versions.cluster("a", *servers, outlier_detection=detection)
        async with versions.mesh(http_listener(A), cluster) as (_, client):
            found = Counter([(await client.ask()).status for _ in range(20)])
    assert found == {200: 17, 500: 3}
