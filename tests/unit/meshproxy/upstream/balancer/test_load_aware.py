"""Balancers that look at load, latency or age."""

from random import Random

import pytest

from meshproxy.config.load_balancing import Algorithm, LoadBalancing, SlowStart
from meshproxy.upstream.balancer.api import Balancer
from meshproxy.upstream.balancer.assembly import assemble, heeds_time
from tests.unit.meshproxy.upstream.balancer.hosts import FakeHost, hosts, pick_many

LEAST, PEAK = Algorithm.LEAST_REQUEST, Algorithm.PEAK_EWMA


def _balancer(settings: LoadBalancing, targets: list[FakeHost], now: float = 0.0) -> Balancer[FakeHost]:
    return assemble(settings, targets, Random(1), now).balancer


@pytest.mark.parametrize(("choices", "least"), [(1, 2500), (2, 3900), (8, 8900)])
def test_more_choices_find_the_idle_endpoint_more_often(choices: int, least: int) -> None:
    targets = hosts(1, 1, 1, 1)
    for target in targets[1:]:
        target.active_requests = 9
    picks = pick_many(_balancer(LoadBalancing(LEAST, choice_count=choices), targets), 10_000)
    assert least * 0.9 <= picks["10.0.0.0"]


@pytest.mark.parametrize(("bias", "shares"), [(1.0, (600, 600)), (0.0, (300, 900)), (2.0, (900, 450))])
def test_weights_and_load_together(bias: float, shares: tuple[int, int]) -> None:
    targets = hosts(1, 3)
    targets[1].active_requests = 2
    picks = pick_many(_balancer(LoadBalancing(LEAST, active_request_bias=bias), targets), sum(shares))
    assert abs(picks["10.0.0.0"] - 1 / (1 + 3 * 3**-bias) * sum(shares)) <= 1


def _simulate(
    targets: list[FakeHost], latency: dict[str, float], failing: str = "", count: int = 3000
) -> dict:
    """One request every 10 ms, one after the other: share of each address."""
    settings = LoadBalancing(PEAK)
    balancer = _balancer(settings, targets)
    picks = dict.fromkeys(latency, 0)
    now = 0.0
    for _ in range(count):
        now += 0.01
        target = balancer.pick(None, (), now)
        assert target is not None
        assert target.latency is not None
        address = target.endpoint.address
        picks[address] += 1
        if address == failing:
            target.latency.penalize(max(settings.failure_penalty, latency[address]), now)
        else:
            target.latency.observe(latency[address], now + latency[address])
    return {address: number / count for address, number in picks.items()}


def test_an_endpoint_200_ms_slower_gets_less_than_a_tenth() -> None:
    share = _simulate(hosts(1, 1, 1), {"10.0.0.0": 0.005, "10.0.0.1": 0.205, "10.0.0.2": 0.005})
    assert share["10.0.0.1"] < 0.1
    assert min(share["10.0.0.0"], share["10.0.0.2"]) > 0.3


def test_an_endpoint_that_fails_fast_does_not_attract_traffic() -> None:
    share = _simulate(
        hosts(1, 1, 1), {"10.0.0.0": 0.05, "10.0.0.1": 0.0005, "10.0.0.2": 0.05}, failing="10.0.0.1"
    )
    assert 0 < share["10.0.0.1"] < 0.02


def test_latency_multiplies_with_what_is_under_way_and_a_retry_takes_the_best() -> None:
    targets = hosts(1, 1, 1)
    balancer = _balancer(LoadBalancing(PEAK), targets)
    targets[0].active_requests = targets[1].active_requests = 5
    assert pick_many(balancer, 1000)["10.0.0.2"] > 600
    assert balancer.pick(None, (id(targets[1]),)) is targets[2]


def test_estimates_outlive_the_balancer_and_follow_its_settings() -> None:
    targets = hosts(1, 1)
    _balancer(LoadBalancing(PEAK), targets)
    before = targets[0].latency
    _balancer(LoadBalancing(PEAK, latency_decay=3.0), targets)
    assert targets[0].latency is before
    assert before is not None
    assert before.decay == 3.0


def test_very_different_weights_still_compare_two() -> None:
    light, heavy = targets = hosts(1, 100_000)
    balancer = _balancer(LoadBalancing(PEAK), targets)
    heavy.active_requests = 1000
    assert balancer.pick() is light


@pytest.mark.parametrize("algorithm", [Algorithm.ROUND_ROBIN, LEAST])
@pytest.mark.parametrize(
    ("age", "aggression", "share"),
    [(0.0, 1.0, 0.1), (6.0, 1.0, 0.1), (30.0, 1.0, 0.5), (15.0, 2.0, 0.5), (60.0, 1.0, 1.0)],
)
def test_a_new_endpoint_gets_its_share_little_by_little(
    algorithm: Algorithm, age: float, aggression: float, share: float
) -> None:
    settings = LoadBalancing(algorithm, slow_start=SlowStart(60.0, aggression))
    assert heeds_time(settings)
    targets = hosts(1, 1, 1)
    targets[0].added_at = 1000.0
    picks = pick_many(_balancer(settings, targets, 1000.0 + age), 6000, now=1000.0 + age)
    assert picks["10.0.0.0"] / 6000 == pytest.approx(share / (2 + share), abs=0.03)


def test_slow_start_ends_by_itself() -> None:
    targets = hosts(1, 1)
    targets[0].added_at = 0.0
    balancer = _balancer(LoadBalancing(slow_start=SlowStart(60.0)), targets)
    assert pick_many(balancer, 110, now=0.0)["10.0.0.0"] <= 12
    assert pick_many(balancer, 100, now=61.0)["10.0.0.0"] == 50


def test_a_new_endpoint_seems_slower_to_peak_ewma() -> None:
    targets = hosts(1, 1)
    targets[0].added_at = 0.0
    balancer = _balancer(LoadBalancing(PEAK, slow_start=SlowStart(60.0)), targets)
    assert pick_many(balancer, 100, now=1.0)["10.0.0.0"] == 0
    assert pick_many(balancer, 1000, now=61.0)["10.0.0.0"] > 400
