"""When a peer asks to be left alone until (pure): `Retry-After`, `X-RateLimit-Reset` and their like.

Mirrors `RetryPolicy.RateLimitedRetryBackOff`; an HTTP date in `Retry-After` (RFC 9110 section 10.2.3), which
Envoy does not read, is understood too. What cannot be read, lies in the past or asks for more than the
maximum says nothing: the ordinary backoff holds.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from meshproxy.config.retry import RateLimitedBackOff, ResetHeaderFormat
from meshproxy.policy.retry_condition import Headers

_MOST_DIGITS = 18
"""More are no time of any use; Python would convert thousands of them."""


def reset_interval(headers: Headers, settings: RateLimitedBackOff, wall_now: float) -> float | None:
    """Seconds until the peer wants to hear from us; None when no field says so.

    `wall_now`: seconds since 1970. The first field of `settings` with a value that can be used counts.
    """
    for name, form in settings.headers:
        wanted = name.encode()
        for field, value in headers:
            if field != wanted:
                continue
            interval = _parse(value, form, wall_now)
            if interval is not None and 0 <= interval <= settings.max_interval:
                return interval
    return None


def retry_after(headers: Headers, wall_now: float, longest: float = 300.0) -> float | None:
    """`Retry-After` in seconds from now, at most `longest`; None when it is absent, unreadable or past."""
    for field, value in headers:
        if field == b"retry-after":
            interval = _parse(value, ResetHeaderFormat.SECONDS, wall_now)
            return min(interval, longest) if interval is not None and interval >= 0 else None
    return None


def _parse(value: bytes, form: ResetHeaderFormat, wall_now: float) -> float | None:
    text = value.strip()
    if text.isdigit():
        if len(text) > _MOST_DIGITS:
            return None
        return int(text) - (wall_now if form is ResetHeaderFormat.UNIX_TIMESTAMP else 0.0)
    return _until_date(text, wall_now) if form is ResetHeaderFormat.SECONDS else None


def _until_date(text: bytes, wall_now: float) -> float | None:
    try:
        at = parsedate_to_datetime(text.decode("ascii"))
        if at.tzinfo is None:  # "-0000": UTC of an unknown place
            at = at.replace(tzinfo=UTC)
        return at.timestamp() - wall_now
    except (ValueError, OverflowError):  # an unreadable date, or one outside of what a calendar holds
        return None
