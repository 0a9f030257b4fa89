"""When certificates are renewed."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from certs.rotation import renew_at


@given(st.floats(0, 4e9), st.floats(0.001, 1e8), st.integers())
def test_renewal_falls_around_half_of_the_remaining_life(now: float, life: float, seed: int) -> None:
    instant = renew_at(now, now + life, Random(seed))
    assert now + 0.44 * life - 1e-3 <= instant <= now + 0.56 * life + 1e-3


def test_what_is_over_is_renewed_at_once() -> None:
    assert renew_at(100.0, 100.0, Random(1)) == 100.0
    assert renew_at(100.0, 20.0, Random(1)) == 100.0


def test_sidecars_that_started_together_renew_apart() -> None:
    rng = Random(7)
    assert len({renew_at(0.0, 86_400.0, rng) for _ in range(100)}) == 100
