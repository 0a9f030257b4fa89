"""Debounce: rows of (now, what happens, what is due)."""

import pytest

from control_plane.debounce import Debounce, DebounceSettings


def test_nothing_is_due_without_a_change() -> None:
    debounce = Debounce()
    assert debounce.next_deadline() is None
    assert not debounce.take(1e9)


def test_a_single_change_is_due_after_the_quiet_time_and_once() -> None:
    debounce = Debounce(DebounceSettings(quiet=0.1, longest=10))
    debounce.on_change(5.0)
    assert debounce.next_deadline() == pytest.approx(5.1)
    assert not debounce.take(5.09)
    assert debounce.take(5.1)
    assert not debounce.take(99.0)


def test_five_hundred_changes_in_a_second_make_one_rebuild() -> None:
    debounce = Debounce()
    rebuilds = 0
    for step in range(500):
        debounce.on_change(step / 500)
        rebuilds += debounce.take(step / 500)
    assert rebuilds == 0
    assert debounce.take(499 / 500 + 0.1)


def test_changes_without_end_are_rebuilt_after_the_longest_wait() -> None:
    debounce = Debounce(DebounceSettings(quiet=0.1, longest=1.0))
    taken = []
    for step in range(60):
        now = step * 0.05
        debounce.on_change(now)
        if debounce.take(now):
            taken.append(now)
    assert taken == [pytest.approx(1.0), pytest.approx(2.05)]


@pytest.mark.parametrize(("quiet", "longest"), [(-0.1, 1.0), (2.0, 1.0)])
def test_impossible_settings_are_refused(quiet: float, longest: float) -> None:
    with pytest.raises(ValueError, match="debounce"):
        DebounceSettings(quiet, longest)
