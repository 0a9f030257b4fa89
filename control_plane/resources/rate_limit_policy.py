"""meshproxy.io/v1alpha1 RateLimitPolicy: token buckets at the Service's pods or a gateway (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model, Resource
from control_plane.resources.duration import PositiveDuration
from control_plane.resources.field import Items
from control_plane.resources.gateway_field import HeaderName, milliseconds
from control_plane.resources.header_match import HeaderValue
from control_plane.resources.target_ref import PolicyStatus, TargetedSpec

SHORTEST_UNIT_MS = 50
"""Milliseconds; Envoy refuses buckets that are filled more often."""
_MAX_KEYS = 1_000_000
_MAX_LIMITS = 16
_UINT32 = 2**32 - 1


class Rate(Model):
    """A token bucket: `requests` tokens are added every `unit`, and it holds at most `burst`."""

    requests: Annotated[int, Field(ge=1, le=_UINT32)]
    """How many are taken in each unit."""
    unit: PositiveDuration = "1s"
    """A duration such as `1s` or `1m`."""
    burst: Annotated[int | None, Field(ge=1, le=_UINT32)] = None
    """None: as many as `requests`."""

    @field_validator("unit")
    @classmethod
    def _check_unit(cls, value: str) -> str:
        if milliseconds(value) < SHORTEST_UNIT_MS:
            raise PydanticCustomError("invalid_value", "must be at least 50ms")
        return value

    @field_validator("burst")
    @classmethod
    def _check_burst(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and value < info.data.get("requests", 1):
            raise PydanticCustomError("invalid_value", "must not be below requests: they would never fit")
        return value


class KeyedHeader(Model):
    name: HeaderName
    """Of the request."""
    value: HeaderValue | None = None
    """None: every value has a bucket of its own."""


class KeyedRate(Rate):
    """A bucket for each client identity, or for each value of a header."""

    client_identity: Literal[True] | None = None
    """The SPIFFE id of the client's certificate."""
    header: KeyedHeader | None = None
    """A header of the request."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.client_identity is None) == (self.header is None):
            raise PydanticCustomError("invalid_value", "set exactly one of clientIdentity, header")
        return self


class RateLimitPolicySpec(TargetedSpec):
    total: Rate | None = None
    """For all requests together."""
    per_key: Annotated[Items[KeyedRate], Field(max_length=_MAX_LIMITS)] = ()
    """A request must pass each limit that fits it, and the total."""
    max_keys: Annotated[int, Field(ge=1, le=_MAX_KEYS)] = 10_000
    """Buckets kept at once per limit; the least recently used goes first."""
    headers: bool = True
    """Say `x-ratelimit-limit`, `-remaining` and `-reset` in every response."""

    @model_validator(mode="after")
    def _check_any(self) -> Self:
        if self.total is None and not self.per_key:
            raise PydanticCustomError("invalid_value", "set total, perKey or both")
        return self

    @field_validator("per_key")
    @classmethod
    def _check_unit(cls, value: tuple[KeyedRate, ...], info: ValidationInfo) -> tuple[KeyedRate, ...]:
        total = info.data.get("total")
        for number, one in enumerate(value):
            if isinstance(total, Rate) and milliseconds(one.unit) % milliseconds(total.unit):
                raise PydanticCustomError(
                    "invalid_value",
                    "[{number}].unit: must be a multiple of total.unit ({unit})",
                    {"number": number, "unit": total.unit},
                )
        return value


class RateLimitPolicy(Resource):
    """How many requests a Service's Pods, or routes of a Gateway, take."""

    API_VERSION = "meshproxy.io/v1alpha1"
    KIND = "RateLimitPolicy"

    api_version: Literal["meshproxy.io/v1alpha1"]
    kind: Literal["RateLimitPolicy"]
    spec: RateLimitPolicySpec
    status: PolicyStatus = PolicyStatus()
