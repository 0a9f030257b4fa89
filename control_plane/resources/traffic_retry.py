"""`TrafficPolicy.spec.timeouts` and `spec.retry` (pure)."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.duration import PositiveDuration
from control_plane.resources.field import Items
from control_plane.resources.gateway_field import Duration, milliseconds
from control_plane.resources.header_match import HeaderMatch

DEFAULT_BACKOFF_BASE = "25ms"
"""Envoy's. Its longest pause is ten times the base."""
_MAX_RETRIES = 100
_MAX_LIST = 32

RetryCondition: TypeAlias = Literal[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
]
"""Envoy's names; the last five are statuses of gRPC, in an answer without a message.
`codes` and `headers` stand for retriable-status-codes and retriable-headers."""
Percentage: TypeAlias = Annotated[float, Field(ge=0, le=100)]
RetriableCode: TypeAlias = Annotated[int, Field(ge=400, le=599)]


def later_than(value: str | None, earlier: object, name: str) -> str | None:
    """`value` when it is not shorter than the duration `earlier`, that of field `name`, else an error."""
    if value is not None and isinstance(earlier, str) and milliseconds(value) < milliseconds(earlier):
        raise PydanticCustomError(
            "invalid_value", "must not be shorter than {name} ({earlier})", {"name": name, "earlier": earlier}
        )
    return value


class Timeouts(Model):
    """`0s` means none, where it is accepted."""

    request: Duration | None = None
    """The whole exchange, retries included."""
    per_try: PositiveDuration | None = None
    """One attempt."""
    stream_idle: Duration | None = None
    """Without a byte in either direction of one exchange."""
    connection_idle: Duration | None = None
    """An upstream connection without an exchange."""
    connect: PositiveDuration | None = None
    """Until an upstream connection stands."""
    header: PositiveDuration | None = None
    """A request's head, at the Service's own pods."""

    @field_validator("per_try")
    @classmethod
    def _check_per_try(cls, value: str | None, info: ValidationInfo) -> str | None:
        request = info.data.get("request")
        if value and request and 0 < milliseconds(request) <= milliseconds(value):
            raise PydanticCustomError(
                "invalid_value", "could never fire: request ({request}) is not longer", {"request": request}
            )
        return value


class Backoff(Model):
    """Full jitter: a retry waits a random part of an interval that doubles from `base` up to `max`."""

    base: PositiveDuration = DEFAULT_BACKOFF_BASE
    """The first interval."""
    max: PositiveDuration | None = None
    """None: ten times the base."""

    @field_validator("max")
    @classmethod
    def _check_max(cls, value: str | None, info: ValidationInfo) -> str | None:
        return later_than(value, info.data.get("base"), "base")


class RetryBudget(Model):
    """Retries under way or begun are at most this share of the requests, and this many a second always."""

    percent: Percentage = 20.0
    """Of the requests under way."""
    min_per_second: Annotated[int, Field(ge=0, le=10_000)] = 10
    """Retries that are allowed whatever the share."""


class Retry(Model):
    attempts: Annotated[int, Field(ge=0, le=_MAX_RETRIES)] = 2
    """Retries after the first try; 0 switches retries off."""
    retry_on: Annotated[Items[RetryCondition], Field(max_length=_MAX_LIST)] = ()
    """Empty, with no codes and headers either: connect-failure, refused-stream and reset. Not called `on`,
    which YAML 1.1 reads as a boolean."""
    codes: Annotated[Items[RetriableCode], Field(max_length=_MAX_LIST)] = ()
    """Statuses of HTTP that are retried."""
    headers: Annotated[Items[HeaderMatch], Field(max_length=_MAX_LIST)] = ()
    """Of the response."""
    backoff: Backoff | None = None
    """How long a retry waits."""
    respect_retry_after: bool = False
    """Wait as long as the answer's `retry-after` says."""
    budget: RetryBudget | None = None
    """How many retries there may be beside the requests."""
    other_hosts: bool = True
    """A retry goes to an endpoint that was not tried, if there is one."""
    attempt_count: bool = False
    """`x-envoy-attempt-count` in every attempt, from 1, and in the answer."""
