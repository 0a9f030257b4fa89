"""What becomes of a failed attempt (pure)."""

from __future__ import annotations

from enum import Enum


class RetryVerdict(Enum):
    """The decision and its reason; the value is a stable token for metrics and logs."""

    RETRY = "retry"
    NOT_SELECTED = "not_selected"
    """`retry_on` does not name this kind of failure or answer, or this kind of request."""
    LIMIT_REACHED = "limit_reached"
    OVERFLOW = "overflow"
    """The cluster has as many retries as its circuit limit or its budget allows: its driver's verdict."""
    NOT_IDEMPOTENT = "not_idempotent"
    RESPONSE_STARTED = "response_started"
    BODY_NOT_REPLAYABLE = "body_not_replayable"
