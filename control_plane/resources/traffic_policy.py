"""meshproxy.io/v1alpha1 TrafficPolicy: how clients call a Service or follow an HTTPRoute (pure)."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import Items, LabelName, Labels
from control_plane.resources.health import CircuitBreaker, HealthCheck, Limits, OutlierDetection
from control_plane.resources.load_balancer import LoadBalancer, SessionAffinity
from control_plane.resources.target_ref import SERVICE, PolicyStatus, TargetedSpec, targets_a_route
from control_plane.resources.traffic_retry import Retry, Timeouts

_MAX_SUBSETS = 64


class Subset(Model):
    """The Service's endpoints whose pods carry all of these labels."""

    name: LabelName
    """By which an HTTPRoute's policy chooses it."""
    labels: Annotated[Labels, Field(min_length=1, max_length=8)]
    """Of the pods."""


class TrafficPolicySpec(TargetedSpec):
    timeouts: Timeouts | None = None
    """How long parts of an exchange may take; `0s` means none, where it is accepted."""
    retry: Retry | None = None
    """Which failures are tried again, and how often."""
    limits: Limits | None = None
    """How much one sidecar has under way to the Service at a time."""
    circuit_breaker: CircuitBreaker | None = None
    """Stops calling a Service that fails."""
    outlier_detection: OutlierDetection | None = None
    """Leaves out endpoints that fail more than others."""
    health_check: HealthCheck | None = None
    """Asks endpoints whether they are well."""
    load_balancer: LoadBalancer | None = None
    """Which endpoint a request goes to."""
    subsets: Annotated[Items[Subset], Field(max_length=_MAX_SUBSETS)] = ()
    """Endpoints that HTTPRoutes' policies can choose, by labels of their pods."""
    subset: LabelName | None = None
    """For HTTPRoutes: the subset of each backend, by its Service's TrafficPolicy, that gets the requests."""
    session_affinity: SessionAffinity | None = None
    """Requests of a session go to the endpoint that answered the first."""
    h2_upgrade_policy: Literal["Upgrade", "DoNotUpgrade"] | None = None
    """Whether clients' sidecars say requests of HTTP/1.1 to the Service's sidecars over HTTP/2."""

    @field_validator(
        "limits", "circuit_breaker", "outlier_detection", "health_check", "load_balancer", "subsets"
    )
    @classmethod
    def _check_service_field(cls, value: object, info: ValidationInfo) -> object:
        if value and targets_a_route(info):
            raise _only("Services: endpoints and connections are not a route's")
        return value

    @field_validator("h2_upgrade_policy")
    @classmethod
    def _check_upgrade(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and any(ref.kind != SERVICE for ref in info.data.get("target_refs", ())):
            raise _only("Services")
        return value

    @field_validator("subset")
    @classmethod
    def _check_subset(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and any(ref.kind == "Service" for ref in info.data.get("target_refs", ())):
            raise _only("HTTPRoutes")
        return value

    @field_validator("timeouts")
    @classmethod
    def _check_timeouts(cls, value: Timeouts | None, info: ValidationInfo) -> Timeouts | None:
        if value is not None and targets_a_route(info):
            for name in ("connectionIdle", "connect", "header"):
                if value.model_dump(by_alias=True)[name] is not None:
                    raise _only("Services", name)
        return value

    @field_validator("retry")
    @classmethod
    def _check_retry(cls, value: Retry | None, info: ValidationInfo) -> Retry | None:
        if value is not None and targets_a_route(info):
            if value.budget is not None:
                raise _only("Services", "budget")
            if value.attempt_count:  # Envoy counts for whole virtual hosts
                raise _only("Services", "attemptCount")
        return value

    @field_validator("limits")
    @classmethod
    def _check_retries(cls, value: Limits | None, info: ValidationInfo) -> Limits | None:
        retry = info.data.get("retry")
        if value is not None and value.max_retries is not None and retry and retry.budget:
            raise PydanticCustomError("invalid_value", "maxRetries: not together with retry.budget")
        return value

    @field_validator("subsets")
    @classmethod
    def _check_names(cls, value: tuple[Subset, ...]) -> tuple[Subset, ...]:
        names = [subset.name for subset in value]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise PydanticCustomError(
                    "invalid_value", "[{number}].name: the same as one before it", {"number": number}
                )
        return value


def _only(kind: str, field: str = "") -> PydanticCustomError:
    prefix = f"{field}: " if field else ""
    return PydanticCustomError(
        "invalid_value", "{prefix}can only be set for {kind}", {"prefix": prefix, "kind": kind}
    )


class TrafficPolicy(Resource):
    """How clients call a Service or follow an HTTPRoute: timeouts, retries, limits, health, balancing."""

    API_VERSION = "meshproxy.io/v1alpha1"
    KIND = "TrafficPolicy"

    api_version: Literal["meshproxy.io/v1alpha1"]
    kind: Literal["TrafficPolicy"]
    spec: TrafficPolicySpec
    status: PolicyStatus = PolicyStatus()
