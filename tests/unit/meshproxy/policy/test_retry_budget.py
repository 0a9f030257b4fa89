"""How many retries a budget grants: rows of (requests, under way, now, granted)."""

import pytest

from meshproxy.config.resilience import RetryBudgetSettings
from meshproxy.errors import ConfigError
from meshproxy.policy.retry_budget import RetryBudget

ENVOY = RetryBudgetSettings(min_per_second=None)


@pytest.mark.parametrize(
    ("active", "retries", "granted"),
    [(0, 0, True), (10, 2, True), (10, 3, False), (20, 3, True), (20, 4, False), (19, 3, False)],
)
def test_as_envoy_a_share_of_what_is_under_way_or_the_least_number(
    active: int, retries: int, granted: bool
) -> None:
    assert RetryBudget(ENVOY, 0.0).try_acquire(active, retries, 0.0) is granted


def test_a_window_bounds_short_retries() -> None:
    budget = RetryBudget(RetryBudgetSettings(min_per_second=1.0), 100.0)
    budget.requests += 50
    granted = [budget.try_acquire(1, 0, 100.0) for _ in range(30)]
    assert granted == [True] * 20 + [False] * 10  # 20 % of 50, and 1/s for 10 s


def test_requests_and_retries_of_an_old_window_are_forgotten() -> None:
    budget = RetryBudget(RetryBudgetSettings(min_per_second=0.0), 0.0)
    budget.requests += 10
    assert [budget.try_acquire(1, 0, 0.5) for _ in range(3)] == [True, True, False]
    budget.tick(9.9)
    assert not budget.try_acquire(1, 0, 9.9)
    budget.requests += 10
    budget.tick(10.0)
    budget.requests += 10
    budget.tick(12.0)
    assert [budget.try_acquire(1, 0, 12.0) for _ in range(5)] == [True] * 4 + [False]
    assert not budget.try_acquire(1, 0, 60.0)


def test_requests_count_from_the_last_tick_on_never_later() -> None:
    budget = RetryBudget(RetryBudgetSettings(min_per_second=0.0), 0.0)
    budget.requests += 1000
    assert not budget.try_acquire(1, 0, 11.0)  # nobody ticked: they may all be old


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"budget_percent": 101.0}, "percent 101"),
        ({"min_concurrency": -1}, "min_retry_concurrency -1"),
        ({"min_per_second": -1.0}, "min_per_second -1"),
        ({"window": 0.0}, "window 0.0 s"),
    ],
)
def test_senseless_settings_are_refused(kwargs: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RetryBudgetSettings(**kwargs)  # type: ignore[arg-type]
