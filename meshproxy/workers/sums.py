"""Admin pages of several workers as one (pure): counts added up, the worst state, the rest as it is.

Each worker judges endpoints by its own exchanges, so one may have ejected what another still uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, cast

Row = dict[str, object]

_COUNTS: Final = frozenset(
    {
        *("active_requests", "pending_requests", "active_retries", "connections", "overflows"),
        *("requests", "idle_connections", "connect_failures", "ejections"),
    }
)
_WORST: Final = frozenset({"ejected_endpoints", "is_panicking", "is_ejected", "consecutive_failures"})
"""Greater is worse."""


def clusters(pages: Sequence[Sequence[Row]]) -> list[Row]:
    """`/clusters`: each cluster once, with the endpoints that any worker knows."""
    rows = [row for page in pages for row in page]
    merged, endpoints = _merged(rows, "name"), _gathered(rows, "endpoints")
    for name, row in merged.items():
        known = cast("list[Row]", endpoints[name])
        row["endpoints"] = list(_merged(known, "address").values())
    return [row for _, row in sorted(merged.items())]


def listeners(pages: Sequence[Sequence[Row]]) -> list[Row]:
    """`/listeners`: each listener once; ports differ where the kernel chose them."""
    rows = [row for page in pages for row in page]
    merged, ports = _merged(rows, "name"), _gathered(rows, "bound_ports")
    for name, row in merged.items():
        row["bound_ports"] = list(dict.fromkeys(ports[name]))
    return [row for _, row in sorted(merged.items())]


def _gathered(rows: Iterable[Row], key: str) -> dict[str, list[object]]:
    """The lists under `key` of all rows of one name, one after the other."""
    gathered: dict[str, list[object]] = {}
    for row in rows:
        gathered.setdefault(str(row["name"]), []).extend(cast("list[object]", row[key]))
    return gathered


def _merged(rows: Iterable[Row], key: str) -> dict[str, Row]:
    """Rows of one `key` as one: the first, with counts added up and the worst state of all."""
    merged: dict[str, Row] = {}
    for row in rows:
        known = merged.get(str(row[key]))
        if known is None:
            merged[str(row[key])] = dict(row)
            continue
        for name in _COUNTS & row.keys():
            known[name] = cast("int", known[name]) + cast("int", row[name])
        for name in _WORST & row.keys():
            known[name] = max(cast("int", known[name]), cast("int", row[name]))
    return merged
