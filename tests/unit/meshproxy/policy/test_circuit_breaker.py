"""Closed, open, one probe: rows of (now, event, state)."""

from random import Random

import pytest

from meshproxy.config.resilience import CircuitBreakerSettings
from meshproxy.errors import ConfigError
from meshproxy.policy.circuit_breaker import Admission, BreakerState, CircuitBreaker

PASS, PROBE, REJECT = Admission.PASS, Admission.PROBE, Admission.REJECT
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
STEADY = CircuitBreakerSettings(failure_threshold=3, base_open=10.0, max_open=60.0, jitter=0.0)


def _open(breaker: CircuitBreaker, now: float = 0.0) -> None:
    results = [breaker.on_failure(PASS, now) for _ in range(breaker.settings.failure_threshold)]
    assert results == [False] * (len(results) - 1) + [True]


def test_failures_in_a_row_open_it_and_a_success_starts_the_count_again() -> None:
    breaker = CircuitBreaker(STEADY, Random(1))
    assert breaker.try_acquire(0.0) is PASS
    breaker.on_failure(PASS, 0.0)
    breaker.on_failure(PASS, 0.0)
    breaker.on_success(PASS)
    assert breaker.state(0.0) is CLOSED
    _open(breaker)
    assert (breaker.state(0.0), breaker.try_acquire(9.9)) == (OPEN, REJECT)
    assert (breaker.retry_after(4.0), breaker.retry_after(11.0)) == (6.0, 0.0)


def test_exactly_one_probe_passes_and_its_success_closes() -> None:
    breaker = CircuitBreaker(STEADY, Random(1))
    _open(breaker)
    assert breaker.state(10.0) is HALF_OPEN
    assert [breaker.try_acquire(10.0) for _ in range(4)] == [PROBE, REJECT, REJECT, REJECT]
    breaker.on_success(PROBE)
    assert (breaker.state(10.0), breaker.try_acquire(10.0), breaker.retry_after(10.0)) == (CLOSED, PASS, 0.0)
    _open(breaker, 20.0)
    assert breaker.retry_after(20.0) == 10.0  # the past is forgotten


def test_every_failed_probe_doubles_the_time_up_to_the_maximum() -> None:
    breaker, now, lengths = CircuitBreaker(STEADY, Random(1)), 0.0, []
    _open(breaker)
    for _ in range(5):
        lengths.append(breaker.retry_after(now))
        now += lengths[-1]
        assert breaker.try_acquire(now) is PROBE
        assert breaker.on_failure(PROBE, now)
    assert lengths == [10.0, 20.0, 40.0, 60.0, 60.0]


def test_an_abandoned_probe_lets_the_next_one_pass() -> None:
    breaker = CircuitBreaker(STEADY, Random(1))
    _open(breaker)
    assert breaker.try_acquire(10.0) is PROBE
    breaker.on_abandoned(PROBE)
    breaker.on_abandoned(PASS)
    assert breaker.try_acquire(10.0) is PROBE


def test_results_of_requests_from_before_neither_close_nor_prolong() -> None:
    breaker = CircuitBreaker(STEADY, Random(1))
    _open(breaker)
    breaker.on_success(PASS)
    assert not breaker.on_failure(PASS, 5.0)
    assert breaker.retry_after(0.0) == 10.0
    assert breaker.try_acquire(10.0) is PROBE
    breaker.on_success(PASS)
    assert breaker.try_acquire(10.0) is REJECT


def test_jitter_spreads_without_passing_the_bounds() -> None:
    settings = CircuitBreakerSettings(failure_threshold=1, base_open=10.0, max_open=60.0, jitter=0.5)
    first, last = [], []
    for seed in range(200):
        breaker, now = CircuitBreaker(settings, Random(seed)), 0.0
        _open(breaker)
        first.append(breaker.retry_after(now))
        for _ in range(70):
            now += breaker.retry_after(now)
            assert breaker.try_acquire(now) is PROBE
            breaker.on_failure(PROBE, now)
        last.append(breaker.retry_after(now))
    assert 10.0 <= min(first) < 10.5
    assert 14.5 < max(first) <= 15.0
    assert 40.0 <= min(last) < 41.0
    assert 59.0 < max(last) <= 60.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"failure_threshold": 0}, "failure_threshold 0"),
        ({"base_open": 0.0}, "base_open 0.0 s"),
        ({"base_open": 2.0, "max_open": 1.0}, "max_open 1.0 s"),
        ({"jitter": 1.5}, "jitter 1.5"),
    ],
)
def test_senseless_settings_are_refused(kwargs: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CircuitBreakerSettings(**kwargs)  # type: ignore[arg-type]
