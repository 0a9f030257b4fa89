"""Kubernetes quantities as numbers: `500m`, `64Mi`, `1e3` (pure)."""

from fractions import Fraction
from math import ceil

_SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{suffix: Fraction(1024**power) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


def quantity_value(quantity: int | float | str) -> Fraction:
    """The exact value. Raises ValueError for text that is no quantity."""
    text = str(quantity)
    if "e" in text or (text.rstrip("0123456789+-").endswith("E") and not text.endswith("E")):
        return Fraction(text)
    number = text.rstrip("numkMGTPEi")
    suffix = text[len(number) :]
    if suffix not in _SUFFIXES:
        raise ValueError(f"{text!r} is not a quantity such as 2, '500m' or '64Mi'")
    return Fraction(number) * _SUFFIXES[suffix]


def divided(quantity: int | float | str, divisor: int | float | str) -> int:
    """How many `divisor`s (0: ones) make up `quantity`, rounded up, as the downward API tells resources."""
    return ceil(quantity_value(quantity) / (quantity_value(divisor) or 1))
