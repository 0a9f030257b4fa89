"""The things that count (pure): slotted objects with plain integer additions, looked up once and then kept.

A caller keeps a series for as long as the thing it counts for exists (an endpoint, a connection). A series
that was dropped as idle comes back by itself when it is used again, with its totals intact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from meshproxy.telemetry.labels import RequestLabels, TcpLabels
from meshproxy.telemetry.names import HISTOGRAM_BOUNDS

_BUCKETS = len(HISTOGRAM_BOUNDS) + 1


class Series:
    """One label set of one or more families."""

    __slots__ = ("__weakref__", "label_text")

    def __init__(self, label_text: str) -> None:
        self.label_text = label_text
        """`a="b",c="d"`, escaped: rendered once because every line of a histogram repeats it."""


class PeerSeries(Series):
    """A series whose labels come from peers, and which is therefore dropped when idle."""

    __slots__ = ("last_activity", "last_used_at", "revive")

    def __init__(self, label_text: str) -> None:
        super().__init__(label_text)
        self.revive: Callable[[PeerSeries], None] | None = None
        """Set while the series is out of its table: puts it back. Given the series, to make no cycle."""
        self.last_activity = -1
        """`activity()` at the table's last look."""
        self.last_used_at = 0.0

    def activity(self) -> int:
        """A number that changes whenever the series is used."""
        raise NotImplementedError

    def is_held(self) -> bool:
        """True while something is going on that will be counted here, however quiet."""
        return False


class RequestSeries(PeerSeries):
    """Requests of one label set: their number, durations and sizes."""

    __slots__ = (
        "duration_buckets",
        "duration_sum",
        "labels",
        "request_buckets",
        "request_bytes",
        "request_messages",
        "requests",
        "response_buckets",
        "response_bytes",
        "response_messages",
    )

    def __init__(self, labels: RequestLabels, label_text: str) -> None:
        super().__init__(label_text)
        self.labels = labels
        self.requests = 0
        self.duration_buckets = [0] * _BUCKETS
        """Observations per bucket, not cumulative; the last is `+Inf`."""
        self.duration_sum = 0.0
        self.request_buckets = [0] * _BUCKETS
        self.request_bytes = 0
        self.response_buckets = [0] * _BUCKETS
        self.response_bytes = 0
        self.request_messages = 0
        self.response_messages = 0
        """Of gRPC calls."""

    def observe(self, duration_ms: float, request_bytes: int, response_bytes: int) -> None:
        """Count one request; sizes are of the bodies."""
        if self.revive is not None:
            self.revive(self)
        self.requests += 1
        self.duration_buckets[bisect_left(HISTOGRAM_BOUNDS, duration_ms)] += 1
        self.duration_sum += duration_ms
        self.request_buckets[bisect_left(HISTOGRAM_BOUNDS, request_bytes)] += 1
        self.request_bytes += request_bytes
        self.response_buckets[bisect_left(HISTOGRAM_BOUNDS, response_bytes)] += 1
        self.response_bytes += response_bytes

    def activity(self) -> int:
        return self.requests


class TcpSeries(PeerSeries):
    """Connections and bytes of one label set."""

    __slots__ = ("closed", "labels", "opened", "received", "sent")

    def __init__(self, labels: TcpLabels, label_text: str) -> None:
        super().__init__(label_text)
        self.labels = labels
        self.opened = 0
        self.closed = 0
        self.sent = 0
        """Bytes towards the client."""
        self.received = 0
        """Bytes from the client."""

    def on_opened(self) -> None:
        """A connection was opened; the series is kept until as many were closed."""
        if self.revive is not None:
            self.revive(self)
        self.opened += 1

    def on_closed(self) -> None:
        """A connection counted by `on_opened` ended."""
        self.closed += 1

    def add_bytes(self, sent: int, received: int) -> None:
        """Bytes since the last call: `sent` towards the client, `received` from it."""
        if self.revive is not None:
            self.revive(self)
        self.sent += sent
        self.received += received

    def activity(self) -> int:
        return self.opened + self.closed + self.sent + self.received

    def is_held(self) -> bool:
        return self.opened != self.closed


class Counter(Series):
    """One label set of a counter family."""

    __slots__ = ("value",)

    def __init__(self, label_text: str) -> None:
        super().__init__(label_text)
        self.value = 0

    def add(self, amount: int = 1) -> None:
        """Count `amount` more, not negative."""
        self.value += amount


class Gauge(Series):
    """One label set of a gauge family."""

    __slots__ = ("value",)

    def __init__(self, label_text: str) -> None:
        super().__init__(label_text)
        self.value: float = 0

    def set(self, value: float) -> None:
        """Replace the value."""
        self.value = value

    def add(self, amount: float = 1) -> None:
        """Change the value by `amount`, which may be negative."""
        self.value += amount
