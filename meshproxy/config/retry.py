"""Which failed attempts are tried again, and when (pure, frozen): Envoy's `RetryPolicy`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from meshproxy.config.route_match import HeaderMatch


class ResetHeaderFormat(Enum):
    """How a reset header says when to come back."""

    SECONDS = "seconds"
    UNIX_TIMESTAMP = "unix_timestamp"


@dataclass(frozen=True, slots=True)
class RateLimitedBackOff:
    """`RateLimitedRetryBackOff`: wait as long as the answer asks, instead of the exponential back-off."""

    headers: tuple[tuple[str, ResetHeaderFormat], ...]
    """(name in lower case, format): the first that can be read, and asks for no more than allowed, counts."""
    max_interval: float = 300.0
    """Seconds; what asks for more is passed over."""


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """`RetryPolicy`. A retry goes to an endpoint that was not tried yet where one is left."""

    retry_on: frozenset[str] = frozenset()
    """Conditions in Envoy's words, e.g. `connect-failure`, `5xx`, `retriable-status-codes`."""
    num_retries: int = 1
    base_interval: float = 0.025
    """Seconds; full-jitter exponential backoff. Envoy's default 25 ms."""
    max_interval: float = 0.25
    """Seconds; Envoy's default is ten times the base."""
    per_try_timeout: float = 0.0
    """Seconds for one attempt; 0 leaves it to the route's timeout."""
    per_try_idle_timeout: float = 0.0
    """Seconds without progress in one attempt; 0 disables."""
    retriable_status_codes: frozenset[int] = frozenset()
    """Asked when `retry_on` has `retriable-status-codes`."""
    retriable_headers: tuple[HeaderMatch, ...] = ()
    """Of a response, any of them; asked when `retry_on` has `retriable-headers`."""
    retriable_request_headers: tuple[HeaderMatch, ...] = ()
    """Where given, only a request that matches one of them is retried."""
    rate_limited: RateLimitedBackOff | None = None
