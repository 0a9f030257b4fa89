"""The wheel as a trace of schedule, cancel and advance; tick 1 s for readability."""

from random import Random

import pytest

from meshproxy.errors import ConfigError
from meshproxy.policy.timeout_wheel import TimeoutWheel


def _wheel(now: float = 0.0) -> TimeoutWheel[str]:
    return TimeoutWheel(now, tick=1.0)


def test_a_timer_fires_in_the_tick_after_its_deadline_and_once() -> None:
    wheel = _wheel()
    timer = wheel.schedule(2.5, "a")
    assert list(wheel.advance(2.9)) == []
    assert timer.is_pending
    assert list(wheel.advance(3.0)) == ["a"]
    assert not timer.is_pending
    assert list(wheel.advance(9.0)) == []


def test_a_deadline_on_a_tick_does_not_fire_at_it() -> None:
    wheel = _wheel()
    wheel.schedule(2.0, "a")
    assert list(wheel.advance(2.0)) == []
    assert list(wheel.advance(3.0)) == ["a"]


def test_timers_fire_by_tick_then_in_the_order_scheduled() -> None:
    wheel = _wheel()
    for deadline, token in [(5.1, "c"), (1.9, "a"), (1.1, "b"), (7.0, "later")]:
        wheel.schedule(deadline, token)
    assert list(wheel.advance(6.0)) == ["a", "b", "c"]


def test_few_ticks_passed_and_many_timers() -> None:
    wheel = _wheel()
    for second in range(10):
        wheel.schedule(second + 0.5, str(second))
    assert list(wheel.advance(2.0)) == ["0", "1"]
    assert list(wheel.advance(4.0)) == ["2", "3"]


def test_a_past_deadline_fires_at_the_next_tick() -> None:
    wheel = _wheel(now=10.0)
    wheel.schedule(3.0, "a")
    assert list(wheel.advance(10.9)) == []
    assert list(wheel.advance(11.0)) == ["a"]


def test_a_cancelled_timer_never_fires_and_may_be_cancelled_again() -> None:
    wheel = _wheel()
    timer, other = wheel.schedule(1.5, "a"), wheel.schedule(1.6, "b")
    wheel.cancel(timer)
    wheel.cancel(timer)
    assert not timer.is_pending
    assert not wheel.is_empty
    assert list(wheel.advance(5.0)) == ["b"]
    wheel.cancel(other)
    wheel.cancel(timer)
    assert wheel.is_empty


def test_cancelling_the_last_timer_of_a_tick_forgets_the_tick() -> None:
    wheel = _wheel()
    wheel.cancel(wheel.schedule(3600.0, "a"))
    assert wheel.is_empty
    assert wheel.next_deadline() is None


def test_a_timer_cancelled_while_an_earlier_one_is_handled_does_not_fire() -> None:
    wheel = _wheel()
    wheel.schedule(1.1, "a")
    same_tick, next_tick = wheel.schedule(1.2, "b"), wheel.schedule(2.2, "c")
    fired = []
    for token in wheel.advance(9.0):
        fired.append(token)
        wheel.cancel(same_tick)
        wheel.cancel(next_tick)
    assert fired == ["a"]
    assert wheel.is_empty


def test_what_a_failing_handler_left_is_yielded_next_time() -> None:
    wheel = _wheel()
    for token in "abc":
        wheel.schedule(1.5, token)
    expired = wheel.advance(2.0)
    assert next(expired) == "a"
    expired.close()  # type: ignore[attr-defined]
    assert not wheel.is_empty
    assert wheel.next_deadline() == 2.0
    assert list(wheel.advance(2.0)) == ["b", "c"]


def test_a_handler_that_schedules_a_past_deadline_does_not_loop_for_ever() -> None:
    wheel = _wheel()
    wheel.schedule(0.5, "a")
    for _ in wheel.advance(5.0):
        wheel.schedule(0.0, "again")
    assert list(wheel.advance(5.9)) == []
    assert list(wheel.advance(6.0)) == ["again"]


def test_next_deadline_is_the_first_tick_in_use() -> None:
    wheel = _wheel()
    wheel.schedule(7.5, "b")
    wheel.schedule(3.5, "a")
    assert wheel.next_deadline() == 4.0


@pytest.mark.parametrize("tick", [0.0, -1.0, float("inf"), float("nan")])
def test_a_senseless_tick_is_refused(tick: float) -> None:
    with pytest.raises(ConfigError, match="tick"):
        TimeoutWheel[str](tick=tick)


def test_a_driver_rests_until_the_first_timer_or_as_long_as_it_wants() -> None:
    wheel = _wheel()
    assert wheel.rest(10.0) == 10.0
    wheel.schedule(4.2, "a")
    assert wheel.rest(10.0) == 5.0
    assert wheel.rest(3.0) == 3.0


def test_a_driver_that_left_timers_over_does_not_rest() -> None:
    wheel = _wheel()
    for token in "ab":
        wheel.schedule(1.0, token)
    assert next(wheel.advance(2.0)) == "a"
    assert wheel.rest(10.0) == 2.0


def test_only_a_timer_that_comes_before_the_end_of_the_rest_wakes_and_once() -> None:
    wheel, woken = _wheel(), list[str]()
    wheel.schedule(0.5, "nobody rests, and nobody listens")
    wheel.rest(10.0)
    wheel.schedule(0.1, "the same tick as the first")
    assert list(wheel.advance(2.0)) == ["nobody rests, and nobody listens", "the same tick as the first"]
    wheel.rest(10.0)
    wheel.schedule(5.0, "nobody listens")
    wheel.wake_with(lambda: woken.append("woken"))
    wheel.rest(10.0)
    wheel.schedule(7.0, "later than the first")
    wheel.schedule(20.0, "later than the rest")
    assert woken == []
    wheel.schedule(3.0, "earlier")
    wheel.schedule(2.0, "earlier still")
    assert woken == ["woken"]
    assert wheel.rest(10.0) == 3.0


@pytest.mark.parametrize("seed", range(20))
def test_in_simulated_time_nothing_is_early_or_more_than_a_tick_late_and_an_idle_driver_rests(
    seed: int,
) -> None:
    rng, tick, sweep = Random(seed), 0.05, 1.0
    wheel: TimeoutWheel[float] = TimeoutWheel(0.0, tick)
    woken = list[bool]()
    wheel.wake_with(lambda: woken.append(True))
    events = sorted((rng.uniform(0.0, 60.0), rng.choice([0.0, 0.02, 0.3, 5.0, 15.0])) for _ in range(40))
    now, wakes, fired, next_sweep = 0.0, 0, 0, sweep
    while now < 80.0:
        until = wheel.rest(next_sweep)
        woken.clear()
        while events and events[0][0] < until and not woken:
            now, delay = events.pop(0)
            wheel.schedule(now + delay, now + delay)
        now = now if woken else max(until, now)
        wakes += 1
        for deadline in wheel.advance(now + 1e-9):
            fired += 1
            assert deadline < now + 2e-9 <= deadline + 2 * tick
        while next_sweep <= now:
            next_sweep += sweep
    assert fired == 40
    assert wakes < 80 + 3 * 40  # 20 a second would be 1,600
