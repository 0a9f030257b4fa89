"""Times as Kubernetes writes them: RFC 3339, UTC, whole seconds (pure)."""

from datetime import UTC, datetime


def rfc3339(seconds: float) -> str:
    """`1700000000.9` (seconds since the epoch) → `"2023-11-14T22:13:20Z"`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> float:
    """The reverse, also for other offsets and fractions of a second. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()
