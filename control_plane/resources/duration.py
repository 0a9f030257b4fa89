"""Durations as the Gateway API writes them, `1h30m`, `250ms` (GEP-2257) (pure)."""

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

_TEXT = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
_PART = re.compile(r"([0-9]{1,5})(ms|h|m|s)")
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def milliseconds(text: str) -> int:
    """`"1m500ms"` → 60500. Only for text that a model has accepted."""
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text))


def _duration(value: str) -> str:
    if not _TEXT.fullmatch(value):
        raise PydanticCustomError(
            "invalid_value",
            "must be one to four numbers of at most five digits, each with h, m, s or ms, such as 1m30s",
        )
    return value


def _positive(value: str) -> str:
    if milliseconds(value) == 0:
        raise PydanticCustomError("invalid_value", "must be longer than 0")
    return value


DurationText: TypeAlias = Annotated[str, AfterValidator(_duration)]
"""GEP-2257; what 0 means is up to the field."""
PositiveDuration: TypeAlias = Annotated[DurationText, AfterValidator(_positive)]
