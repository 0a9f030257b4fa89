"""What policies promise for any sequence of inputs: bounds, limits, punctuality."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import WeightedCluster
from meshproxy.policy.backoff import BackoffSettings
from meshproxy.policy.retry import RETRY_CONDITIONS, AttemptFailure, RetryPolicy, RetryState, RetryVerdict
from meshproxy.policy.retry_condition import MAY_HAVE_BEEN_PROCESSED
from meshproxy.policy.timeout_wheel import TimeoutWheel, Timer
from meshproxy.routing.cluster_choice import ClusterChoice

_weights = st.lists(st.integers(0, 20), min_size=1, max_size=8)
_seeds = st.integers(0, 2**32)


@given(weights=_weights)
def test_a_split_gives_every_cluster_its_share_of_the_unit_interval(weights: list[int]) -> None:
    choice = ClusterChoice(WeightedCluster(f"c{index}", weight) for index, weight in enumerate(weights))
    total = sum(weights)
    steps = max(total, 1) * 4
    picks = [choice.pick((step + 0.5) / steps) for step in range(steps)]
    if not total:
        assert set(picks) == {None}
        return
    for index, weight in enumerate(weights):
        assert picks.count(f"c{index}") == weight * 4


@given(
    weights=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5),
    value=st.one_of(st.floats(0, 1, exclude_max=True), st.just(1 - 2**-53)),
)
def test_a_cluster_without_weight_is_never_chosen(weights: list[int], value: float) -> None:
    chosen = ClusterChoice(WeightedCluster(str(index), weight) for index, weight in enumerate(weights)).pick(
        value
    )
    assert weights[int(chosen)] > 0 if chosen is not None else not any(weights)


@given(
    base=st.floats(1e-6, 10),
    factor=st.floats(1, 1e6),
    attempt=st.one_of(st.integers(1, 80), st.integers(1, 10**6)),
    seed=_seeds,
)
def test_backoff_stays_within_its_bounds(base: float, factor: float, attempt: int, seed: int) -> None:
    backoff = BackoffSettings(base, base * factor)
    delay = backoff.delay(attempt, Random(seed))
    assert 0 <= delay <= backoff.cap
    if attempt < 50:
        assert delay <= base * (2**attempt - 1)


_failures = st.tuples(st.sampled_from(AttemptFailure), st.booleans(), st.booleans())


@given(
    retry_on=st.frozensets(st.sampled_from(sorted(RETRY_CONDITIONS))),
    limit=st.integers(0, 5),
    method=st.sampled_from([b"GET", b"POST", b"PUT", b"PATCH"]),
    trace=st.lists(_failures, max_size=20),
)
def test_retries_never_exceed_the_limit_and_never_repeat_what_may_have_been_processed(
    retry_on: frozenset[str], limit: int, method: bytes, trace: list[tuple[AttemptFailure, bool, bool]]
) -> None:
    state, granted = RetryState(RetryPolicy(RetrySettings(retry_on, limit)), method), 0
    for failure, started, replayable in trace:
        if (
            state.decide(failure, response_started=started, body_replayable=replayable)
            is not RetryVerdict.RETRY
        ):
            continue
        granted += 1
        assert not started
        assert replayable
        assert failure not in MAY_HAVE_BEEN_PROCESSED or method in (b"GET", b"PUT")
    assert granted == state.retries <= limit


_step = st.tuples(
    st.floats(0, 3),  # seconds until the next step
    st.floats(-1, 10),  # deadline, from then
    st.integers(0, 30),  # a timer to cancel, if it exists
)


@settings(max_examples=200)
@given(
    tick=st.sampled_from([0.05, 0.1, 0.3, 1.0]), start=st.floats(0, 1e6), steps=st.lists(_step, max_size=30)
)
def test_the_wheel_is_never_early_at_most_a_tick_late_and_respects_cancels(
    tick: float, start: float, steps: list[tuple[float, float, int]]
) -> None:
    wheel: TimeoutWheel[int] = TimeoutWheel(start, tick)
    now, timers = start, list[Timer[int]]()
    scheduled_at, gone = dict[int, float](), set[int]()
    for pause, delay, cancel in steps:
        now += pause
        for token in wheel.advance(now):
            assert token not in gone
            gone.add(token)
            assert timers[token].deadline_at < now
        for token, timer in enumerate(timers):
            due_at = max(timer.deadline_at, scheduled_at[token]) + tick
            assert token in gone or due_at > now - 1e-6, "later than a tick"
            assert timer.is_pending is (token not in gone)
        scheduled_at[len(timers)] = now
        timers.append(wheel.schedule(max(0.0, now + delay), len(timers)))
        if cancel < len(timers):
            wheel.cancel(timers[cancel])
            gone.add(cancel)
        assert wheel.is_empty is (len(gone) == len(timers))
