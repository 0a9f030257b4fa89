"""Peaks count at once, fade with time; failures are long answers."""

import pytest

from meshproxy.policy.latency import MAX_HOLD, LatencyEstimate


def test_a_peak_counts_at_once_and_good_answers_win_slowly() -> None:
    estimate = LatencyEstimate(10.0, 0.03, 0.0)
    assert estimate.seconds(0.0) == 0.03
    estimate.observe(0.2, 1.0)
    assert estimate.seconds(1.0) == 0.2
    estimate.observe(0.01, 1.0)  # in the same moment it weighs nothing
    assert estimate.seconds(1.0) == 0.2
    estimate.observe(0.01, 11.0)
    assert 0.01 < estimate.seconds(11.0) < 0.2


def test_it_fades_by_the_decay_time() -> None:
    estimate = LatencyEstimate(10.0, 1.0, 0.0)
    assert estimate.seconds(10.0) == pytest.approx(0.3679, abs=1e-4)
    assert estimate.seconds(1000.0) < 1e-9


def test_a_failure_is_a_long_answer_and_holds_while_the_peer_asked() -> None:
    estimate = LatencyEstimate(10.0, 0.03, 0.0)
    estimate.penalize(5.0, 0.0, hold=20.0)
    estimate.observe(0.001, 19.0)
    assert estimate.seconds(20.0) == 5.0
    assert estimate.seconds(30.0) == pytest.approx(5 * 0.3679, abs=1e-3)
    estimate.penalize(5.0, 30.0)
    assert estimate.seconds(31.0) < 5.0


def test_no_peer_silences_itself_for_longer_than_allowed() -> None:
    estimate = LatencyEstimate(10.0, 0.03, 0.0)
    estimate.penalize(5.0, 0.0, hold=1e9)
    assert estimate.held_until == MAX_HOLD
