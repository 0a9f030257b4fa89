"""What each `retry_on` condition selects, and what is safe to repeat (pure).

The words and their meaning are those of Envoy's router (`RetryPolicy.retry_on`); HTTP/3's have none here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

Headers = Sequence[tuple[bytes, bytes]]
"""(lower-case name, value) in order."""

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
    TIMEOUT_BEFORE_RESPONSE = "timeout_before_response"
    """The attempt's own time was over (`per_try_timeout`, `per_try_idle_timeout`): as likely acted on."""


MAY_HAVE_BEEN_PROCESSED = frozenset(
    {AttemptFailure.RESET_BEFORE_RESPONSE, AttemptFailure.TIMEOUT_BEFORE_RESPONSE}
)

_ANY_RESET = frozenset({"reset", "5xx", "gateway-error"})
"""Envoy's router takes an attempt without an answer for a 5xx."""

SELECTED_BY: dict[AttemptFailure, frozenset[str]] = {
    AttemptFailure.CONNECT_FAILURE: _ANY_RESET | {"connect-failure", "reset-before-request"},
    AttemptFailure.REFUSED: _ANY_RESET | {"refused-stream"},
    AttemptFailure.RESET_BEFORE_REQUEST: _ANY_RESET | {"reset-before-request"},
    AttemptFailure.RESET_BEFORE_RESPONSE: _ANY_RESET,
    AttemptFailure.TIMEOUT_BEFORE_RESPONSE: _ANY_RESET,
}
"""Failure → the conditions that name it."""

GATEWAY_ERRORS = frozenset({502, 503, 504})
CONFLICT = 409
"""The one status of `retriable-4xx`."""

STATUSES: dict[str, frozenset[int]] = {
    "5xx": frozenset(range(500, 600)),
    "gateway-error": GATEWAY_ERRORS,
    "retriable-4xx": frozenset({CONFLICT}),
}
"""Condition → the statuses it names. `retriable-status-codes` names its own."""

GRPC_STATUSES: dict[str, bytes] = {
    "cancelled": b"1",
    "deadline-exceeded": b"4",
    "resource-exhausted": b"8",
    "internal": b"13",
    "unavailable": b"14",
}
"""Condition → `grpc-status` in the head of the response, that is without a message before it."""

UNPROCESSED_STATUSES = frozenset({421, 425, 429})
"""Misdirected, too early, too many: the server says that it did not act on the request (RFC 9110 section
15.5.20, RFC 8470 section 5.2, RFC 6585 section 4), so another method may be repeated too."""

RATE_LIMITED = b"x-envoy-ratelimited"
"""Says Envoy's rate limit filter, or ours: not processed, and retried under `envoy-ratelimited` only."""
OVERLOADED = b"x-envoy-overloaded"
"""A circuit limit upstream refused it; to try again would defeat its purpose."""

RETRY_CONDITIONS = frozenset().union(*SELECTED_BY.values()) | {
    *STATUSES,
    *GRPC_STATUSES,
    "envoy-ratelimited",
    "retriable-status-codes",
    "retriable-headers",
}
"""Every `retry_on` value understood."""
