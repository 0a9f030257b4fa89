"""Whether a failed attempt is tried again (pure).

One `RetryPolicy` per route, one `RetryState` per exchange that met a failure. Mirrors
`RetryPolicy.retry_on` of `envoy.config.route.v3`, with one deliberate difference: a request whose method is
not idempotent (RFC 9110 section 9.2.2) is not repeated when the peer may have acted on it: after a reset or
a timeout once it was written, and after an answer that does not say that it was not processed. Envoy would
send a POST twice. Failures before anything was written are safe for every method, and so are the gRPC
conditions: who names them speaks of the methods' own semantics (every gRPC request is a POST).

Nothing is retried once a response was passed on or when the body can no longer be sent again. The endpoint
choice (one not tried yet) is the balancer's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from meshproxy.config.retry import RetrySettings
from meshproxy.errors import ConfigError
from meshproxy.policy.backoff import BackoffSettings
from meshproxy.policy.retry_after import reset_interval
from meshproxy.policy.retry_condition import (
    GRPC_STATUSES,
    IDEMPOTENT_METHODS,
    MAY_HAVE_BEEN_PROCESSED,
    OVERLOADED,
    RATE_LIMITED,
    RETRY_CONDITIONS,
    SELECTED_BY,
    STATUSES,
    UNPROCESSED_STATUSES,
    AttemptFailure,
    Headers,
)
from meshproxy.policy.retry_verdict import RetryVerdict

__all__ = [
    "IDEMPOTENT_METHODS",
    "RETRY_CONDITIONS",
    "AttemptFailure",
    "HeaderPredicate",
    "Headers",
    "RetryPolicy",
    "RetryState",
    "RetryVerdict",
]

HeaderPredicate = Callable[[Headers], bool]
"""A compiled `HeaderMatch`. Given by the caller: matching lies in a layer above this one."""

_RESET_JITTER = 0.5
"""Share of the peer's interval added at random at most, as Envoy does."""


class RetryPolicy:
    """Compiled `RetrySettings`. Raises ConfigError for an unknown condition, a negative count, bad intervals,
    or header matches that came without their predicates.
    """

    __slots__ = (
        "backoff",
        "failures",
        "grpc_statuses",
        "is_rate_limited_retried",
        "num_retries",
        "rate_limited",
        "reads_heads",
        "request_matches",
        "response_matches",
        "statuses",
    )

    def __init__(
        self,
        settings: RetrySettings,
        *,
        response_matches: Sequence[HeaderPredicate] = (),
        request_matches: Sequence[HeaderPredicate] = (),
    ) -> None:
        """The predicates of `settings.retriable_headers` and of `settings.retriable_request_headers`."""
        if unknown := settings.retry_on - RETRY_CONDITIONS:
            raise ConfigError(f"retry_on {sorted(unknown)}: unknown; use some of {sorted(RETRY_CONDITIONS)}")
        if settings.num_retries < 0:
            raise ConfigError(f"num_retries {settings.num_retries}: must not be negative")
        _require_compiled("retriable_headers", settings.retriable_headers, response_matches)
        _require_compiled("retriable_request_headers", settings.retriable_request_headers, request_matches)
        conditions = settings.retry_on
        self.num_retries = settings.num_retries
        self.backoff = BackoffSettings(base=settings.base_interval, cap=settings.max_interval)
        self.rate_limited = settings.rate_limited
        self.failures = frozenset(
            failure for failure, names in SELECTED_BY.items() if names & settings.retry_on
        )
        statuses = frozenset().union(*(codes for name, codes in STATUSES.items() if name in conditions))
        if "retriable-status-codes" in conditions:
            statuses |= settings.retriable_status_codes
        self.statuses = statuses
        self.grpc_statuses = frozenset(code for name, code in GRPC_STATUSES.items() if name in conditions)
        self.is_rate_limited_retried = "envoy-ratelimited" in conditions
        self.response_matches = tuple(response_matches) if "retriable-headers" in conditions else ()
        self.request_matches = tuple(request_matches)
        self.reads_heads = bool(self.grpc_statuses or self.is_rate_limited_retried or self.response_matches)
        """Its verdict depends on more of an answer than the status."""

    def judges(self, status: int) -> bool:
        """Whether an answer with `status` may be worth a retry; False: the exchange need not ask."""
        return self.reads_heads or status in self.statuses


def _require_compiled(name: str, matches: Sequence[object], predicates: Sequence[object]) -> None:
    if len(matches) != len(predicates):
        raise ConfigError(
            f"{name}: {len(matches)} matches need {len(matches)} predicates, not {len(predicates)}"
        )


class RetryState:
    """The retries of one exchange."""

    __slots__ = ("_idempotent", "_policy", "_request_headers", "_reset_interval", "retries")

    def __init__(self, policy: RetryPolicy, method: bytes, request_headers: Headers = ()) -> None:
        self._policy = policy
        self._idempotent = method in IDEMPOTENT_METHODS
        self._request_headers = request_headers
        self._reset_interval: float | None = None
        self.retries = 0
        """Retries granted so far; attempts made are one more."""

    def decide(
        self, failure: AttemptFailure, *, response_started: bool, body_replayable: bool
    ) -> RetryVerdict:
        """Judge a failed attempt; RETRY counts against the limit, so ask once per failure.

        `response_started`: a response byte arrived for this attempt. `body_replayable`: all body bytes
        consumed so far are still held (always True without a body).
        """
        self._reset_interval = None
        if response_started:
            return RetryVerdict.RESPONSE_STARTED
        if failure not in self._policy.failures:
            return RetryVerdict.NOT_SELECTED
        return self._grant(failure not in MAY_HAVE_BEEN_PROCESSED, body_replayable)

    def decide_response(
        self, status: int, headers: Headers, *, body_replayable: bool, wall_now: float
    ) -> RetryVerdict:
        """Judge a response of which nothing was passed on yet; as `decide`, ask once per response.

        Ask only where `RetryPolicy.judges` the status. `wall_now`: seconds since 1970, for reset headers.
        """
        policy = self._policy
        self._reset_interval = None
        names = {name for name, _ in headers}
        if RATE_LIMITED in names:
            if not policy.is_rate_limited_retried:
                return RetryVerdict.NOT_SELECTED
            is_safe = True
        elif OVERLOADED in names:
            return RetryVerdict.NOT_SELECTED
        elif policy.grpc_statuses and _grpc_status(headers) in policy.grpc_statuses:
            is_safe = True
        elif status in policy.statuses or any(matches(headers) for matches in policy.response_matches):
            is_safe = status in UNPROCESSED_STATUSES
        else:
            return RetryVerdict.NOT_SELECTED
        verdict = self._grant(is_safe, body_replayable)
        if verdict is RetryVerdict.RETRY and policy.rate_limited is not None:
            self._reset_interval = reset_interval(headers, policy.rate_limited, wall_now)
        return verdict

    def delay(self, rng: Random) -> float:
        """Seconds to wait before the retry just granted: what the peer asked for and up to half as much
        again, else the exponential backoff."""
        if self._reset_interval is not None:
            return self._reset_interval * (1.0 + _RESET_JITTER * rng.random())
        return self._policy.backoff.delay(self.retries, rng)

    def _grant(self, is_safe: bool, body_replayable: bool) -> RetryVerdict:
        policy = self._policy
        if policy.request_matches and not any(
            matches(self._request_headers) for matches in policy.request_matches
        ):
            return RetryVerdict.NOT_SELECTED
        if not (is_safe or self._idempotent):
            return RetryVerdict.NOT_IDEMPOTENT
        if not body_replayable:
            return RetryVerdict.BODY_NOT_REPLAYABLE
        if self.retries >= policy.num_retries:
            return RetryVerdict.LIMIT_REACHED
        self.retries += 1
        return RetryVerdict.RETRY


def _grpc_status(headers: Headers) -> bytes:
    return next((value for name, value in headers if name == b"grpc-status"), b"")
