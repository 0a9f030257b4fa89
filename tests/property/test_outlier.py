"""What outlier detection promises for any sequence of failures, successes, sweeps and changes of members."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from meshproxy.config.model import OutlierDetection
from meshproxy.policy.outlier import EndpointHealth, FailureKind, OutlierDetector, OutlierEvent

_settings = st.builds(
    OutlierDetection,
    consecutive_5xx=st.integers(0, 6),
    interval=st.sampled_from([1.0, 10.0]),
    base_ejection_time=st.sampled_from([1.0, 30.0]),
    max_ejection_time=st.sampled_from([30.0, 100.0, 300.0]),
    max_ejection_percent=st.integers(0, 100),
    always_eject_one_host=st.booleans(),
    consecutive_gateway_failure=st.integers(0, 6),
    enforcing_consecutive_gateway_failure=st.sampled_from([0, 50, 100]),
    split_local_origin=st.booleans(),
    success_rate_minimum_hosts=st.integers(0, 3),
    success_rate_request_volume=st.integers(0, 5),
    enforcing_success_rate=st.sampled_from([0, 100]),
    failure_percentage_request_volume=st.integers(0, 5),
    enforcing_failure_percentage=st.sampled_from([0, 100]),
)
_member = st.integers(0, 30)
_KINDS = tuple(FailureKind)
_step = st.one_of(
    st.tuples(st.just("fail"), _member, st.integers(1, 7)),
    st.tuples(st.just("succeed"), _member, st.just(0)),
    st.tuples(st.just("pass"), st.integers(0, 400), st.just(0)),
    st.tuples(st.just("join"), st.integers(1, 5), st.just(0)),
    st.tuples(st.just("leave"), _member, st.just(0)),
)


@given(settings=_settings, size=st.integers(1, 25), steps=st.lists(_step, max_size=60))
def test_ejections_respect_their_cap_and_their_time(
    settings: OutlierDetection, size: int, steps: list[tuple[str, int, int]]
) -> None:
    members, now = [EndpointHealth() for _ in range(size)], 0.0
    detector = OutlierDetector(settings, now, Random(1))
    detector.set_members(members)
    for what, number, times in steps:
        if what == "fail" and members:
            health, before = members[number % len(members)], detector.ejected
            for _ in range(times):
                if detector.on_failure(health, now, _KINDS[times % 3]) is OutlierEvent.EJECTED:
                    assert before < detector.cap  # an ejection never goes past the cap
                    assert detector.ejected == before + 1
                    assert 0 < detector.ejection_time(health) <= settings.max_ejection_time
        elif what == "succeed" and members:
            members[number % len(members)].failures = 0
            members[number % len(members)].successes += 1
        elif what == "pass":
            now += number
            detector.sweep(now)
            before = detector.ejected
            ejected = detector.judge_rates(now).count(OutlierEvent.EJECTED)
            assert detector.ejected == before + ejected
            assert not ejected or detector.ejected <= detector.cap
            if not ejected and number >= settings.interval + settings.max_ejection_time:
                assert detector.ejected == 0  # nobody is away for longer than that
        elif what == "join":
            members = [*members, *(EndpointHealth() for _ in range(number))]
            detector.set_members(members)
        elif what == "leave" and members:
            members = [one for index, one in enumerate(members) if index != number % len(members)]
            detector.set_members(members)
        assert detector.ejected == sum(health.is_ejected for health in members)
        assert all(health.errors < (settings.consecutive_5xx or 1_000) for health in members)
        assert all(health.multiplier >= 0 for health in members)


@given(seed=st.lists(st.booleans(), min_size=1, max_size=200))
def test_only_failures_in_a_row_eject(seed: list[bool]) -> None:
    health, longest, run = EndpointHealth(), 0, 0
    detector = OutlierDetector(OutlierDetection(always_eject_one_host=True), 0.0, Random(1))
    detector.set_members([health])
    for failed in seed:
        run = run + 1 if failed else 0
        longest = max(longest, run)
        if failed:
            detector.on_failure(health, 0.0)
        else:
            health.failures = 0
    assert health.is_ejected == (longest >= 5)
