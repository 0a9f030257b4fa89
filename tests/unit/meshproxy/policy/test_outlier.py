"""Which endpoints are ejected when, and for how long: rows of (now, event, expected)."""

from dataclasses import replace
from random import Random

import pytest

from meshproxy.config.model import OutlierDetection
from meshproxy.policy.outlier import EndpointHealth, FailureKind, OutlierDetector, OutlierEvent

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


GATEWAY, LOCAL = FailureKind.GATEWAY, FailureKind.LOCAL


@pytest.mark.parametrize(
    ("kinds", "ejected"),
    [
        ([GATEWAY] * 3, True),
        ([LOCAL] * 3, True),
        ([GATEWAY, GATEWAY, FailureKind.SERVER_ERROR, GATEWAY, GATEWAY], False),
        ([FailureKind.SERVER_ERROR] * 9, False),
    ],
)
def test_gateway_failures_in_a_row_eject_where_enforced(kinds: list[FailureKind], ejected: bool) -> None:
    settings = replace(
        MESH_DEFAULT,
        consecutive_5xx=0,
        consecutive_gateway_failure=3,
        enforcing_consecutive_gateway_failure=100,
    )
    detector, (bad, *_) = _detector(settings)
    events = [detector.on_failure(bad, 0.0, kind) for kind in kinds]
    assert (EJECTED in events) is ejected is bad.is_ejected


def test_a_gateway_failure_that_is_capped_still_counts_among_all() -> None:
    settings = replace(MESH_DEFAULT, always_eject_one_host=False, enforcing_consecutive_gateway_failure=100)
    detector, (bad, *_) = _detector(settings)
    assert [detector.on_failure(bad, 0.0, GATEWAY) for _ in range(5)][-1] is CAPPED


def test_split_counts_failures_without_an_answer_apart() -> None:
    settings = replace(MESH_DEFAULT, split_local_origin=True)
    detector, (bad, worse, _) = _detector(replace(settings, max_ejection_percent=100))
    for _ in range(4):
        assert detector.on_failure(bad, 0.0, LOCAL) is None
    assert detector.on_failure(bad, 0.0, GATEWAY) is None  # an answer: the row of those without is over
    assert detector.on_failure(bad, 0.0, LOCAL) is None
    assert [detector.on_failure(worse, 0.0, LOCAL) for _ in range(5)] == [None] * 4 + [EJECTED]


@pytest.mark.parametrize(("enforcing", "least", "most"), [(0, 0, 0), (50, 60, 140), (100, 200, 200)])
def test_enforcing_is_a_share_of_the_ejections_due(enforcing: int, least: int, most: int) -> None:
    settings = replace(MESH_DEFAULT, enforcing_consecutive_5xx=enforcing, max_ejection_percent=100)
    detector, members = _detector(settings, 200)
    events = [detector.on_failure(health, 0.0) for health in members for _ in range(5)]
    assert least <= events.count(EJECTED) <= most


def test_ejections_are_jittered_where_asked() -> None:
    settings = replace(MESH_DEFAULT, max_ejection_time_jitter=10.0, max_ejection_percent=100)
    detector, members = _detector(settings, 50)
    for health in members:
        _eject(detector, health, 0.0)
    times = [detector.ejection_time(health) for health in members]
    assert 30.0 <= min(times) < 32.0 < 38.0 < max(times) <= 40.0


def test_an_active_health_check_ends_an_ejection_unless_told_not_to() -> None:
    detector, (bad, good, _) = _detector()
    _eject(detector, bad, 0.0)
    assert (detector.on_health_check_passed(good), detector.on_health_check_passed(bad)) == (False, True)
    assert (bad.is_ejected, detector.ejected) == (False, 0)
    stubborn, (bad, *_) = _detector(replace(MESH_DEFAULT, uneject_on_health_check=False))
    _eject(stubborn, bad, 0.0)
    assert not stubborn.on_health_check_passed(bad)


RATES = replace(MESH_DEFAULT, consecutive_5xx=0, max_ejection_percent=100, success_rate_request_volume=10)


def _interval(detector: OutlierDetector, members: list[EndpointHealth], errors: list[int]) -> None:
    """Each member has 100 requests, so many of which fail."""
    for health, count in zip(members, errors, strict=True):
        for _ in range(count):
            detector.on_failure(health, 1.0)
        health.successes += 100 - count


@pytest.mark.parametrize(
    ("errors", "ejected"),
    [
        ([0, 0, 0, 0, 40], [4]),
        ([30, 30, 30, 30, 30], []),  # an outage, not an outlier
        ([0, 1, 2, 3, 4], []),  # within 1.9 standard deviations
        ([0, 0, 0, 40], []),  # too few endpoints
    ],
)
def test_success_rates_far_below_the_others_eject(errors: list[int], ejected: list[int]) -> None:
    detector, members = _detector(replace(RATES, enforcing_success_rate=100), len(errors))
    assert detector.counts_successes
    _interval(detector, members, errors)
    assert detector.judge_rates(9.9) == []
    assert detector.judge_rates(10.0) == [EJECTED] * len(ejected)
    assert [index for index, health in enumerate(members) if health.is_ejected] == ejected
    assert all(not health.successes and not health.error_total for health in members)


def test_a_failure_percentage_ejects_whatever_the_others_do() -> None:
    detector, members = _detector(replace(RATES, enforcing_failure_percentage=100), 5)
    _interval(detector, members, [84, 85, 90, 100, 0])
    assert detector.judge_rates(10.0) == [EJECTED] * 3
    assert [health.is_ejected for health in members] == [False, True, True, True, False]


def test_rates_of_failures_without_an_answer_are_judged_when_split() -> None:
    settings = replace(RATES, split_local_origin=True, consecutive_local_origin_failure=0)
    detector, members = _detector(settings, 5)
    for health in members:
        health.successes = 100
    for _ in range(60):
        detector.on_failure(members[2], 1.0, LOCAL)
    assert detector.judge_rates(10.0) == [EJECTED]
    assert members[2].is_ejected


def test_rates_are_not_judged_without_volume_or_where_nothing_is_enforced() -> None:
    quiet, members = _detector(replace(RATES, enforcing_success_rate=100, success_rate_request_volume=101), 5)
    _interval(quiet, members, [0, 0, 0, 0, 90])
    assert quiet.judge_rates(10.0) == []
    off, members = _detector(RATES, 5)
    assert not off.counts_successes
    _interval(off, members, [0, 0, 0, 0, 90])
    assert off.judge_rates(10.0) == []
