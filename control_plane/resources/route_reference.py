"""What every route kind shares: references to parents and backends, and the status per parent (pure)."""

from collections.abc import Callable
from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from control_plane.resources.base import Condition, Model
from control_plane.resources.field import Count, Items, LabelName, Port
from control_plane.resources.gateway_field import AnyName, Group, Kind, SectionName, invalid

GATEWAY_GROUP = "gateway.networking.k8s.io"

# Limits of the Gateway API's own schema.
MAX_PARENTS = 32
_MAX_WEIGHT = 1_000_000
_MAX_CONDITIONS = 8


class ParentReference(Model):
    """The Gateway, or the Service whose clients the route is for (then `group: ""`)."""

    group: Group = GATEWAY_GROUP
    kind: Kind = "Gateway"
    name: AnyName
    namespace: LabelName | None = None
    """None: the route's own namespace."""
    section_name: SectionName | None = None
    """Name of a Gateway's listener or of a Service's port; None: all of them."""
    port: Port | None = None
    """None: every port of the parent."""


def _distinct_parents(refs: tuple[ParentReference, ...]) -> tuple[ParentReference, ...]:
    """References to one parent must all set the same of `sectionName` and `port`, to different values."""
    seen: dict[tuple[str, str, str | None, str], list[ParentReference]] = {}
    for number, ref in enumerate(refs):
        same = seen.setdefault((ref.group, ref.kind, ref.namespace, ref.name), [])
        for other in same:
            if (other.section_name is None, other.port is None) != (
                ref.section_name is None,
                ref.port is None,
            ):
                raise invalid(
                    f"[{number}]: sectionName or port must be set by all of several references to one parent"
                )
            if (other.section_name, other.port) == (ref.section_name, ref.port):
                raise invalid(
                    f"[{number}]: the same as one before it; sectionName or port must tell them apart"
                )
        same.append(ref)
    return refs


ParentRefs: TypeAlias = Annotated[
    Items[ParentReference], Field(max_length=MAX_PARENTS), AfterValidator(_distinct_parents)
]


class BackendObjectReference(Model):
    """Where requests are sent; a Service by default, which needs a port."""

    group: Group = ""
    kind: Kind = "Service"
    name: AnyName
    namespace: LabelName | None = None
    """None: the route's own namespace. Another one must allow it with a ReferenceGrant."""
    port: Port | None = None

    @model_validator(mode="after")
    def _check_port(self) -> Self:
        if self.group == "" and self.kind == "Service" and self.port is None:
            raise invalid("port: required for a Service")
        return self


class BackendRef(BackendObjectReference):
    weight: Annotated[int, Field(ge=0, le=_MAX_WEIGHT)] = 1
    """Share of the rule's total; 0 receives nothing."""


class StatusParentReference(Model):
    """A `parentRef` as repeated in status, also of parents that other controllers serve."""

    group: str = GATEWAY_GROUP
    kind: str = "Gateway"
    name: str
    namespace: str | None = None
    section_name: str | None = None
    port: Port | None = None


class RouteParentStatus(Model):
    parent_ref: StatusParentReference
    controller_name: str
    conditions: Annotated[Items[Condition], Field(max_length=_MAX_CONDITIONS)] = ()


class RouteStatus(Model):
    parents: Annotated[Items[RouteParentStatus], Field(max_length=MAX_PARENTS)] = ()
    observed_generation: Count = 0


def unique(what: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """A validator for lists of the type `set`."""

    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        for number, value in enumerate(values):
            if value in values[:number]:
                raise invalid(f"[{number}]: {what} {value!r} is listed twice")
        return values

    return check
