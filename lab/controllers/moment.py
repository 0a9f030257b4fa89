"""Times of objects as seconds (pure)."""

from datetime import datetime


def seconds_of(timestamp: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; 0 for an empty one or one that is none."""
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0
