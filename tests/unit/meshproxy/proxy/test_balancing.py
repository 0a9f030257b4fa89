"""How a cluster spreads its requests, as its configuration says; seen from both ends of a worker."""

from __future__ import annotations

import asyncio
from dataclasses import replace as changed

from meshproxy.config.load_balancing import (
    Algorithm,
    LoadBalancing,
    Locality,
    LocalitySpread,
    SlowStart,
    SubsetFallback,
    Subsets,
    SubsetSelector,
)
from meshproxy.config.model import OutlierDetection
from meshproxy.config.resilience import RetryBudgetSettings
from meshproxy.config.route import WeightedCluster
from tests.unit.meshproxy.proxy.harness import (
    Upstream,
    http_listener,
    ok,
    read_head,
    running,
    snapshot,
    static_cluster,
)
from tests.unit.meshproxy.proxy.test_http_proxy import RETRY
from tests.unit.meshproxy.proxy.test_outlier import FAILED, Answers, ManualClock, serving, statuses

A = WeightedCluster("a", 1)


def config(upstreams: list[Upstream], *differences: dict[str, object], **changes: object):
    """Endpoints are the upstreams, each with its differences."""
    endpoints = [
        changed(one.endpoint, **(differences[index] if index < len(differences) else {}))
        for index, one in enumerate(upstreams)
    ]
    return snapshot(http_listener(A, retry=RETRY), static_cluster("a", *endpoints, **changes))


async def test_least_request_avoids_the_busy_endpoint() -> None:
    go_on, idle = asyncio.Event(), Answers()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            await go_on.wait()
            writer.write(ok())

    balancing = LoadBalancing(Algorithm.LEAST_REQUEST, choice_count=20)  # so many draws find both
    async with (
        serving(waits, idle.handle) as upstreams,
        running(config(upstreams, load_balancing=balancing)) as mesh,
    ):
        writers = []
        busy = mesh.live.clusters["a"].endpoints[0]
        while not busy.active_requests:
            _, writer = await mesh.connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            writers.append(writer)
            await asyncio.sleep(0.01)
        before = idle.requests
        assert await statuses(mesh, 30) == {200: 30}
        assert idle.requests - before == 30
        go_on.set()
        for writer in writers:
            writer.close()


async def test_peak_ewma_shuns_the_endpoint_that_fails_fast() -> None:
    """Row 9.20: answers in no time that are all errors must not attract traffic."""
    bad, good = Answers(otherwise=FAILED), Answers()
    balancing = LoadBalancing(Algorithm.PEAK_EWMA)
    async with (
        serving(bad.handle, good.handle) as upstreams,
        running(config(upstreams, load_balancing=balancing)) as mesh,
    ):
        found = await statuses(mesh, 200)
        assert found[500] <= 3
        assert bad.requests <= 3
        assert all(one.is_watched for one in mesh.live.clusters["a"].endpoints)


async def test_peak_ewma_shuns_the_endpoint_that_asks_to_be_left_alone() -> None:
    limited = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n"
    busy, good, clock = Answers(otherwise=limited), Answers(), ManualClock()
    balancing = LoadBalancing(Algorithm.PEAK_EWMA)
    async with (
        serving(busy.handle, good.handle) as upstreams,
        running(config(upstreams, load_balancing=balancing), clock=clock) as mesh,
    ):
        await statuses(mesh, 50)
        assert busy.requests <= 1
        clock.now += 50.0  # far beyond the decay of 10 s
        await statuses(mesh, 50)
        assert busy.requests <= 1


async def test_peak_ewma_prefers_the_fast_one_and_forgets_when_it_is_not_asked_for() -> None:
    clock, fast = ManualClock(), Answers()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            clock.now += 0.2
            writer.write(ok())

    balancing = LoadBalancing(Algorithm.PEAK_EWMA)
    async with serving(slow, fast.handle) as upstreams:
        first = config(upstreams, load_balancing=balancing)
        async with running(first, clock=clock) as mesh:
            await statuses(mesh, 200)
            assert fast.requests >= 180  # row 3.61: less than 10 % for the other
            plain = changed(first.clusters["a"], load_balancing=LoadBalancing())
            await mesh.worker.apply(changed(first, clusters={"a": plain}))
            endpoints = mesh.live.clusters["a"].endpoints
            assert [(one.latency, one.is_watched) for one in endpoints] == [(None, False)] * 2


async def test_weights_and_endpoints_that_discovery_calls_unwell() -> None:
    apps = [Answers() for _ in range(3)]
    async with serving(*(app.handle for app in apps)) as upstreams:
        wanted = config(upstreams, {"weight": 3}, {}, {"healthy": False})
        async with running(wanted) as mesh:
            await statuses(mesh, 40)
            assert [app.requests for app in apps] == [30, 10, 0]


async def test_the_next_priority_serves_when_the_first_cannot() -> None:
    first, second = Answers(otherwise=FAILED), Answers()
    outlier = OutlierDetection(consecutive_5xx=2, max_ejection_percent=100)
    async with (
        serving(first.handle, second.handle) as upstreams,
        running(config(upstreams, {}, {"priority": 1}, outlier_detection=outlier)) as mesh,
    ):
        assert await statuses(mesh, 20) == {500: 2, 200: 18}
        assert not mesh.live.clusters["a"].is_panicking


async def test_localities_by_weight() -> None:
    apps = [Answers() for _ in range(3)]
    near = {"locality": Locality("r", "near"), "locality_weight": 3}
    far = {"locality": Locality("r", "far"), "locality_weight": 1}
    balancing = LoadBalancing(locality=LocalitySpread.WEIGHTED)
    async with (
        serving(*(app.handle for app in apps)) as upstreams,
        running(config(upstreams, near, far, far, load_balancing=balancing)) as mesh,
    ):
        await statuses(mesh, 400)
        assert apps[0].requests == 300
        assert apps[1].requests + apps[2].requests == 100


async def test_subsets_by_the_labels_that_a_route_asks_for() -> None:
    v1, v2 = Answers(), Answers()
    balancing = LoadBalancing(
        subsets=Subsets(
            (SubsetSelector(frozenset({"version"}), SubsetFallback.NO_FALLBACK),), SubsetFallback.ANY_ENDPOINT
        )
    )
    labels = [{"labels": (("version", "v1"),)}, {"labels": (("version", "v2"),)}]
    async with serving(v1.handle, v2.handle) as upstreams:
        cluster = config(upstreams, *labels, load_balancing=balancing).clusters["a"]
        for wanted, expected in (("v2", {200: 6}), ("v9", {503: 6})):
            target = WeightedCluster("a", 1, metadata_match=(("version", wanted),))
            async with running(snapshot(http_listener(target), cluster)) as mesh:
                assert await statuses(mesh, 6) == expected
        assert (v1.requests, v2.requests) == (0, 6)
        async with running(snapshot(http_listener(A), cluster)) as mesh:
            await statuses(mesh, 6)
        assert (v1.requests, v2.requests) == (3, 9)


async def test_a_new_endpoint_gets_its_share_little_by_little() -> None:
    old, new, clock = Answers(), Answers(), ManualClock()
    balancing = LoadBalancing(slow_start=SlowStart(window=100.0))
    async with serving(old.handle, new.handle) as upstreams:
        before = config(upstreams[:1], load_balancing=balancing)
        async with running(before, clock=clock) as mesh:
            clock.now += 200.0
            after = config(upstreams, load_balancing=balancing)
            await mesh.worker.apply(changed(after, listeners=before.listeners))
            clock.now += 25.0
            await statuses(mesh, 100)
            assert 15 <= new.requests <= 25
            clock.now += 100.0
            before_count = new.requests
            await statuses(mesh, 100)
            assert new.requests - before_count == 50


async def test_success_rates_and_failure_percentages_eject_at_the_end_of_an_interval() -> None:
    clock = ManualClock()
    apps = [Answers(dict.fromkeys(range(0, 60, 2), FAILED)), *(Answers() for _ in range(4))]
    outlier = OutlierDetection(
        consecutive_5xx=0,
        enforcing_failure_percentage=100,
        failure_percentage_threshold=40,
        failure_percentage_request_volume=10,
        max_ejection_percent=50,
    )
    async with (
        serving(*(app.handle for app in apps)) as upstreams,
        running(config(upstreams, outlier_detection=outlier), clock=clock) as mesh,
    ):
        assert await statuses(mesh, 100) == {200: 90, 500: 10}
        clock.now += 10.1
        async with asyncio.timeout(30):
            while not mesh.live.clusters["a"].ejected:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert mesh.live.clusters["a"].endpoints[0].health.is_ejected
        assert await statuses(mesh, 20) == {200: 20}


async def test_retries_stay_within_the_budget_whatever_fails() -> None:
    """Row 3.37: everything fails, and the upstream sees a fifth more, and the floor."""
    resets, clock = Answers(otherwise=b""), ManualClock()
    budget = RetryBudgetSettings(budget_percent=20.0, min_concurrency=3, min_per_second=1.0, window=10.0)
    async with (
        serving(resets.handle) as upstreams,
        running(config(upstreams, retry_budget=budget, max_retries=0), clock=clock) as mesh,
    ):
        await statuses(mesh, 200)
        retries = mesh.metric("meshproxy_upstream_retries_total", cluster="a")
        assert 10 <= retries <= 200 * 0.2 + 10
        assert resets.requests == 200 + retries
        assert mesh.metric("meshproxy_upstream_retries_overflowed_total", cluster="a") >= 100
        assert mesh.live.clusters["a"].active_retries == 0
