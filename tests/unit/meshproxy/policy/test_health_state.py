"""What results make of an endpoint: rows of (result, transition, healthy)."""

from random import Random

import pytest

from meshproxy.config.resilience import HealthCheckSettings
from meshproxy.errors import ConfigError
from meshproxy.policy.health_state import CheckResult, HealthState, HealthTransition

OK, DEGRADED, UNWELL = CheckResult.SUCCESS, CheckResult.DEGRADED, CheckResult.UNWELL
RETRIABLE, NETWORK = CheckResult.RETRIABLE, CheckResult.NETWORK
NONE, PENDING, CHANGED = HealthTransition.NONE, HealthTransition.PENDING, HealthTransition.CHANGED
EDGES = HealthCheckSettings(
    interval=10.0,
    unhealthy_interval=5.0,
    unhealthy_edge_interval=1.0,
    healthy_edge_interval=2.0,
    no_traffic_healthy_interval=90.0,
)


@pytest.mark.parametrize(
    "rows",
    [
        [(OK, CHANGED, True), (OK, NONE, True)],  # the first check alone decides
        [(NETWORK, NONE, False), (OK, PENDING, False), (OK, CHANGED, True)],
        [(OK, CHANGED, True), (NETWORK, PENDING, True), (NETWORK, PENDING, True), (NETWORK, CHANGED, False)],
        [(OK, CHANGED, True), (NETWORK, PENDING, True), (OK, NONE, True), (NETWORK, PENDING, True)],
        [(OK, CHANGED, True), (RETRIABLE, PENDING, True), (UNWELL, CHANGED, False), (UNWELL, NONE, False)],
        [(NETWORK, NONE, False), (OK, PENDING, False), (NETWORK, NONE, False), (OK, PENDING, False)],
        [(DEGRADED, CHANGED, True), (DEGRADED, NONE, True), (OK, CHANGED, True)],
    ],
)
def test_results(rows: list[tuple[CheckResult, HealthTransition, bool]]) -> None:
    state = HealthState(HealthCheckSettings())
    assert (state.is_pending, state.is_healthy) == (True, False)
    for result, transition, is_healthy in rows:
        assert (state.on_result(result), state.is_healthy) == (transition, is_healthy)
        assert state.is_degraded is (result is DEGRADED)
    assert not state.is_pending


def test_who_says_it_is_going_is_out_at_once_until_it_is_well_again() -> None:
    state = HealthState(HealthCheckSettings())
    state.on_result(OK)
    assert (state.fail_immediately(), state.is_healthy, state.is_excluded) == (CHANGED, False, True)
    assert state.fail_immediately() is NONE
    assert [state.on_result(OK) for _ in range(2)] == [PENDING, CHANGED]
    assert (state.is_healthy, state.is_excluded) == (True, False)


@pytest.mark.parametrize(
    ("results", "interval", "quiet"),
    [
        ([OK], 10.0, 90.0),
        ([UNWELL], 5.0, 60.0),
        ([OK, NETWORK], 1.0, 60.0),
        ([UNWELL, OK], 2.0, 90.0),
        ([OK, UNWELL], 5.0, 60.0),
    ],
)
def test_the_interval_follows_the_last_result(
    results: list[CheckResult], interval: float, quiet: float
) -> None:
    state = HealthState(EDGES)
    for result in results:
        state.on_result(result)
    assert state.next_interval(True, Random(1)) == interval
    assert state.next_interval(False, Random(1)) == quiet


@pytest.mark.parametrize(("results", "interval"), [([OK, NETWORK], 10.0), ([UNWELL, OK], 10.0)])
def test_intervals_that_are_not_set_are_the_ordinary_one(results: list[CheckResult], interval: float) -> None:
    state = HealthState(HealthCheckSettings())
    for result in results:
        state.on_result(result)
    assert state.next_interval(True, Random(1)) == interval
    assert state.next_interval(False, Random(1)) == 60.0


def test_jitter_spreads_checks() -> None:
    settings = HealthCheckSettings(
        interval=10.0, initial_jitter=3.0, interval_jitter=1.0, interval_jitter_percent=20
    )
    state, rng = HealthState(settings), Random(1)
    first = [state.first_delay(rng) for _ in range(300)]
    later = [state.next_interval(True, rng) for _ in range(300)]
    assert 0 <= min(first) < 0.1 < 2.9 < max(first) < 3.0
    assert 10 <= min(later) < 10.1 < 12.9 < max(later) < 13.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"timeout": 0.0}, "timeout 0.0 s"),
        ({"unhealthy_edge_interval": -1.0}, "unhealthy_edge_interval -1"),
        ({"healthy_threshold": 0}, "healthy_threshold 0"),
        ({"interval_jitter": -1.0}, "interval_jitter -1"),
        ({"interval_jitter_percent": 101}, "interval_jitter_percent 101"),
    ],
)
def test_senseless_settings_are_refused(kwargs: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HealthCheckSettings(**kwargs)  # type: ignore[arg-type]
