"""What a cluster promises whatever its endpoints do: ejections under the cap, one probe a breaker, retries
within the budget, and nothing held back once all attempts are over."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from meshproxy.clock import Clock
from meshproxy.config.load_balancing import Algorithm, LoadBalancing
from meshproxy.config.model import Cluster, ClusterType, Endpoint, OutlierDetection
from meshproxy.config.resilience import CircuitBreakerSettings, RetryBudgetSettings
from meshproxy.http.codec import scan_codec
from meshproxy.http.events import ResponseHead
from meshproxy.http.h2.message import Messages
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from meshproxy.policy.outlier import FailureKind
from meshproxy.tasks import TaskGroupRegistry
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.connector import Connector
from meshproxy.upstream.endpoint import EndpointRuntime
from meshproxy.upstream.pool import PoolSettings
from meshproxy.upstream.services import UpstreamServices

HERE = ("", 0)
OUTLIER = OutlierDetection(consecutive_5xx=2, always_eject_one_host=True, max_ejection_percent=40)
BREAKER = CircuitBreakerSettings(failure_threshold=3, base_open=1.0, max_open=8.0)
BUDGET = RetryBudgetSettings(budget_percent=20.0, min_concurrency=3, min_per_second=1.0, window=10.0)


class SimulatedClock(Clock):
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def _cluster(size: int, algorithm: Algorithm, clock: Clock, *, has_breaker: bool) -> ClusterRuntime:
    services = UpstreamServices(
        Connector(lambda alpn: None, lambda peer: ""),
        clock,
        TaskGroupRegistry(),
        scan_codec(HeadMemory(), HeadLimits()),
        Messages(HeadMemory().requests(HeadLimits()), HeadMemory().responses(HeadLimits())),
        random.Random(1),
        PoolSettings(),
        lambda name, error: None,
        lambda name, event, ejected: None,
    )
    config = Cluster(
        "a",
        ClusterType.STATIC,
        endpoints=tuple(Endpoint(f"10.0.0.{number}", 80) for number in range(size)),
        load_balancing=LoadBalancing(algorithm),
        outlier_detection=OUTLIER,
        circuit_breaker=BREAKER if has_breaker else None,
        retry_budget=BUDGET,
    )
    runtime = ClusterRuntime(config, services)
    runtime.update(config, config.endpoints)
    return runtime


def _head(status: int) -> ResponseHead:
    head = ResponseHead()
    head.status, head.headers = status, ()
    return head


_step = st.one_of(
    st.tuples(st.just("begin"), st.integers(1, 8)),
    st.tuples(st.sampled_from(["good", "bad", "lost", "over"]), st.integers(0, 30)),
    st.tuples(st.just("pass"), st.integers(1, 50)),
    st.tuples(st.just("retry"), st.integers(1, 20)),
)


@settings(max_examples=150)
@given(
    size=st.integers(1, 8),
    algorithm=st.sampled_from(list(Algorithm)),
    has_breaker=st.booleans(),
    steps=st.lists(_step, max_size=80),
)
def test_whatever_happens(
    size: int, algorithm: Algorithm, has_breaker: bool, steps: list[tuple[str, int]]
) -> None:
    clock = SimulatedClock()
    cluster = _cluster(size, algorithm, clock, has_breaker=has_breaker)
    under_way: list[tuple[EndpointRuntime, object]] = []
    retries: list[float] = []
    requests: list[float] = []
    for what, number in steps:
        match what:
            case "begin":
                for _ in range(number):
                    cluster.exchanges += 1
                    requests.append(clock.now)
                    endpoint = cluster.pick((), HERE)
                    if endpoint is None:
                        continue
                    attempt = object()
                    if endpoint.is_watched:
                        cluster.on_attempt_begun(endpoint, attempt)
                    under_way.append((endpoint, attempt))
            case "pass":
                clock.now += number / 10
                cluster.sweep(clock.now)
            case "retry":
                for _ in range(number):
                    if cluster.try_acquire_retry():
                        cluster.release_retry()
                        retries.append(clock.now)
            case _:
                if under_way:
                    _end(cluster, what, *under_way.pop(number % len(under_way)))
        _check(cluster, clock.now, size, requests, retries, {id(attempt) for _, attempt in under_way})
    for endpoint, attempt in under_way:
        _end(cluster, "over", endpoint, attempt)
    assert all(one.prober is None for one in cluster.endpoints)
    clock.now += 1_000.0
    cluster.sweep(clock.now)
    assert cluster.pick((), HERE) is not None  # everybody has another chance


def _end(cluster: ClusterRuntime, how: str, endpoint: EndpointRuntime, attempt: object) -> None:
    if how == "lost":
        cluster.on_attempt_failed(endpoint, FailureKind.LOCAL, attempt)
    elif how == "over":
        if endpoint.is_watched:
            cluster.on_attempt_over(endpoint, attempt)
    elif how == "bad" or endpoint.is_watched:
        status = 500 if how == "bad" else 200
        cluster.on_answer(endpoint, _head(status), status, 0.01, attempt)


def _check(
    cluster: ClusterRuntime,
    now: float,
    size: int,
    requests: list[float],
    retries: list[float],
    under_way: set[int],
) -> None:
    endpoints = cluster.endpoints
    assert cluster.ejected == sum(one.health.is_ejected for one in endpoints)
    assert cluster.ejected <= max(1, size * OUTLIER.max_ejection_percent // 100)
    assert all(one.prober is None or id(one.prober) in under_way for one in endpoints)
    granted = retries[-1] if retries else now  # requests that were there then may be out of the window now
    recent = sum(at > granted - BUDGET.window for at in retries)
    had = sum(granted - BUDGET.window - 1.0 < at <= granted for at in requests)
    assert recent <= had * 0.2 + 10.0
    assert cluster.active_retries == 0
