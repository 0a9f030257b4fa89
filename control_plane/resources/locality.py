"""`TrafficPolicy.spec.loadBalancer.locality` (pure): what zones mean to a Service's clients."""

from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.field import Items, LabelValue

_ALL = 100


def _pattern(value: str) -> str:
    """`region/zone`, `region/*`, `*`; of places without a region `/zone`."""
    region, slash, zone = value.partition("/")
    is_right = value == "*" or (slash and (zone == "*" or zone) and "*" not in region and "/" not in zone)
    if not is_right or (zone != "*" and "*" in zone):
        raise PydanticCustomError(
            "invalid_value", "must be region/zone, region/* or * (/zone without a region)"
        )
    return value


PlacePattern: TypeAlias = Annotated[str, Field(max_length=128), AfterValidator(_pattern)]


class ZoneAware(Model):
    """As much as fits in the client's own zone, the rest where there is room (Envoy's zone-aware routing)."""

    min_cluster_size: Annotated[int, Field(ge=0, le=1_000_000)] = 6
    """With fewer endpoints zones mean nothing."""


class RegionFailover(Model):
    origin: LabelValue = Field(alias="from")
    to: LabelValue


class Failover(Model):
    """The client's own zone, and only what fails there to its region, then further on."""

    regions: Annotated[Items[RegionFailover], Field(max_length=32)] = ()
    """Which region comes next for clients of a region; without, all others alike."""

    @model_validator(mode="after")
    def _check_regions(self) -> Self:
        origins = [one.origin for one in self.regions]
        if len(set(origins)) < len(origins):
            raise PydanticCustomError("invalid_value", "regions: two have the same from")
        if any(one.origin == one.to for one in self.regions):
            raise PydanticCustomError("invalid_value", "regions: from and to must differ")
        return self


class Distribution(Model):
    """Of clients in a place: percentages by place of endpoints."""

    origin: PlacePattern = Field(alias="from")
    to: Annotated[
        dict[PlacePattern, Annotated[int, Field(ge=1, le=_ALL)]], Field(min_length=1, max_length=32)
    ]

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        total = sum(self.to.values())
        if total != _ALL:
            raise PydanticCustomError("invalid_value", "to: adds up to {total}, not to 100", {"total": total})
        return self


class LocalityBalancing(Model):
    zone_aware: ZoneAware | None = None
    failover: Failover | None = None
    distribute: Annotated[Items[Distribution], Field(max_length=32)] = ()
    """The first that matches the client holds; endpoints that it does not name get nothing."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if sum((self.zone_aware is not None, self.failover is not None, bool(self.distribute))) != 1:
            raise PydanticCustomError("invalid_value", "set exactly one of zoneAware, failover, distribute")
        return self
