"""Quantities as numbers."""

from fractions import Fraction

import pytest

from control_plane.resources.quantity import divided, quantity_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (2, Fraction(2)),
        (0.5, Fraction(1, 2)),
        ("500m", Fraction(1, 2)),
        ("64Mi", Fraction(64 * 1024**2)),
        ("1e3", Fraction(1000)),
        ("1E3", Fraction(1000)),
        ("2E", Fraction(2 * 10**18)),
        ("1Ei", Fraction(1024**6)),
        ("-3k", Fraction(-3000)),
        ("7n", Fraction(7, 10**9)),
        (".5", Fraction(1, 2)),
    ],
)
def test_value(text: int | float | str, value: Fraction) -> None:
    assert quantity_value(text) == value


@pytest.mark.parametrize("text", ["5x", "1mm", ""])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        quantity_value(text)


@pytest.mark.parametrize(
    ("quantity", "divisor", "count"),
    [("1500m", "0", 2), ("1500m", "1m", 1500), ("64Mi", "1Mi", 64), ("65M", "1Mi", 62)],
)
def test_the_downward_api_rounds_up(quantity: str, divisor: str, count: int) -> None:
    assert divided(quantity, divisor) == count
