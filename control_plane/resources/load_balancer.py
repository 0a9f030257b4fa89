"""`TrafficPolicy.spec.loadBalancer` and `spec.sessionAffinity` (pure)."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.duration import PositiveDuration
from control_plane.resources.field import Items
from control_plane.resources.gateway_field import Duration, HeaderName
from control_plane.resources.locality import LocalityBalancing
from control_plane.resources.traffic_retry import Percentage

_LARGEST_RING = 8_388_608
_LARGEST_TABLE = 5_000_011
"""Both are Envoy's limits."""
HASHING = ("RingHash", "Maglev")

BalancerName: TypeAlias = Literal["RoundRobin", "LeastRequest", "PeakEWMA", "Random", "RingHash", "Maglev"]
CookieName: TypeAlias = HeaderName
"""RFC 6265: a token, like a header's name."""
AbsolutePath: TypeAlias = Annotated[str, Field(pattern=r"^/[!-:<-~]*$", max_length=1024)]


class LeastRequest(Model):
    choice_count: Annotated[int, Field(ge=2, le=100)] = 2
    """How many endpoints are drawn, of which the least busy is taken."""
    active_request_bias: Annotated[float, Field(ge=0, le=10)] | None = None
    """Exponent of the active requests where endpoints have weights; Envoy's default is 1."""


class RingHash(Model):
    minimum_ring_size: Annotated[int, Field(ge=1, le=_LARGEST_RING)] = 1024
    maximum_ring_size: Annotated[int, Field(ge=1, le=_LARGEST_RING)] = _LARGEST_RING

    @field_validator("maximum_ring_size")
    @classmethod
    def _check_maximum(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("minimum_ring_size", 1):
            raise PydanticCustomError("invalid_value", "must not be below minimumRingSize")
        return value


class Maglev(Model):
    table_size: Annotated[int, Field(ge=3, le=_LARGEST_TABLE)] = 65_537
    """A prime."""

    @field_validator("table_size")
    @classmethod
    def _check_prime(cls, value: int) -> int:
        if value % 2 == 0 or any(value % factor == 0 for factor in range(3, int(value**0.5) + 1, 2)):
            raise PydanticCustomError("invalid_value", "must be a prime number")
        return value


class Cookie(Model):
    name: CookieName
    ttl: Duration | None = None
    """None or 0s: the cookie lives as long as the browser's session."""
    path: AbsolutePath | None = None


class HashKey(Model):
    """One thing to hash by."""

    header: HeaderName | None = None
    cookie: Cookie | None = None
    """Made for clients that come without it when it has a `ttl`."""
    source_ip: Literal[True] | None = None
    query: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Name of a query parameter."""
    terminal: bool = False
    """When this one gives a key, those after it are not looked at."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        given = [one for one in (self.header, self.cookie, self.source_ip, self.query) if one is not None]
        if len(given) != 1:
            raise PydanticCustomError("invalid_value", "set exactly one of header, cookie, sourceIP, query")
        return self


class SlowStart(Model):
    window: PositiveDuration
    aggression: Annotated[float, Field(gt=0, le=100)] = 1.0
    min_weight_percent: Percentage = 10.0


class LoadBalancer(Model):
    """Each client's sidecar chooses by itself."""

    policy: BalancerName = "RoundRobin"
    """How an endpoint is chosen."""
    least_request: LeastRequest | None = None
    ring_hash: RingHash | None = None
    maglev: Maglev | None = None
    hash_on: Annotated[Items[HashKey], Field(max_length=16)] = ()
    """With RingHash and Maglev: what makes requests go to the same endpoint."""
    slow_start: SlowStart | None = None
    """New endpoints get few requests at first."""
    panic_threshold: Percentage | None = None
    """Below this share of healthy endpoints all of them are used; 0 never does that."""
    locality: LocalityBalancing | None = None
    """What zones mean."""

    @field_validator("least_request", "ring_hash", "maglev")
    @classmethod
    def _check_block(cls, value: Model | None, info: ValidationInfo) -> Model | None:
        wanted = {"least_request": "LeastRequest", "ring_hash": "RingHash", "maglev": "Maglev"}
        needed = wanted[info.field_name or ""]
        if value is not None and info.data.get("policy", needed) != needed:
            raise PydanticCustomError("invalid_value", "only with policy {needed}", {"needed": needed})
        return value

    @model_validator(mode="after")
    def _check_hash(self) -> Self:
        hashes = self.policy in HASHING
        if hashes and not self.hash_on:
            raise PydanticCustomError("invalid_value", "hashOn: required with policy RingHash and Maglev")
        if self.hash_on and not hashes:
            raise PydanticCustomError("invalid_value", "hashOn: only with policy RingHash or Maglev")
        return self

    @field_validator("slow_start")
    @classmethod
    def _check_slow_start(cls, value: SlowStart | None, info: ValidationInfo) -> SlowStart | None:
        if value is not None and info.data.get("policy") not in ("RoundRobin", "LeastRequest"):
            raise PydanticCustomError("invalid_value", "only with policy RoundRobin or LeastRequest")
        return value


class AffinityHeader(Model):
    name: HeaderName


class SessionAffinity(Model):
    """A client stays with the endpoint that answered it first, for as long as that is there."""

    cookie: Cookie | None = None
    header: AffinityHeader | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.cookie is None) == (self.header is None):
            raise PydanticCustomError("invalid_value", "set exactly one of cookie, header")
        return self
