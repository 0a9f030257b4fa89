"""Whether a failed attempt is tried again (pure).

One `RetryPolicy` per route, one `RetryState` per exchange that met a failure. Mirrors
`RetryPolicy.retry_on` of `envoy.config.route.v3`, with one deliberate difference: `reset` after the request
was written is retried for idempotent methods only (RFC 9110 section 9.2.2), because the peer may have acted
on it; Envoy would send a POST twice. Failures before anything was written are safe for every method.
Nothing is retried once a response byte arrived or when the body can no longer be sent again. The endpoint
choice (one not tried yet) is the balancer's.
"""

from __future__ import annotations

from enum import Enum
from random import Random

from meshproxy.config.retry import RetrySettings
from meshproxy.errors import ConfigError
from meshproxy.policy.backoff import BackoffSettings

IDEMPOTENT_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})
"""RFC 9110 section 9.2.2."""


class AttemptFailure(Enum):
    """How an attempt ended without a response."""

    CONNECT_FAILURE = "connect_failure"
    """No connection, or its TLS handshake failed (a TLS 1.3 server says so at the first read): nobody saw
    the request.
    """
    REFUSED = "refused"
    """The peer said that it did not process the request, as HTTP/2's REFUSED_STREAM does."""
    RESET_BEFORE_REQUEST = "reset_before_request"
    """The connection ended before a byte of this request was written to it."""
    RESET_BEFORE_RESPONSE = "reset_before_response"
    """The connection ended after the request was (partly) written: the peer may have acted on it."""


class RetryVerdict(Enum):
    """The decision and its reason; the value is a stable token for metrics and logs."""

    RETRY = "retry"
    NOT_SELECTED = "not_selected"
    """`retry_on` does not name this kind of failure."""
    LIMIT_REACHED = "limit_reached"
    OVERFLOW = "overflow"
    """The cluster has as many retries under way as its circuit limit allows: its driver's verdict."""
    NOT_IDEMPOTENT = "not_idempotent"
    RESPONSE_STARTED = "response_started"
    BODY_NOT_REPLAYABLE = "body_not_replayable"


_SELECTED_BY: dict[AttemptFailure, frozenset[str]] = {
    AttemptFailure.CONNECT_FAILURE: frozenset({"connect-failure", "reset", "reset-before-request"}),
    AttemptFailure.REFUSED: frozenset({"refused-stream", "reset"}),
    AttemptFailure.RESET_BEFORE_REQUEST: frozenset({"reset", "reset-before-request"}),
    AttemptFailure.RESET_BEFORE_RESPONSE: frozenset({"reset"}),
}
"""Envoy's router: any reset counts as `reset`; one before the request went out also as
`reset-before-request`.
"""

RETRY_CONDITIONS = frozenset().union(*_SELECTED_BY.values())
"""Every `retry_on` value understood."""


class RetryPolicy:
    """Compiled `RetrySettings`. Raises ConfigError for an unknown condition, a negative count or bad
    intervals.
    """

    __slots__ = ("backoff", "failures", "num_retries")

    def __init__(self, settings: RetrySettings) -> None:
        if unknown := settings.retry_on - RETRY_CONDITIONS:
            raise ConfigError(f"retry_on {sorted(unknown)}: unknown; use some of {sorted(RETRY_CONDITIONS)}")
        if settings.num_retries < 0:
            raise ConfigError(f"num_retries {settings.num_retries}: must not be negative")
        self.num_retries = settings.num_retries
        self.backoff = BackoffSettings(base=settings.base_interval, cap=settings.max_interval)
        self.failures = frozenset(
            failure for failure, conditions in _SELECTED_BY.items() if conditions & settings.retry_on
        )


class RetryState:
    """The retries of one exchange."""

    __slots__ = ("_idempotent", "_policy", "retries")

    def __init__(self, policy: RetryPolicy, method: bytes) -> None:
        self._policy = policy
        self._idempotent = method in IDEMPOTENT_METHODS
        self.retries = 0
        """Retries granted so far; attempts made are one more."""

    def decide(
        self, failure: AttemptFailure, *, response_started: bool, body_replayable: bool
    ) -> RetryVerdict:
        """Judge a failed attempt; RETRY counts against the limit, so ask once per failure.

        `response_started`: a response byte arrived for this attempt. `body_replayable`: all body bytes
        consumed so far are still held (always True without a body).
        """
        if response_started:
            return RetryVerdict.RESPONSE_STARTED
        if failure not in self._policy.failures:
            return RetryVerdict.NOT_SELECTED
        if failure is AttemptFailure.RESET_BEFORE_RESPONSE and not self._idempotent:
            return RetryVerdict.NOT_IDEMPOTENT
        if not body_replayable:
            return RetryVerdict.BODY_NOT_REPLAYABLE
        if self.retries >= self._policy.num_retries:
            return RetryVerdict.LIMIT_REACHED
        self.retries += 1
        return RetryVerdict.RETRY

    def delay(self, rng: Random) -> float:
        """Seconds to wait before the retry just granted."""
        return self._policy.backoff.delay(self.retries, rng)
