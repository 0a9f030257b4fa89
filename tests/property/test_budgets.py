"""What budgets promise whatever happens: no window holds too many retries, no bucket gives too much."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from meshproxy.config.resilience import CircuitBreakerSettings, RetryBudgetSettings, TokenBucketSettings
from meshproxy.policy.circuit_breaker import Admission, CircuitBreaker
from meshproxy.policy.retry_budget import RetryBudget
from meshproxy.policy.token_bucket import KeyedBuckets, TokenBucket

_traffic = st.lists(
    st.tuples(st.floats(0, 4), st.integers(0, 40), st.integers(0, 30), st.booleans()), max_size=60
)
"""(pause, requests, retries wanted, does the driver tick)."""


@given(
    percent=st.integers(0, 100),
    floor=st.sampled_from([0.0, 0.3, 1.0, 10.0]),
    window=st.sampled_from([1.0, 10.0]),
    traffic=_traffic,
)
def test_retries_of_any_window_stay_within_its_requests_share_and_the_floor(
    percent: int, floor: float, window: float, traffic: list[tuple[float, int, int, bool]]
) -> None:
    settings = RetryBudgetSettings(percent, 10**6, floor, window)
    now = 100.0
    budget = RetryBudget(settings, now)
    requests: list[tuple[float, int]] = []
    retries: list[float] = []
    for pause, count, wanted, ticks in traffic:
        now += pause
        if ticks:
            budget.tick(now)
        budget.requests += count
        requests.append((now, count))
        for _ in range(wanted):
            if not budget.try_acquire(1, 0, now):
                continue
            retries.append(now)
            had = sum(number for at, number in requests if at > now - window - 1e-9)
            granted = sum(at > now - window for at in retries)
            assert granted <= had * percent / 100 + floor * window


@given(percent=st.integers(0, 100), least=st.integers(0, 10), steps=st.lists(st.integers(-3, 3), max_size=80))
def test_retries_under_way_never_exceed_their_share_or_the_least(
    percent: int, least: int, steps: list[int]
) -> None:
    budget = RetryBudget(RetryBudgetSettings(percent, least, None), 0.0)
    active, retries = 50, 0
    for step in steps:
        active = max(retries, active + step)
        if budget.try_acquire(active, retries, 0.0):
            retries += 1
            active += 1
            assert retries <= max(least, active * percent / 100)
        elif retries and step < 0:
            retries -= 1
            active -= 1


@given(
    capacity=st.integers(1, 20),
    fill=st.integers(1, 7),
    interval=st.sampled_from([0.1, 0.3, 1.0, 7.0]),
    takes=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 25)), max_size=60),
)
def test_a_bucket_gives_what_it_held_and_what_came_in_and_says_when_there_is_more(
    capacity: int, fill: int, interval: float, takes: list[tuple[float, int]]
) -> None:
    bucket, now, given_out = TokenBucket(TokenBucketSettings(capacity, fill, interval), 0.0), 0.0, 0
    for pause, tokens in takes:
        now += pause
        before = bucket.remaining(now)
        took = bucket.try_take(now, tokens)
        assert took is (tokens <= before)
        given_out += tokens if took else 0
        assert given_out <= capacity + now * fill / interval + 1e-6
        assert bucket.remaining(now) == before - (tokens if took else 0)
        wait = bucket.retry_after(now)
        assert bucket.remaining(now + wait) >= 1
        now += wait
        assert wait <= bucket.reset(now) + interval + 1


@given(steps=st.lists(st.tuples(st.integers(0, 12), st.floats(0, 2)), max_size=120), limit=st.integers(1, 5))
def test_no_key_gets_more_than_its_bucket_whoever_else_comes(
    steps: list[tuple[int, float]], limit: int
) -> None:
    buckets: KeyedBuckets[int] = KeyedBuckets(TokenBucketSettings(2, 1, 5.0), 0.0, limit)
    now, passed = 0.0, dict.fromkeys(range(13), 0)
    for key, pause in steps:
        now += pause
        passed[key] += buckets.bucket(key, now).try_take(now)
        assert len(buckets) <= limit
        # its own bucket and, while the table was full, the shared one
        assert passed[key] <= 2 * (2 + now / 5.0)


@given(
    threshold=st.integers(1, 4),
    events=st.lists(st.tuples(st.sampled_from("afsx"), st.floats(0, 5)), max_size=100),
    seed=st.integers(0, 1000),
)
def test_never_more_than_one_probe_is_under_way(
    threshold: int, events: list[tuple[str, float]], seed: int
) -> None:
    breaker = CircuitBreaker(CircuitBreakerSettings(threshold, 1.0, 8.0), Random(seed))
    under_way: list[Admission] = []
    now = 0.0
    for event, pause in events:
        now += pause
        if event == "a":
            admission = breaker.try_acquire(now)
            if admission is not Admission.REJECT:
                under_way.append(admission)
        elif under_way:
            admission = under_way.pop(0)
            if event == "f":
                breaker.on_failure(admission, now)
            elif event == "s":
                breaker.on_success(admission)
            else:
                breaker.on_abandoned(admission)
        assert under_way.count(Admission.PROBE) <= 1
        assert breaker.retry_after(now) <= 8.0
