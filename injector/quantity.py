"""Kubernetes quantities (pure): `100m`, `1.5`, `64Mi`, `1e3`."""

import re
from decimal import Decimal

from injector.errors import InjectionError

_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    **{f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", 1)},
}
_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{0,9})?|\.\d{1,9})(?:([eE][+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)")


def quantity(text: str, source: str) -> Decimal:
    """In units (cores, bytes). `source` names the place. Raises InjectionError for anything else, and 0."""
    match = _QUANTITY.fullmatch(text)
    value = Decimal(0)
    if match is not None:
        number, exponent, suffix = match.groups()
        value = Decimal(f"{number}{exponent or ''}") * _SUFFIXES[suffix or ""]
    if value <= 0:
        raise InjectionError(
            f"{source}: {text!r} is not a quantity; use e.g. 100m or 1.5 of CPU, 64Mi of memory"
        )
    return value
