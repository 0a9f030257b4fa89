"""What goes wrong is retried, bounded, answered and counted alike, whichever versions the two sides speak."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import WeightedCluster
from tests.unit.meshproxy.proxy.either_version import Asked, Handler
from tests.unit.meshproxy.proxy.every_version import (
    A,
    Versions,
    echo,
    listener,
    never,
    route,
    saying,
    to,
    versions,
)
from tests.unit.meshproxy.proxy.harness import Mesh, http_listener, snapshot
from tests.unit.meshproxy.proxy.test_http_failure import settled
from tests.unit.meshproxy.proxy.test_http_proxy import DEAD

__all__ = ["versions"]

RETRY = RetrySettings(frozenset(), num_retries=2, base_interval=0.001, max_interval=0.002)


def retrying(retry_on: str, **changes: object) -> RetrySettings:
    return replace(RETRY, retry_on=frozenset({retry_on}), **changes)  # type: ignore[arg-type]


def first_time(fail: Handler, then: Handler, times: int = 1) -> Handler:
    """`fail` the first `times`, and `then` from there on."""
    count = 0

    async def handle(asked: Asked) -> None:
        nonlocal count
        count += 1
        await (fail if count <= times else then)(asked)

    return handle


async def cut_at_once(asked: Asked) -> None:
    await asked.cut()


async def nothing_is_left(mesh: Mesh) -> None:
    cluster = mesh.live.clusters["a"]
    await settled(lambda: not cluster.active_requests and not cluster.pending_requests)
    assert sum(endpoint.active_requests for endpoint in cluster.endpoints) == 0


# --- retries ---


@pytest.mark.parametrize("trailers", [(), ((b"x-sum", b"abc"),)])
async def test_a_request_is_tried_again_with_its_body(
    versions: Versions, trailers: tuple[tuple[bytes, bytes], ...]
) -> None:
    body = b"x" * 50_000
    handler = first_time(saying(b"busy", 503), echo, times=2)
    config = listener(route(to(A, retry=retrying("5xx"))))
    async with versions.through(handler, config) as (mesh, client, server):
        answer = await client.ask(b"/", method=b"PUT", body=body, trailers=trailers)
        assert (answer.status, answer.body) == (200, body)
        assert [asked.body for asked in server.asked] == [body] * 3
        assert [asked.trailers for asked in server.asked] == [dict(trailers)] * 3
        assert mesh.metric("istio_requests_total") == 1
        assert mesh.metric("meshproxy_upstream_retries_total", cluster="a") == 2
        await nothing_is_left(mesh)


async def test_the_last_answer_is_passed_on_when_retries_end(versions: Versions) -> None:
    config = listener(route(to(A, retry=retrying("5xx"))))
    async with versions.through(saying(b"bad", 500), config) as (mesh, client, server):
        answer = await client.ask()
        assert (answer.status, answer.body) == (500, b"bad")
        assert len(server.asked) == 3
        assert mesh.metric("istio_requests_total", response_code="500", response_flags="URX") == 1


async def test_what_may_have_been_done_is_not_done_again(versions: Versions) -> None:
    config = listener(route(to(A, retry=retrying("5xx"))))
    async with versions.through(saying(b"bad", 500), config) as (_, client, server):
        assert (await client.ask(b"/", method=b"POST", body=b"x")).status == 500
        assert len(server.asked) == 1


async def test_a_reset_before_the_answer_is_retried(versions: Versions) -> None:
    config = listener(route(to(A, retry=retrying("reset"))))
    async with versions.through(first_time(cut_at_once, echo), config) as (_, client, server):
        assert (await client.ask()).status == 200
        assert len(server.asked) == 2
        assert server.asked[0].fields[b"x-request-id"] == server.asked[1].fields[b"x-request-id"]


async def test_a_reset_is_an_answer_of_ours_without_a_retry(versions: Versions) -> None:
    async with versions.through(cut_at_once) as (mesh, client, server):
        for method, body in ((b"GET", None), (b"POST", b"body"), (b"HEAD", None)):
            answer = await client.ask(b"/", method=method, body=body)
            assert (answer.status, answer.is_cut) == (503, False)
            assert answer.body.startswith(b"upstream connect error" if method != b"HEAD" else b"")
        assert len(server.asked) == 3
        assert mesh.metric("istio_requests_total", response_flags="UC", response_code="503") == 3
        await nothing_is_left(mesh)


async def test_a_server_that_cannot_be_reached_is_left_for_another(versions: Versions) -> None:
    config = http_listener(A, retry=retrying("connect-failure"))
    async with (
        versions.serving(echo) as (server,),
        versions.mesh(config, versions.cluster("a", DEAD, server)) as (mesh, client),
    ):
        for _ in range(6):
            answer = await client.ask(b"/", method=b"POST", body=b"body")
            assert (answer.status, answer.body) == (200, b"body")
        assert mesh.metric("meshproxy_upstream_connect_failures_total", cluster="a") >= 2
        await nothing_is_left(mesh)


async def test_attempts_are_counted_in_both_directions(versions: Versions) -> None:
    host = listener(route(to(A, retry=retrying("5xx", num_retries=1))))
    chain = host.filter_chains[0]
    table = chain.network.route_table  # type: ignore[union-attr]
    assert table is not None
    counted = replace(table.virtual_hosts[0], attempt_count_in_request=True, attempt_count_in_response=True)
    network = replace(chain.network, route_table=replace(table, virtual_hosts=(counted,)))
    config = replace(host, filter_chains=(replace(chain, network=network),))
    async with versions.through(saying(b"bad", 500), config) as (_, client, server):
        answer = await client.ask()
        said = [asked.fields[b"x-envoy-attempt-count"] for asked in server.asked]
        assert (said, answer.fields[b"x-envoy-attempt-count"]) == ([b"1", b"2"], b"2")


# --- time ---


async def test_a_slow_attempt_is_given_up_for_another_server(versions: Versions) -> None:
    config = listener(route(to(A, retry=retrying("reset", per_try_timeout=60.0), timeout=0.0)))
    async with versions.serving(never, echo) as servers:
        silent = servers[0]
        async with versions.mesh(config, versions.cluster("a", *servers)) as (mesh, client):
            asking = asyncio.ensure_future(client.ask(b"/", method=b"PUT", body=b"body"))
            await settled(lambda: asking.done() or bool(silent.asked))
            if not silent.asked:  # the other one was first: it is this one's turn
                await asking
                asking = asyncio.ensure_future(client.ask(b"/", method=b"PUT", body=b"body"))
                await silent.until_asked()
            mesh.pass_time(61.0)
            answer = await asking
            assert (answer.status, answer.body) == (200, b"body")
            await nothing_is_left(mesh)


async def test_an_attempt_that_takes_too_long_says_so(versions: Versions) -> None:
    config = listener(route(to(A, retry=retrying("5xx", num_retries=0, per_try_timeout=60.0), timeout=0.0)))
    async with versions.through(never, config) as (mesh, client, server):
        asking = asyncio.ensure_future(client.ask())
        await server.until_asked()
        mesh.pass_time(61.0)
        answer = await asking
        assert (answer.status, answer.body) == (504, b"upstream request timeout: per try timeout")


async def test_a_request_has_its_time(versions: Versions) -> None:
    gone = asyncio.Event()

    async def wait(asked: Asked) -> None:
        await asked.gone()
        gone.set()

    async with versions.through(wait, http_listener(A, timeout=60.0)) as (mesh, client, server):
        asking = asyncio.ensure_future(client.ask(b"/", method=b"POST", body=b"x"))
        await server.until_asked()
        mesh.pass_time(61.0)
        assert (await asking).status == 504
        await asyncio.wait_for(gone.wait(), 30)
        assert mesh.metric("istio_requests_total", response_flags="UT") == 1
        await nothing_is_left(mesh)


async def test_time_that_ends_in_the_middle_of_an_answer_cuts_it(versions: Versions) -> None:
    async def begin(asked: Asked) -> None:
        await asked.begin(200)
        await asked.send(b"half")
        await asked.gone()

    async with versions.through(begin, http_listener(A, timeout=60.0)) as (mesh, client, _):
        talk = await client.start(b"GET", b"/")
        await talk.some(4)
        mesh.pass_time(61.0)
        answer = await talk.answer()
        assert (answer.status, answer.is_cut) == (200, True)
        assert mesh.metric("istio_requests_total", response_code="200", response_flags="UT") == 1
        await nothing_is_left(mesh)


@pytest.mark.parametrize(("is_whole", "status"), [(True, 504), (False, 408)])
async def test_what_does_not_move_is_ended(versions: Versions, is_whole: bool, status: int) -> None:
    async def take(asked: Asked) -> None:
        await asked.whole()
        await asked.gone()

    config = http_listener(A, stream_idle_timeout=60.0, timeout=0)
    async with versions.through(take, config) as (mesh, client, server):
        talk = await client.start(b"POST", b"/", (b"content-length", b"2"), end=False)
        await talk.send(b"xx" if is_whole else b"x")
        if is_whole:
            await talk.end()
        asked = await server.until_asked()
        await settled(lambda: len(asked.body) == (2 if is_whole else 1))
        mesh.pass_time(1.0)  # what came since the last look is seen to have moved
        mesh.pass_time(61.0)
        assert (await talk.answer()).status == status
        assert mesh.metric("istio_requests_total", response_flags="SI") == 1
        await nothing_is_left(mesh)


# --- limits ---


async def test_requests_beyond_the_limit_are_answered_at_once(versions: Versions) -> None:
    async with versions.through(never, max_requests=1) as (mesh, client, server):
        held = await client.start(b"GET", b"/")
        await server.until_asked()
        for _ in range(2):
            assert (await client.ask()).status == 503
        assert mesh.metric("istio_requests_total", response_flags="UO") == 2
        assert mesh.metric("meshproxy_upstream_overflowed_total", cluster="a", limit="requests") == 2
        await held.leave()
        await nothing_is_left(mesh)


async def test_what_cannot_be_routed_is_answered_and_flagged(versions: Versions) -> None:
    config = listener(
        route(to(WeightedCluster("gone", 1)), "/gone"),
        route(to(A), "/empty"),
        route(to(WeightedCluster("a", 0)), "/unweighted"),
    )
    async with versions.mesh(config, versions.cluster("a")) as (mesh, client):
        for path, status, flag in (
            (b"/gone", 503, "NC"),
            (b"/empty", 503, "UH"),
            (b"/unweighted", 500, "NC"),
            (b"/none", 404, "NR"),
        ):
            for body in (None, b"x" * 100_000):
                answer = await client.ask(path, method=b"PUT", body=body)
                assert (answer.status, answer.is_cut) == (status, False)
            labels = {"response_flags": flag, "response_code": str(status)}
            assert mesh.metric("istio_requests_total", **labels) == 2


async def test_heads_beyond_the_limit_are_refused(versions: Versions) -> None:
    config = http_listener(A, max_headers_count=10)
    async with versions.through(echo, config) as (_, client, server):
        many = tuple((b"x-%d" % number, b"1") for number in range(20))
        assert (await client.ask(b"/", *many)).status == 431
        assert (await client.ask(b"/", *many[:8])).status == 200
        assert len(server.asked) == 1


# --- ends ---


async def test_a_client_that_leaves_ends_the_exchange(versions: Versions) -> None:
    gone = asyncio.Event()

    async def wait(asked: Asked) -> None:
        await asked.gone()
        gone.set()

    async with versions.through(wait) as (mesh, client, server):
        talk = await client.start(b"GET", b"/")
        await server.until_asked()
        await talk.leave()
        await asyncio.wait_for(gone.wait(), 30)
        await nothing_is_left(mesh)
        assert mesh.metric("istio_requests_total", response_code="0", response_flags="DC") == 1


async def test_a_client_that_leaves_in_the_middle_of_an_answer_ends_it(versions: Versions) -> None:
    gone = asyncio.Event()

    async def begin(asked: Asked) -> None:
        await asked.begin(200)
        await asked.send(b"half")
        await asked.gone()
        gone.set()

    async with versions.through(begin) as (mesh, client, _):
        talk = await client.start(b"GET", b"/")
        await talk.some(4)
        await client.close()
        await asyncio.wait_for(gone.wait(), 30)
        await nothing_is_left(mesh)
        assert mesh.metric("istio_requests_total", response_code="200", response_flags="DC") == 1


@pytest.mark.parametrize("fields", [(), ((b"content-length", b"1000"),)])
async def test_an_answer_that_is_cut_is_seen_to_be(
    versions: Versions, fields: tuple[tuple[bytes, bytes], ...]
) -> None:
    async def cut(asked: Asked) -> None:
        await asked.begin(200, *fields)
        await asked.send(b"half")
        await asyncio.sleep(0.01)
        await asked.cut()

    async with versions.through(cut, http_listener(A, retry=retrying("5xx"))) as (mesh, client, server):
        answer = await client.ask()
        assert (answer.status, answer.is_cut) == (200, True)
        assert len(server.asked) == 1
        assert mesh.metric("istio_requests_total", response_code="200", response_flags="UC") == 1
        await nothing_is_left(mesh)


async def test_what_is_under_way_is_served_when_the_sidecar_drains(versions: Versions) -> None:
    release = asyncio.Event()

    async def wait(asked: Asked) -> None:
        await release.wait()
        await asked.reply(body=b"done")

    async with versions.through(wait) as (mesh, client, server):
        talk = await client.start(b"GET", b"/")
        await server.until_asked()
        mesh.worker.begin_drain()
        release.set()
        answer = await talk.answer()
        assert (answer.status, answer.body, answer.is_cut) == (200, b"done", False)


async def test_an_endpoint_that_is_removed_serves_what_it_has(versions: Versions) -> None:
    release = asyncio.Event()

    async def wait(asked: Asked) -> None:
        await release.wait()
        await asked.reply(body=b"old")

    async with versions.serving(wait, saying(b"new")) as (old, new):
        config = http_listener(A)
        async with versions.mesh(config, versions.cluster("a", old)) as (mesh, client):
            talk = await client.start(b"GET", b"/")
            await old.until_asked()
            await mesh.worker.apply(snapshot(config, versions.cluster("a", new)))
            assert (await client.ask()).body == b"new"
            release.set()
            assert (await talk.answer()).body == b"old"
