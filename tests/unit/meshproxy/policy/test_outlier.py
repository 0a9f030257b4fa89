"""Which endpoints are ejected when, and for how long: rows of (now, event, expected)."""

from dataclasses import replace
from random import Random

import pytest

from meshproxy.config.model import OutlierDetection
from meshproxy.policy.outlier import EndpointHealth, OutlierDetector, OutlierEvent

MESH_DEFAULT = OutlierDetection(always_eject_one_host=True)
EJECTED, CAPPED = OutlierEvent.EJECTED, OutlierEvent.CAPPED


def _detector(
    settings: OutlierDetection = MESH_DEFAULT, size: int = 3, now: float = 0.0
) -> tuple[OutlierDetector, list[EndpointHealth]]:
    detector, members = OutlierDetector(settings, now, Random(1)), [EndpointHealth() for _ in range(size)]
    detector.set_members(members)
    return detector, members


def _eject(detector: OutlierDetector, health: EndpointHealth, now: float) -> None:
    for _ in range(detector.settings.consecutive_5xx - 1):
        assert detector.on_failure(health, now) is None
    assert detector.on_failure(health, now) is EJECTED


def test_five_failures_in_a_row_eject() -> None:
    detector, (bad, *others) = _detector()
    rows = [(1.0, None), (2.0, None), (3.0, None), (4.0, None), (5.0, EJECTED), (6.0, None)]
    assert [(now, detector.on_failure(bad, now)) for now, _ in rows] == rows
    assert (bad.is_ejected, bad.ejections, detector.ejected) == (True, 1, 1)
    assert not any(health.is_ejected for health in others)


def test_a_success_starts_the_count_again() -> None:
    detector, (bad, *_) = _detector()
    for _ in range(4):
        detector.on_failure(bad, 0.0)
    bad.failures = 0  # what who sees a success does
    assert [detector.on_failure(bad, 1.0) for _ in range(5)] == [None, None, None, None, EJECTED]


def test_failures_of_others_do_not_add_up() -> None:
    detector, members = _detector()
    assert [detector.on_failure(health, 0.0) for _ in range(4) for health in members] == [None] * 12


@pytest.mark.parametrize(
    ("now", "is_back"),
    [(10.0, False), (25.0, False), (31.9, False), (32.0, True), (300.0, True)],
)
def test_an_ejection_lasts_the_base_time_and_ends_with_a_sweep(now: float, is_back: bool) -> None:
    detector, (bad, *_) = _detector()
    _eject(detector, bad, 2.0)
    assert detector.sweep(now) == is_back
    assert bad.is_ejected is not is_back
    assert detector.ejected == (not is_back)
    assert bad.failures == 0


def test_a_sweep_acts_once_an_interval() -> None:
    detector, (bad, *_) = _detector(now=100.0)
    _eject(detector, bad, 101.0)
    returned = {now: detector.sweep(now) for now in (105.0, 109.9, 110.0, 120.0, 130.0, 131.0, 139.0, 140.0)}
    assert [now for now, count in returned.items() if count] == [140.0]  # due at 131, between two sweeps


def test_each_further_ejection_is_longer_up_to_the_maximum() -> None:
    detector, (bad, *_) = _detector(replace(MESH_DEFAULT, interval=1.0, max_ejection_time=100.0))
    now, lasted = 0.0, []
    for _ in range(6):
        _eject(detector, bad, now)
        lasted.append(detector.ejection_time(bad))
        now += lasted[-1]
        assert detector.sweep(now - 0.5) == 0
        assert detector.sweep(now + 0.5) == 1
        now += 0.5
    assert lasted == [30.0, 60.0, 90.0, 100.0, 100.0, 100.0]


def test_good_conduct_shortens_the_next_ejection() -> None:
    detector, (bad, *_) = _detector()
    now = 0.0
    for _ in range(3):
        _eject(detector, bad, now)
        now += 90.0
        assert detector.sweep(now) == 1
    assert bad.multiplier == 3
    for expected in (2, 1, 0, 0):
        now += 10.0
        assert detector.sweep(now) == 0
        assert bad.multiplier == expected
    _eject(detector, bad, now)
    assert detector.ejection_time(bad) == 30.0
    assert bad.ejections == 4


@pytest.mark.parametrize(
    ("size", "percent", "always_one", "cap"),
    [
        (1, 10, True, 1),
        (3, 10, True, 1),
        (3, 10, False, 0),
        (9, 10, False, 0),
        (10, 10, False, 1),
        (19, 10, True, 1),
        (20, 10, True, 2),
        (4, 50, True, 2),
        (3, 100, False, 3),
        (3, 0, False, 0),
        (3, 0, True, 1),
    ],
)
def test_no_more_are_ejected_than_the_percentage_allows(
    size: int, percent: int, always_one: bool, cap: int
) -> None:
    settings = OutlierDetection(max_ejection_percent=percent, always_eject_one_host=always_one)
    detector, members = _detector(settings, size)
    events = [detector.on_failure(health, 0.0) for health in members for _ in range(5)]
    assert detector.ejected == sum(health.is_ejected for health in members) == cap
    assert (events.count(EJECTED), events.count(CAPPED)) == (cap, size - cap)


def test_one_refused_at_the_cap_is_ejected_after_as_many_failures_once_there_is_room() -> None:
    detector, (first, second, _) = _detector()
    _eject(detector, first, 0.0)
    assert [detector.on_failure(second, 1.0) for _ in range(5)][-1] is CAPPED
    assert detector.sweep(30.0) == 1
    _eject(detector, second, 31.0)


def test_zero_failures_never_eject() -> None:
    detector, (bad, *_) = _detector(replace(MESH_DEFAULT, consecutive_5xx=0))
    assert {detector.on_failure(bad, 0.0) for _ in range(50)} == {None}


def test_an_endpoint_that_leaves_makes_room() -> None:
    detector, (bad, *others) = _detector()
    _eject(detector, bad, 0.0)
    detector.set_members(others)
    assert detector.ejected == 0
    _eject(detector, others[0], 1.0)
    detector.set_members(others)
    assert (detector.ejected, others[0].is_ejected) == (1, True)  # who stays, stays ejected
    assert detector.sweep(31.0) == 1


def test_the_end_of_the_policy_is_an_amnesty() -> None:
    detector, (bad, *_) = _detector()
    _eject(detector, bad, 0.0)
    detector.release()
    assert (bad.is_ejected, bad.multiplier, bad.ejections, detector.ejected) == (False, 0, 1, 0)
    assert detector.sweep(1_000.0) == 0
