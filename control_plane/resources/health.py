"""`TrafficPolicy.spec`: limits, circuit breaker, outlier detection and health checks (pure)."""

from typing import Annotated, Self, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.duration import PositiveDuration
from control_plane.resources.field import Items, SubdomainName
from control_plane.resources.gateway_field import Duration, milliseconds
from control_plane.resources.load_balancer import AbsolutePath
from control_plane.resources.traffic_retry import Percentage, later_than

_UINT32 = 2**32 - 1
WholePercent: TypeAlias = Annotated[int, Field(ge=0, le=100)]
PositiveCount: TypeAlias = Annotated[int, Field(ge=1, le=_UINT32)]
Count32: TypeAlias = Annotated[int, Field(ge=0, le=_UINT32)]
StatusCode: TypeAlias = Annotated[int, Field(ge=100, le=599)]
PayloadText: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024)]


class Limits(Model):
    """Per sidecar and Service port; what is above is answered 503 at once, but for connections: whoever finds
    none free waits for one, as long as not too many do."""

    max_connections: PositiveCount | None = None
    """Open at once."""
    max_pending_requests: Count32 | None = None
    """Requests that wait for a connection."""
    max_requests: PositiveCount | None = None
    """Requests under way."""
    max_retries: Count32 | None = None
    """Concurrent retries, a fixed number instead of the retry budget."""
    max_requests_per_connection: PositiveCount | None = None
    """After which a connection is replaced."""


class CircuitBreaker(Model):
    """Per endpoint: open after failures in a row, then one request probes it; each open time doubles the one
    before, up to `maxOpen`."""

    failure_threshold: PositiveCount = 7
    """Failures in a row that open it."""
    base_open: PositiveDuration = "1s"
    """How long it is open the first time."""
    max_open: PositiveDuration = "1m"
    """The longest it is open."""
    jitter: Percentage = 50.0
    """How much of the open time is random."""

    @model_validator(mode="after")
    def _check_max(self) -> Self:
        if milliseconds(self.max_open) < milliseconds(self.base_open):
            raise PydanticCustomError("invalid_value", "maxOpen: must not be shorter than baseOpen")
        return self


class SuccessRate(Model):
    """Ejects endpoints that succeed much less often than the average."""

    minimum_hosts: Count32 = 5
    request_volume: Count32 = 100
    stdev_factor: Annotated[float, Field(ge=0, le=100)] = 1.9
    enforcing: WholePercent = 100
    enforcing_local_origin: WholePercent | None = None


class FailurePercentage(Model):
    """Ejects endpoints that fail more than a share of their requests."""

    threshold: WholePercent = 85
    minimum_hosts: Count32 = 5
    request_volume: Count32 = 50
    enforcing: WholePercent = 100


class OutlierDetection(Model):
    """Envoy's; what is not set keeps the mesh's default."""

    interval: PositiveDuration | None = None
    base_ejection_time: PositiveDuration | None = None
    max_ejection_time: PositiveDuration | None = None
    max_ejection_time_jitter: Duration | None = None
    max_ejection_percent: WholePercent | None = None
    always_eject_one_host: bool | None = None
    consecutive_5xx: PositiveCount | None = None
    enforcing_consecutive_5xx: WholePercent | None = None
    consecutive_gateway_failure: PositiveCount | None = None
    enforcing_consecutive_gateway_failure: WholePercent | None = None
    split_external_local_origin_errors: bool | None = None
    consecutive_local_origin_failure: PositiveCount | None = None
    enforcing_consecutive_local_origin_failure: WholePercent | None = None
    success_rate: SuccessRate | None = None
    failure_percentage: FailurePercentage | None = None
    successful_active_health_check_uneject_host: bool | None = None

    @field_validator("max_ejection_time")
    @classmethod
    def _check_max(cls, value: str | None, info: ValidationInfo) -> str | None:
        return later_than(value, info.data.get("base_ejection_time"), "baseEjectionTime")

    @field_validator("consecutive_local_origin_failure", "enforcing_consecutive_local_origin_failure")
    @classmethod
    def _check_split(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and not info.data.get("split_external_local_origin_errors"):
            raise PydanticCustomError("invalid_value", "only with splitExternalLocalOriginErrors")
        return value

    @field_validator("success_rate")
    @classmethod
    def _check_local(cls, value: SuccessRate | None, info: ValidationInfo) -> SuccessRate | None:
        split = info.data.get("split_external_local_origin_errors")
        if value is not None and value.enforcing_local_origin is not None and not split:
            raise PydanticCustomError(
                "invalid_value", "enforcingLocalOrigin: only with splitExternalLocalOriginErrors"
            )
        return value


class StatusRange(Model):
    """Both ends belong to it."""

    start: StatusCode
    end: StatusCode

    @field_validator("end")
    @classmethod
    def _check_end(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("start", value):
            raise PydanticCustomError("invalid_value", "must not be below start")
        return value


class HttpCheck(Model):
    """A GET."""

    path: AbsolutePath
    host: SubdomainName | None = None
    """None: the Service's full name."""
    expected_statuses: Annotated[Items[StatusRange], Field(max_length=16)] = ()
    """Empty: 200."""


class TcpCheck(Model):
    """A connection, and bytes on it."""

    send: PayloadText | None = None
    receive: PayloadText | None = None
    """Must occur in the answer. Neither of both: that the connection opens is enough."""


class GrpcCheck(Model):
    """`grpc.health.v1.Health/Check`; only for ports that declare HTTP/2."""

    service: Annotated[str, Field(max_length=1024)] | None = None
    """None asks for the server as a whole."""
    host: SubdomainName | None = None
    """None: the Service's full name."""


class HealthCheck(Model):
    """Each client's sidecar asks every endpoint, in one of three ways."""

    http: HttpCheck | None = None
    tcp: TcpCheck | None = None
    grpc: GrpcCheck | None = None
    interval: PositiveDuration = "10s"
    """Between checks."""
    timeout: PositiveDuration = "5s"
    """After which a check has failed."""
    unhealthy_threshold: PositiveCount = 3
    """Failures in a row after which an endpoint gets no requests."""
    healthy_threshold: PositiveCount = 2
    """Successes in a row after which it gets them again."""
    no_traffic_interval: PositiveDuration = "60s"
    """Between checks of a Service that has not had a request yet."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if sum(check is not None for check in (self.http, self.tcp, self.grpc)) != 1:
            raise PydanticCustomError("invalid_value", "set exactly one of http, tcp, grpc")
        return self
