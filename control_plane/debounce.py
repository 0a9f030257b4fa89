"""Gathers bursts of changes into one rebuild (pure).

A rebuild is due once nothing has changed for `quiet`, and at the latest `longest` after the first change,
so that an endless stream of changes cannot hold configuration back. Istio's defaults: 100 ms and 10 s
(`PILOT_DEBOUNCE_AFTER`, `PILOT_DEBOUNCE_MAX`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DebounceSettings:
    """Both in seconds."""

    quiet: float = 0.1
    longest: float = 10.0

    def __post_init__(self) -> None:
        if not self.quiet >= 0:
            raise ValueError(f"debounce quiet time {self.quiet} s is negative or no number; give 0 or more")
        if not self.quiet <= self.longest < math.inf:
            raise ValueError(
                f"debounce maximum {self.longest} s is below the quiet time {self.quiet} s, or has no end"
            )


class Debounce:
    """`on_change` at each change; when `next_deadline()` has come, `take` says once that a rebuild is due."""

    def __init__(self, settings: DebounceSettings | None = None) -> None:
        self._settings = settings or DebounceSettings()
        self._first: float | None = None
        self._last = 0.0

    def on_change(self, now: float) -> None:
        """Something changed at `now` (monotonic seconds)."""
        self._first = now if self._first is None else self._first
        self._last = now

    def next_deadline(self) -> float | None:
        """When a rebuild is due; None while nothing has changed."""
        if self._first is None:
            return None
        return min(self._last + self._settings.quiet, self._first + self._settings.longest)

    def take(self, now: float) -> bool:
        """Whether a rebuild is due at `now`; True once per burst."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return False
        self._first = None
        return True
