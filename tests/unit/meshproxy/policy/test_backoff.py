"""Full-jitter backoff."""

from random import Random

import pytest

from meshproxy.errors import ConfigError
from meshproxy.policy.backoff import BackoffSettings


class _Fixed(Random):
    """A generator that always draws the same number."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self._value = value

    def random(self) -> float:
        return self._value


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(1, 0.025), (2, 0.075), (3, 0.175), (4, 0.25), (5, 0.25), (10_000, 0.25)]
)
def test_the_ceiling_doubles_up_to_the_cap(attempt: int, ceiling: float) -> None:
    assert BackoffSettings().ceiling(attempt) == pytest.approx(ceiling)


def test_the_delay_is_drawn_from_the_whole_range() -> None:
    settings = BackoffSettings(1.0, 10.0)
    assert settings.delay(2, _Fixed(0.0)) == 0.0
    assert settings.delay(2, _Fixed(0.5)) == 1.5
    assert settings.delay(2, _Fixed(1 - 2**-53)) < 3.0


@pytest.mark.parametrize(
    ("base", "cap"),
    [(0.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (2.0, 1.0), (1.0, float("inf")), (1.0, float("nan"))],
)
def test_senseless_settings_are_refused(base: float, cap: float) -> None:
    with pytest.raises(ConfigError, match="backoff"):
        BackoffSettings(base, cap)


def test_attempts_count_from_one() -> None:
    with pytest.raises(ValueError, match="attempt 0"):
        BackoffSettings().ceiling(0)
