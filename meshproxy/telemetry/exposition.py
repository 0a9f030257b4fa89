"""Prometheus text format 0.0.4 (pure): lines, escaping, and slices small enough not to hold up requests.

A family's lines follow its HELP and TYPE; all samples of one series and family are made in one step, so
that a histogram's buckets, sum and count agree although counting goes on between slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import isinf, isnan

from meshproxy.telemetry.names import HISTOGRAM_BOUNDS, MetricFamily

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SLICE_CHARACTERS = 32_768
"""About 0.2 ms of rendering."""


def escape_label_value(value: str) -> str:
    """Backslash, double quote and line feed, as the format demands."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def escape_help(text: str) -> str:
    """Backslash and line feed; quotes stand as they are in HELP lines."""
    return text.replace("\\", r"\\").replace("\n", r"\n")


def label_text(names: Sequence[str], values: Sequence[str]) -> str:
    """`a="b",c="d"` without braces; empty for no labels."""
    pairs = zip(names, values, strict=True)
    return ",".join(f'{name}="{escape_label_value(value)}"' for name, value in pairs)


def number(value: float) -> str:
    """A sample's value: integers without a point, floats so that they read back equal."""
    if isinstance(value, int):
        return str(value)
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


_BOUNDS = (*(number(bound) for bound in HISTOGRAM_BOUNDS), "+Inf")


def header(family: MetricFamily) -> str:
    """The HELP and TYPE lines."""
    return f"# HELP {family.name} {escape_help(family.help)}\n# TYPE {family.name} {family.kind.value}\n"


def sample(name: str, labels: str, value: float) -> str:
    """One line; `labels` as `label_text` made them."""
    braces = f"{{{labels}}}" if labels else ""
    return f"{name}{braces} {number(value)}\n"


def histogram(name: str, labels: str, buckets: Sequence[int], total: float) -> str:
    """All lines of one histogram series. `buckets` are per bucket (not cumulative), the last is `+Inf`."""
    prefix = f'{name}_bucket{{{labels}{"," if labels else ""}le="'
    cumulative = list(accumulate(buckets))
    lines = [f'{prefix}{bound}"}} {count}\n' for bound, count in zip(_BOUNDS, cumulative, strict=True)]
    lines.append(sample(f"{name}_sum", labels, total))
    lines.append(sample(f"{name}_count", labels, cumulative[-1]))
    return "".join(lines)


def slices(pieces: Iterable[str], size: int = SLICE_CHARACTERS) -> Iterator[str]:
    """Gather pieces into strings of at least `size` characters, the last one shorter."""
    gathered: list[str] = []
    length = 0
    for piece in pieces:
        gathered.append(piece)
        length += len(piece)
        if length >= size:
            yield "".join(gathered)
            gathered, length = [], 0
    if gathered:
        yield "".join(gathered)
