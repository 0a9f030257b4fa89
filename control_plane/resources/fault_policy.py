"""meshproxy.io/v1alpha1 FaultPolicy: delays and errors on purpose, at the client's side (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model, Resource
from control_plane.resources.duration import PositiveDuration
from control_plane.resources.field import Items
from control_plane.resources.header_match import HeaderMatch
from control_plane.resources.target_ref import PolicyStatus, TargetedSpec
from control_plane.resources.traffic_retry import Percentage


class FaultDelay(Model):
    fixed: PositiveDuration
    """How long a request is held before it goes on."""
    percent: Percentage = 100.0
    """Of the requests."""


class FaultAbort(Model):
    http_status: Annotated[int, Field(ge=200, le=599)] | None = None
    """What a request is answered in place of the Service."""
    grpc_status: Annotated[int, Field(ge=0, le=16)] | None = None
    """What a call is answered; other requests get the status of HTTP that is nearest."""
    percent: Percentage = 100.0
    """Of the requests."""

    @property
    def is_failure(self) -> bool:
        """Whether who is answered this takes it for one."""
        return bool(self.grpc_status) if self.http_status is None else self.http_status >= 400

    @property
    def answer(self) -> str:
        """In words."""
        return f"gRPC status {self.grpc_status}" if self.http_status is None else str(self.http_status)

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.http_status is None) == (self.grpc_status is None):
            raise PydanticCustomError("invalid_value", "set exactly one of httpStatus, grpcStatus")
        return self


class FaultPolicySpec(TargetedSpec):
    delay: FaultDelay | None = None
    """Requests that wait."""
    abort: FaultAbort | None = None
    """Drawn on its own: a request may be delayed and then aborted."""
    headers: Annotated[Items[HeaderMatch], Field(max_length=16)] = ()
    """Only requests with all of these."""

    @model_validator(mode="after")
    def _check_any(self) -> Self:
        if self.delay is None and self.abort is None:
            raise PydanticCustomError("invalid_value", "set delay, abort or both")
        return self


class FaultPolicy(Resource):
    """Delays and errors on purpose, for those who call a Service or follow an HTTPRoute."""

    API_VERSION = "meshproxy.io/v1alpha1"
    KIND = "FaultPolicy"

    api_version: Literal["meshproxy.io/v1alpha1"]
    kind: Literal["FaultPolicy"]
    spec: FaultPolicySpec
    status: PolicyStatus = PolicyStatus()
