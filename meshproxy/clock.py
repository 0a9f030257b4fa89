"""The one place that reads time. Drivers hold a `Clock`; policies are handed `now`."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a driver takes its `now` from."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch; for certificates and logs only."""
        ...


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
