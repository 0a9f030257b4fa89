"""Medians, nearest-rank percentiles, ratios."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import statistic

FINITE = st.floats(min_value=-1e9, max_value=1e9)


def test_a_spread_is_median_minimum_and_maximum():
    assert statistic.spread([3.0, 1.0, 2.0]) == statistic.Spread(2.0, 1.0, 3.0)
    assert statistic.spread([1.0, 2.0]).median == 1.5


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 10.0), (50, 50.0), (90, 90.0), (99, 100.0), (99.9, 100.0), (100, 100.0)]
)
def test_a_percentile_is_a_value_that_was_seen(percent, expected):
    assert statistic.percentile([float(10 * n) for n in range(1, 11)], percent) == expected


@given(st.lists(FINITE, min_size=1), st.floats(min_value=0.1, max_value=100.0))
def test_at_least_that_share_does_not_exceed_a_percentile(values, percent):
    found = statistic.percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) * (1 - 1e-12)


def test_nothing_measured_is_an_error():
    for call in (statistic.spread, lambda values: statistic.percentile(values, 50)):
        with pytest.raises(ValueError, match="measured nothing"):
            call([])


@pytest.mark.parametrize("percent", [0.0, -1.0, 100.1])
def test_a_percentile_is_within_100(percent):
    with pytest.raises(ValueError, match="percentile"):
        statistic.percentile([1.0], percent)


def test_a_ratio_compares_medians():
    assert statistic.ratio([10.0, 20.0, 900.0], [5.0, 10.0, 10.0]) == 2.0


def test_there_is_no_ratio_to_nothing():
    with pytest.raises(ValueError, match="no work"):
        statistic.ratio([1.0], [0.0])


def test_steps_in_turn_are_slower_than_the_slowest():
    assert statistic.harmonic_sum_rate([100.0, 100.0]) == pytest.approx(50.0)
    assert statistic.harmonic_sum_rate([300.0, 150.0]) == pytest.approx(100.0)
